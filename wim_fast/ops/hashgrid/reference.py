"""Multiresolution hash grid in plain torch (Mueller et al. 2022), in tiny-cuda-nn's table layout."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

PRIMES = (1, 2654435761, 805459861)


@dataclass(frozen=True)
class GridLayout:
    """Where each level's entries lie in the table: everything the kernels need to know besides the table itself.

    Level l has ``scale = base_resolution * growth^l - 1`` and ``ceil(scale) + 1`` grid points a side; a level keeps one
    entry per grid point (x fastest) while these fit into the table and is hashed from there on.
    """

    scales: tuple[float, ...]  # cells along the unit cube
    resolutions: tuple[int, ...]  # grid points a side
    offsets: tuple[int, ...]  # first entry of each level, and the total at the end
    dense: tuple[bool, ...]
    num_features: int

    @property
    def num_levels(self) -> int:
        return len(self.scales)

    @property
    def num_entries(self) -> int:
        return self.offsets[-1]


def grid_layout(
    num_levels: int, base_resolution: int, growth: float, log2_entries: int, num_features: int
) -> GridLayout:
    """The layout of tiny-cuda-nn's ``HashGrid`` encoding with these settings."""
    scales, resolutions, offsets, dense = [], [], [0], []
    for level in range(num_levels):
        scale = 2.0 ** (level * math.log2(growth)) * base_resolution - 1.0 if growth != 1 else base_resolution - 1.0
        resolution = math.ceil(scale) + 1
        entries = min((resolution**3 + 7) // 8 * 8, 2**log2_entries)
        scales.append(scale)
        resolutions.append(resolution)
        dense.append(resolution**3 <= entries)
        offsets.append(offsets[-1] + entries)
    return GridLayout(tuple(scales), tuple(resolutions), tuple(offsets), tuple(dense), num_features)


def hashgrid(positions: Tensor, table: Tensor, layout: GridLayout) -> Tensor:
    """Interpolated features (N, L * F) of `positions` (N, 3) in the unit cube; `table` is (entries, F).

    Differentiable in both; the gradient in the positions is that of trilinear interpolation.
    """
    features = []
    for level in range(layout.num_levels):
        scaled = positions * layout.scales[level] + 0.5
        cell = scaled.detach().floor()
        fraction = scaled - cell
        cell = cell.long()
        size = layout.offsets[level + 1] - layout.offsets[level]
        total: Tensor | float = 0.0
        for corner in itertools.product((0, 1), repeat=3):
            grid = cell + torch.tensor(corner, device=positions.device)
            if layout.dense[level]:
                side = layout.resolutions[level]
                index = grid[:, 0] + side * (grid[:, 1] + side * grid[:, 2])
            else:
                index = grid[:, 0] ^ (grid[:, 1] * PRIMES[1] & 0xFFFFFFFF) ^ (grid[:, 2] * PRIMES[2] & 0xFFFFFFFF)
            weight = torch.ones_like(positions[:, 0])
            for axis in range(3):
                weight = weight * (fraction[:, axis] if corner[axis] else 1 - fraction[:, axis])
            total = total + weight[:, None] * table[layout.offsets[level] + index % size]
        features.append(total)
    return torch.cat(features, dim=1)
