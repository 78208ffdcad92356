"""Shape and colour of the parts: one hash grid over an atlas of part boxes, and a small decoder (paper section 3.3)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from wim_fast.ops.articulated.reference import PartLookup
from wim_fast.ops.backend import Backend
from wim_fast.ops.part_encoding.reference import FEATURES, grid_layout, part_atlas
from wim_fast.ops.shading.reference import Shaded
from wim_fast.profiling import stage


class PartField(nn.Module):
    """Weighted features of the nearest parts -> bounded residual of the signed distance, and colour.

    ``f = sum_k w_k h(tile_k(x_k))``, decoded by an MLP without biases (what tiny-cuda-nn's fused MLP has). The
    paper holds colour constant over time. Film has lights that stay while parts turn, so with `lighting` the decoded
    colour is multiplied by one smooth function of the world normal, learned for the whole scene.
    """

    def __init__(
        self,
        parts: int,
        log2_entries: int,
        coarsest_cell: float,
        finest_cell: float,
        width: int,
        hidden_layers: int,
        residual_max: float,
        half_extent: float,
        lighting: bool,
    ) -> None:
        super().__init__()
        self.residual_max = residual_max
        self.atlas = part_atlas(parts, half_extent, coarsest_cell)
        base = (
            round(self.atlas.side / coarsest_cell) + 1
        )  # grid points a side: cells no wider than the padding
        levels = 1 + max(
            0, round(math.log2(coarsest_cell / finest_cell))
        )  # each about twice as fine as the last
        growth = (coarsest_cell / finest_cell) ** (1 / max(levels - 1, 1))
        self.layout = grid_layout(levels, base, growth, log2_entries)
        self.table = nn.Parameter(torch.empty(self.layout.num_entries, FEATURES).uniform_(-1e-2, 1e-2))
        sizes = [levels * FEATURES] + [width] * hidden_layers + [4]
        self.decoder = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(sizes))

        self.lighting = nn.Parameter(torch.zeros(8, 3)) if lighting else None

    @stage("decoder")
    def forward(self, lookup: PartLookup, backend: Backend, lit: bool = True) -> Shaded:
        """Signed distance (N,), world units, and colour (N, 3), in [0, 1] before lighting, of looked-up points.

        Without `lit`, the part of the light that depends on the normal is left out.
        """
        decoded, lighting = self._decoded(lookup, backend), self.lighting if lit else None
        return backend.shade(decoded, lookup.union, lookup.normal, lighting, self.residual_max)

    @stage("decoder")
    def signed_distance(self, lookup: PartLookup, backend: Backend) -> Tensor:
        """The signed distance alone, (N,), world units."""
        residual = torch.tanh(self._decoded(lookup, backend)[:, 0])
        return torch.add(lookup.union, residual, alpha=self.residual_max)

    def _decoded(self, lookup: PartLookup, backend: Backend) -> Tensor:
        """(N, 4) residual and colour, before they are bounded."""
        x = backend.part_encoding(
            lookup.local, lookup.part_ids, lookup.part_weights, self.table, self.layout, self.atlas
        )
        return backend.decoder_mlp(x, [layer.weight for layer in self.decoder], "relu")
