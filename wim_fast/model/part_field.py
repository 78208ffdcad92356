"""Shape and colour of the parts: one hash grid over an atlas of part boxes, and a small decoder (paper section 3.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from wim_fast.ops.backend import Backend
from wim_fast.ops.hashgrid.reference import grid_layout


class PartAtlas:
    """Part i's local box is tile i of a cube of tiles in the grid's unit cube, padded by one coarsest cell."""

    def __init__(self, parts: int, half_extent: float, coarsest_cell: float) -> None:
        self.tiles = math.ceil(parts ** (1 / 3) - 1e-9)
        self.half_extent = half_extent
        self.side = self.tiles * 2 * (half_extent + coarsest_cell)  # the unit cube in world units

    def __call__(self, local: Tensor, part_ids: Tensor) -> Tensor:
        """Atlas position (..., 3) in [0, 1] of `local` (..., 3), world units in the frame of part `part_ids` (...)."""
        ids = part_ids.long()
        tile = torch.stack([ids % self.tiles, ids // self.tiles % self.tiles, ids // self.tiles**2], dim=-1)
        return local.clamp(-self.half_extent, self.half_extent) / self.side + (tile + 0.5) / self.tiles


class PartField(nn.Module):
    """Weighted features of the nearest parts -> bounded residual of the signed distance, and colour.

    ``f = sum_k w_k h(tile_k(x_k))``, decoded by an MLP without biases (what tiny-cuda-nn's fused MLP has).
    """

    def __init__(
        self,
        parts: int,
        levels: int,
        features: int,
        log2_entries: int,
        coarsest_cell: float,
        finest_cell: float,
        width: int,
        hidden_layers: int,
        residual_max: float,
        half_extent: float,
    ) -> None:
        super().__init__()
        self.residual_max = residual_max
        self.atlas = PartAtlas(parts, half_extent, coarsest_cell)
        base = round(self.atlas.side / coarsest_cell)
        growth = (coarsest_cell / finest_cell) ** (1 / max(levels - 1, 1))
        self.layout = grid_layout(levels, base, growth, log2_entries, features)
        self.table = nn.Parameter(torch.empty(self.layout.num_entries, features).uniform_(-1e-2, 1e-2))
        sizes = [levels * features] + [width] * hidden_layers + [4]
        self.decoder = nn.ModuleList(
            nn.Linear(a, b, bias=False) for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )

    def forward(self, local: Tensor, part_ids: Tensor, part_weights: Tensor, backend: Backend) -> tuple[Tensor, Tensor]:
        """Residual (N,), world units, and colour (N, 3) in [0, 1].

        Args:
            local: (N, K, 3), part_ids: (N, K), part_weights: (N, K) of a ``PartLookup``.
        """
        n, k = part_ids.shape
        positions = self.atlas(local, part_ids).view(n * k, 3)
        features = backend.hashgrid(positions, self.table, self.layout).view(n, k, -1)
        x = torch.einsum("nkf,nk->nf", features, part_weights)
        for layer in self.decoder[:-1]:
            x = torch.relu(layer(x))
        x = torch.tanh(self.decoder[-1](x))
        return self.residual_max * x[:, 0], 0.5 + 0.5 * x[:, 1:]
