"""The occupancy grid of one frame: which cells are occupied, how much is in them, and which part is there.

The grid is that of the op `occupancy`: the one that the tcnn backend marches through. The numba and Triton backends
find the same samples without a grid (see `culling`); there it shows what tcnn would march through.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wim_fast.model.articulated_model import Posed
from wim_fast.ops.occupancy.reference import RESOLUTION
from wim_fast.rendering.rays import BAND_SIGMOIDS
from wim_fast.viewer.inspect.snapshot import Snapshot


class GridSettings(NamedTuple):
    """How the grid is made; the defaults are those of the tcnn backend.

    Attributes:
        resolution: cells a side.
        margin: added to the distance from the union within which cells are occupied, world units; negative: tighter.
        threshold: cells whose occupancy is lower are emptied; 0 keeps all.
    """

    resolution: int = RESOLUTION
    margin: float = 0.0
    threshold: float = 0.0


class FrameGrid(NamedTuple):
    """The grid of one pose. r cells a side; cell [i, j, k] has the index i along x, j along y, k along z."""

    occupied: Tensor  # (r, r, r) bool
    low: Tensor  # (3,) corner of the box, world
    cell: Tensor  # (3,) sides of a cell, world units
    occupancy: (
        Tensor  # (r, r, r) in [0, 1], 0 where the ellipsoids alone say that nothing is; see `frame_grid`
    )
    sdf: Tensor  # (r, r, r) of the field in the cells' centres, world units; +inf where it was not evaluated
    part: Tensor  # (r, r, r) int32 nearest part, -1 where it was not evaluated

    @property
    def resolution(self) -> int:
        return len(self.occupied)

    @property
    def occupied_share(self) -> float:
        """Of all cells."""
        return float(self.occupied.float().mean())

    def centers(self, cells: Tensor) -> Tensor:
        """World positions (N, 3) of the centres of `cells` (N, 3)."""
        return self.low + (cells + 0.5) * self.cell

    def contains(self, points: Tensor) -> Tensor:
        """(N,) bool: which world `points` (N, 3) lie in occupied cells."""
        index = ((points - self.low) / self.cell).floor().long()
        inside = ((index >= 0) & (index < self.resolution)).all(-1)
        i, j, k = index.clamp(0, self.resolution - 1).unbind(-1)
        return inside & self.occupied[i, j, k]


class Cells(NamedTuple):
    """Some cells of a grid and what is in their centres, to be drawn. N cells, numpy."""

    cells: np.ndarray  # (N, 3) int16
    low: np.ndarray  # (3,) corner of the grid's box, world
    side: np.ndarray  # (3,) of a cell, world units
    sdf: np.ndarray  # (N,) of the field, world units
    occupancy: np.ndarray  # (N,) in [0, 1]
    part: np.ndarray  # (N,) int32 nearest part
    occupied: np.ndarray  # (N,) bool: not emptied


class Shell(NamedTuple):
    """The cells that can be seen."""

    cells: Cells
    open: np.ndarray  # (N, 6) bool: their sides with no occupied cell behind them, see `open_sides`


def training_band(snapshot: Snapshot) -> float:
    """How far from the union of the ellipsoids training takes samples, world units: ``d_max + 3 / s``."""
    return snapshot.model.field.residual_max + BAND_SIGMOIDS / snapshot.inv_s


@torch.no_grad()
def frame_grid(
    snapshot: Snapshot, posed: Posed, settings: GridSettings | None = None, with_field: bool = True
) -> FrameGrid:
    """The grid of the first pose in `posed` (F = 1).

    `with_field` False leaves the field out (sdf inf, occupancy 0, part -1) where the threshold does not need it.

    The occupancy of a cell is ``sigmoid(-s (sdf - d))`` with the field's sdf in its centre and half the cell's diagonal d:
    the most that ``1 - Phi`` can be anywhere in it, for an sdf that changes by no more than the distance.
    """
    settings = settings or GridSettings()
    thinnest = float(posed.semi_axes.amax(-1).min())
    reach = max(
        training_band(snapshot) + settings.margin, -0.9 * thinnest
    )  # the box must not turn inside out
    occupied, boxes = snapshot.backend.occupancy_grids(
        posed.rotation[:1],
        posed.translation[:1],
        posed.semi_axes,
        posed.union_sharpness,
        reach,
        settings.resolution,
    )
    occupied, box = occupied[0], boxes[0]
    low, cell = box[:3], (box[3:] - box[:3]) / settings.resolution
    sdf = torch.full(occupied.shape, torch.inf, device=low.device)
    part = torch.full(occupied.shape, -1, dtype=torch.int32, device=low.device)
    if not with_field and settings.threshold <= 0:
        return FrameGrid(occupied, low, cell, torch.zeros_like(sdf), sdf, part)
    sdf[occupied], part[occupied] = field_at(snapshot, posed, low + (occupied.nonzero() + 0.5) * cell)
    occupancy = _occupancy(snapshot, sdf, cell)
    occupied = occupied & (occupancy >= settings.threshold)
    return FrameGrid(occupied, low, cell, occupancy, sdf, part)


def field_at(snapshot: Snapshot, posed: Posed, points: Tensor) -> tuple[Tensor, Tensor]:
    """The field's sdf and the nearest part (N,) at world points (N, 3) in the first pose."""
    pose_ids = torch.zeros(len(points), dtype=torch.int32, device=points.device)
    values = snapshot.model.evaluate(points, pose_ids, posed, snapshot.backend)
    return values.sdf, values.nearest_part


