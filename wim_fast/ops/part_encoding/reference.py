"""Features of a point from the hash-grid boxes of its parts, in plain torch: the specification of the compiled kernels.

The grid is the multiresolution hash grid of Mueller et al. (2022) in tiny-cuda-nn's table layout; all parts share it:
part i's local box is tile i of an atlas in the grid's unit cube.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

FEATURES = 2  # per entry and level
MIN_WEIGHT = 0.01  # parts that weigh less are not read
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

    @property
    def num_levels(self) -> int:
        return len(self.scales)

    @property
    def num_entries(self) -> int:
        return self.offsets[-1]


@dataclass(frozen=True)
class Atlas:
    """A cube of `tiles`^3 boxes, each `2 * half_extent` wide and padded; `side` is the whole cube in world units."""

    tiles: int
    half_extent: float
    side: float


def grid_layout(num_levels: int, base_resolution: int, growth: float, log2_entries: int) -> GridLayout:
    """The layout of tiny-cuda-nn's ``HashGrid`` encoding with these settings."""
    scales, resolutions, offsets, dense = [], [], [0], []
    for level in range(num_levels):
        scale = base_resolution * growth**level - 1.0
        resolution = math.ceil(scale) + 1
        entries = min((resolution**3 + 7) // 8 * 8, 2**log2_entries)
        scales.append(scale)
        resolutions.append(resolution)
        dense.append(resolution**3 <= entries)
        offsets.append(offsets[-1] + entries)
    return GridLayout(tuple(scales), tuple(resolutions), tuple(offsets), tuple(dense))


def part_atlas(parts: int, half_extent: float, coarsest_cell: float) -> Atlas:
    """Room for all parts, padded by one coarsest cell so that interpolation never crosses tiles."""
    tiles = math.ceil(parts ** (1 / 3) - 1e-9)
    return Atlas(tiles, half_extent, tiles * 2 * (half_extent + coarsest_cell))


def atlas_positions(local: Tensor, part_ids: Tensor, atlas: Atlas) -> Tensor:
    """Positions (..., 3) in the unit cube of `local` (..., 3), world units in the frame of part `part_ids` (...)."""
    ids = part_ids.long()
    tile = torch.stack([ids % atlas.tiles, ids // atlas.tiles % atlas.tiles, ids // atlas.tiles**2], dim=-1)
    return local.clamp(-atlas.half_extent, atlas.half_extent) / atlas.side + (tile + 0.5) / atlas.tiles


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
        total = table.new_zeros(len(positions), table.shape[1])
        for corner in itertools.product((0, 1), repeat=3):
            grid = cell + torch.tensor(corner, device=positions.device)
            if layout.dense[level]:
                side = layout.resolutions[level]
                index = grid[:, 0] + side * (grid[:, 1] + side * grid[:, 2])
            else:
                index = (
                    grid[:, 0] ^ (grid[:, 1] * PRIMES[1] & 0xFFFFFFFF) ^ (grid[:, 2] * PRIMES[2] & 0xFFFFFFFF)
                )
            weight = torch.ones_like(positions[:, 0])
            for axis in range(3):
                weight = weight * (fraction[:, axis] if corner[axis] else 1 - fraction[:, axis])
            total = total + weight[:, None] * table[layout.offsets[level] + index % size]
        features.append(total)
    return torch.cat(features, dim=1)


def part_encoding(
    local: Tensor, part_ids: Tensor, part_weights: Tensor, table: Tensor, layout: GridLayout, atlas: Atlas
) -> Tensor:
    """``f = sum_k w_k h(tile_k(x_k))`` (N, L * F), over the parts with a weight of at least `MIN_WEIGHT`.

    local (N, K, 3), part_ids (N, K) and part_weights (N, K) are those of a ``PartLookup``.
    """
    n, k = part_ids.shape
    positions = atlas_positions(local, part_ids, atlas).view(n * k, 3)
    weights = torch.where(part_weights < MIN_WEIGHT, 0.0, part_weights)
    features = hashgrid(positions, table, layout).view(n, k, table.shape[1] * layout.num_levels)
    return (features * weights[..., None]).sum(1)
