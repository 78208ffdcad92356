"""Occupancy grids of the posed ellipsoids: which cells of space the surface can be in, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from wim_fast.ops.articulated.reference import union_reach

RESOLUTION = 48  # cells a side of a pose's grid
ROUNDING = 1e-3  # world units by which float32 may err in the bounds below
AT_ONCE = 2**20  # bounds of single ellipsoids that are in memory at once


def occupancy_grids(
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    union_sharpness: Tensor,
    reach: float | Tensor,
    resolution: int = RESOLUTION,
) -> tuple[Tensor, Tensor]:
    """The grid of each pose: cells (F, r, r, r) bool where the union can be within `reach`, and boxes (F, 6), min and max corner.

    A cell is occupied if a lower bound of the union in its centre is at most `reach` plus half its diagonal: the smooth
    union of lower bounds of the distances. A distance is at least ``|x| - max(r)`` and, outside, that of the plane that
    touches the ellipsoid with normal ``x / r^2``: ``k0 (k0 - 1) / k1`` for ``k0 = |x / r|``, ``k1 = |x / r^2|``. So no
    point of an empty cell is within `reach`. Shapes as in ``march.reference.march``; no gradient.
    """
    with torch.no_grad():
        largest = semi_axes.amax(-1)  # (P,)
        boxes = occupancy_boxes(translation, semi_axes, union_sharpness, reach)
        low, high = boxes.split(3, dim=1)
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        half_diagonal = half.norm(dim=-1) / resolution  # (F,)
        to_local = (rotation * half[:, None, :, None]).transpose(
            -1, -2
        )  # (F, P, 3, 3), of positions in [-1, 1]^3
        offset = torch.einsum("fpab,fpa->fpb", rotation, middle[:, None] - translation)
        centers = (torch.arange(resolution, device=low.device) + 0.5) * (2 / resolution) - 1
        layers = max(1, AT_ONCE // (resolution**2 * largest.numel() * len(boxes)))
        slabs = []
        for x in centers.split(layers):
            monomials = _monomials(x, centers)  # (G, 10), G = layers * r^2
            norm = _norms(monomials, to_local, offset)  # |x|, (G, F, P)
            scaled = _norms(monomials, to_local / semi_axes[..., None], offset / semi_axes)  # |x / r|
            steep = _norms(
                monomials, to_local / semi_axes[..., None] ** 2, offset / semi_axes**2
            )  # |x / r^2|
            bound = torch.where(scaled > 1, scaled * (scaled - 1) / steep.clamp_min(1e-6), -torch.inf)
            bound = torch.maximum(bound, norm - largest)  # (G, F, P)
            bound = -torch.logsumexp(-union_sharpness * bound, dim=-1) / union_sharpness
            occupied = bound <= reach + half_diagonal + ROUNDING
            slabs.append(occupied.t().reshape(-1, len(x), resolution, resolution))
        return torch.cat(slabs, dim=1), boxes


def occupancy_boxes(
    translation: Tensor, semi_axes: Tensor, union_sharpness: Tensor, reach: float | Tensor
) -> Tensor:
    """(F, 6) min and max corner of what each pose can have within `reach` of its union; arguments as for the grids."""
    margin = (semi_axes.amax(-1) + union_reach(reach, len(semi_axes), union_sharpness))[:, None]
    return torch.cat([(translation - margin).amin(1), (translation + margin).amax(1)], dim=-1)


def _monomials(xs: Tensor, axis: Tensor) -> Tensor:
    """(X r^2, 10) of the points of X layers of a cubic grid, z fastest: x^2, y^2, z^2, 2xy, 2xz, 2yz, 2x, 2y, 2z, 1."""
    x, y, z = (v.flatten() for v in torch.meshgrid(xs, axis, axis, indexing="ij"))
    return torch.stack(
        [x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z, 2 * x, 2 * y, 2 * z, torch.ones_like(x)],
        dim=-1,
    )


def _norms(monomials: Tensor, linear: Tensor, offset: Tensor) -> Tensor:
    """|A u + d| (G, F, P) at G points u, for A = `linear` (F, P, 3, 3) and d = `offset` (F, P, 3): one matrix product."""
    square = linear.transpose(-1, -2) @ linear
    mixed = (linear.transpose(-1, -2) @ offset[..., None])[..., 0]
    diagonal = square.diagonal(dim1=-2, dim2=-1)
    upper = torch.cat([square[..., 0, 1:], square[..., 1, 2:]], dim=-1)
    coefficients = torch.cat([diagonal, upper, mixed, offset.square().sum(-1, keepdim=True)], dim=-1)
    norms = monomials @ coefficients.flatten(0, 1).t()
    return norms.clamp_min(0).sqrt().view(len(monomials), *offset.shape[:2])
