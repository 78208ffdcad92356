"""The signed distance of a posed model on a regular grid, evaluated where the surface can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wim_fast.errors import UserError
from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.ops.articulated.reference import union_reach
from wim_fast.ops.backend import Backend

BLOCK = 4  # grid points a side whose distances are bounded by that of one of them
CHUNK = 1 << 15  # points at a time
MOST_POINTS = 1 << 28  # of a grid: a gigabyte of distances
PLENTY = 1 << 25  # of a grid that need not be as fine as that
COARSER = 4.0  # times: parts that need more have gone astray
MARGIN = 2  # grid points left outside of all that the surface can reach


def never() -> None:
    """Go on."""


@dataclass(frozen=True)
class DistanceGrid:
    """Signed distances at the points of a grid; those far from the surface have only the right sign."""

    sdf: np.ndarray  # (X, Y, Z) float32, world units
    low: np.ndarray  # (3,) world position of the first point
    cell: float  # between neighbours, world units

    def zero_crossing(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (N, 3) float64, world, and faces (M, 3) int32, counter-clockwise from outside, of all surfaces."""
        from skimage.measure import marching_cubes

        if not (self.sdf < 0).any():
            return np.zeros((0, 3)), np.zeros((0, 3), np.int32)
        vertices, faces, _, _ = marching_cubes(self.sdf, 0.0)
        return self.low + self.cell * vertices.astype(np.float64), faces.astype(np.int32)


@torch.no_grad()
def distance_grid(
    model: ArticulatedModel, posed: Posed, cell: float, backend: Backend, pause: Callable[[], None] = never
) -> DistanceGrid:
    """Of the first pose in `posed`. `pause` is called now and then; what it raises ends the work.

    UserError where the grid would take too much memory.

    The union of ellipsoids changes by no more than the way (its gradient is shorter than 1) and the residual is
    bounded: from one point of each block follows whether the surface can be in it.
    """
    low, high = surface_bounds(model, posed)
    low, high = low - MARGIN * cell, high + MARGIN * cell
    shape = [BLOCK * int(np.ceil((n + 1) / BLOCK)) for n in np.ceil((high - low) / cell)]  # whole blocks
    if np.prod(shape, dtype=float) > MOST_POINTS:
        problem = f"its surface may reach {(high - low).max():.3g} units, {max(shape)} cells along a side"
        raise UserError("model", problem, "ask for larger cells, or train longer")
    axes = [torch.arange(0, n, BLOCK, device=backend.device) for n in shape]
    corners = torch.cartesian_prod(*axes)
    origin = torch.as_tensor(low, dtype=torch.float32, device=backend.device)

    def at(index: Tensor) -> Tensor:
        return origin + cell * index

    half = (BLOCK - 1) / 2
    union = _chunked(lambda x: _union(model, posed, x, backend), at(corners + half), pause)
    near = union.abs() < half * 3**0.5 * cell + model.field.residual_max
    sdf = torch.where(near, 0.0, union).view([len(a) for a in axes])
    for axis in range(3):
        sdf = sdf.repeat_interleave(BLOCK, axis)
    inside = torch.cartesian_prod(*[torch.arange(BLOCK, device=backend.device)] * 3)
    index = (corners[near][:, None] + inside).view(-1, 3)
    sdf[tuple(index.T)] = _chunked(lambda x: _distance(model, posed, x, backend), at(index), pause)
    return DistanceGrid(sdf.cpu().numpy(), low, cell)


def affordable_cell(model: ArticulatedModel, posed: Posed, cell: float) -> float:
    """Of a grid of the first pose: `cell`, or up to `COARSER` times it where points would be more than `PLENTY`."""
    low, high = surface_bounds(model, posed)
    return min(max(cell, float(np.prod(high - low) / PLENTY) ** (1 / 3)), COARSER * cell)


def surface_bounds(model: ArticulatedModel, posed: Posed) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest world coordinates (3,) that the surface of the first pose can have."""
    union = float(union_reach(0.0, len(posed.semi_axes), posed.union_sharpness))  # beyond the ellipsoids
    reach = model.field.residual_max + union
    low, high = bounds(posed)
    return low - reach, high + reach


def bounds(posed: Posed) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest world coordinates (3,) of all ellipsoids of the first pose."""
    extent = (posed.rotation[0] * posed.semi_axes[:, None, :]).norm(
        dim=-1
    )  # (P, 3) half sides of their boxes
    low, high = (posed.translation[0] - extent).amin(0), (posed.translation[0] + extent).amax(0)
    return low.double().cpu().numpy(), high.double().cpu().numpy()


def _chunked(function: Callable[[Tensor], Tensor], points: Tensor, pause: Callable[[], None]) -> Tensor:
    values = []
    for chunk in points.split(CHUNK):
        pause()
        values.append(function(chunk))
    return torch.cat(values)


def _pose_ids(points: Tensor) -> Tensor:
    return torch.zeros(len(points), dtype=torch.int32, device=points.device)


def _union(model: ArticulatedModel, posed: Posed, points: Tensor, backend: Backend) -> Tensor:
    return backend.articulated_lookup(points, _pose_ids(points), *posed, 1).union


def _distance(model: ArticulatedModel, posed: Posed, points: Tensor, backend: Backend) -> Tensor:
    return model.signed_distance(points, _pose_ids(points), posed, backend)