def _occupancy(snapshot: Snapshot, sdf: Tensor, cell: Tensor) -> Tensor:
    """Of cells with sides (3,) and this sdf in their centres; see `frame_grid`."""
    return torch.sigmoid(-snapshot.inv_s * (sdf - 0.5 * cell.norm()))


@torch.no_grad()
def cells_of(snapshot: Snapshot, posed: Posed, grid: FrameGrid, cells: Tensor) -> Cells:
    """Cells (N, 3) of a grid that may have been made without the field: it is asked in these alone."""
    sdf, part = field_at(snapshot, posed, grid.centers(cells))
    occupied = grid.occupied[tuple(cells.unbind(-1))]
    values = (cells.short(), grid.low, grid.cell, sdf, _occupancy(snapshot, sdf, grid.cell), part, occupied)
    return Cells(*(value.cpu().numpy() for value in values))


def open_sides(grid: FrameGrid, axis: int | None = None, cut: int = 0) -> Tensor:
    """(r, r, r, 6) bool: which sides of the occupied cells can be seen, as no occupied cell is behind them.

    The sides are the one at the low end along x, that at the high end, and those along y and z. With an `axis` (0, 1, 2)
    only cells with an index up to `cut` along it are there.
    """
    there = grid.occupied
    if axis is not None:
        there = there & (torch.arange(grid.resolution, device=there.device) <= cut).view(
            [-1 if a == axis else 1 for a in range(3)]
        )
    padded = torch.nn.functional.pad(there, (1, 1, 1, 1, 1, 1))
    middle, low, high = slice(1, -1), slice(None, -2), slice(2, None)
    shifts = [tuple(end if a == b else middle for b in range(3)) for a in range(3) for end in (low, high)]
    return torch.stack([there & ~padded[shift] for shift in shifts], dim=-1)


def visible_cells(sides: Tensor) -> Tensor:
    """Cells (N, 3) with at least one open side (r, r, r, 6)."""
    return sides.any(-1).nonzero()


class Slice(NamedTuple):
    """A plane of cells."""

    occupied: np.ndarray  # (r, r) bool
    sdf: np.ndarray  # (r, r) world units, inf where it was not evaluated
    occupancy: np.ndarray  # (r, r)
    corner: np.ndarray  # (3,) world position of the corner of cell [0, 0], in the middle of the layer
    sides: np.ndarray  # (2, 3) world vectors from it along the first and second index


def grid_slice(grid: FrameGrid, axis: int, index: int) -> Slice:
    """The cells with `index` along `axis`; the first index runs along the first of the other two axes."""
    others = [a for a in range(3) if a != axis]
    low, cell = grid.low.cpu().numpy(), grid.cell.cpu().numpy()
    corner = low.copy()
    corner[axis] += (index + 0.5) * cell[axis]
    sides = np.zeros((2, 3))
    for row, other in enumerate(others):
        sides[row, other] = grid.resolution * cell[other]
    occupied, sdf, occupancy = (
        x.select(axis, index).cpu().numpy() for x in (grid.occupied, grid.sdf, grid.occupancy)
    )
    return Slice(occupied, sdf, occupancy, corner, sides)


def cells_on_ray(grid: FrameGrid, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """The cells that a ray crosses, in order: indices (N, 3), and the distances (N, 2) where it enters and leaves them.

    Args:
        origin, direction: (3,) world; unit direction.
    """
    ends = torch.arange(grid.resolution + 1, device=origin.device)[:, None]
    safe = torch.where(direction.abs() < 1e-9, 1e-9, direction).double()
    planes = ((grid.low + ends * grid.cell).double() - origin) / safe  # (r + 1, 3)
    near = float(torch.minimum(planes[0], planes[-1]).amax().clamp_min(0))
    far = float(torch.maximum(planes[0], planes[-1]).amin())
    if far <= near:
        return torch.empty(0, 3, dtype=torch.int64), torch.empty(0, 2)
    t = torch.cat([planes.flatten().clamp(near, far), planes.new_tensor([near, far])]).unique()
    t = t[torch.cat([t.new_ones(1, dtype=torch.bool), t.diff() > 1e-9])]
    middle = 0.5 * (t[1:] + t[:-1])
    points = origin + middle[:, None] * direction.double()
    cells = ((points - grid.low) / grid.cell).floor().long().clamp(0, grid.resolution - 1)
    return cells, torch.stack([t[:-1], t[1:]], dim=1).float()
