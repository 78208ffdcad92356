"""Shape and colour of the parts: one hash grid over an atlas of part boxes, and a small decoder (paper section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wim_fast.ops.backend import Backend
from wim_fast.ops.part_encoding.reference import FEATURES, grid_layout, part_atlas


class PartField(nn.Module):
    """Weighted features of the nearest parts -> bounded residual of the signed distance, and colour.

    ``f = sum_k w_k h(tile_k(x_k))``, decoded by an MLP without biases (what tiny-cuda-nn's fused MLP has).
    """

    def __init__(
        self,
        parts: int,
        levels: int,
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
        self.atlas = part_atlas(parts, half_extent, coarsest_cell)
        base = round(self.atlas.side / coarsest_cell)
        growth = (coarsest_cell / finest_cell) ** (1 / max(levels - 1, 1))
        self.layout = grid_layout(levels, base, growth, log2_entries)
        self.table = nn.Parameter(torch.empty(self.layout.num_entries, FEATURES).uniform_(-1e-2, 1e-2))
        sizes = [levels * FEATURES] + [width] * hidden_layers + [4]
        self.decoder = nn.ModuleList(
            nn.Linear(a, b, bias=False) for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )

    def forward(self, local: Tensor, part_ids: Tensor, part_weights: Tensor, backend: Backend) -> tuple[Tensor, Tensor]:
        """Residual (N,), world units, and colour (N, 3) in [0, 1].

        Args:
            local: (N, K, 3), part_ids: (N, K), part_weights: (N, K) of a ``PartLookup``.
        """
        x = backend.part_encoding(local, part_ids, part_weights, self.table, self.layout, self.atlas)
        for layer in self.decoder[:-1]:
            x = torch.relu(layer(x))
        x = torch.tanh(self.decoder[-1](x))
        return self.residual_max * x[:, 0], 0.5 + 0.5 * x[:, 1:]
