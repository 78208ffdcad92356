"""A frame in numbers, and a film of them: what says whether empty-space skipping is safe, and what it saves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from wim_fast.model.articulated_model import Posed
from wim_fast.rendering.rays import Rays
from wim_fast.viewer.inspect.grid import FrameGrid
from wim_fast.viewer.inspect.rays import (
    DenseRender,
    dense_render,
    grid_counts,
    interval_counts,
    march_counts,
    missed_by_intervals,
    missed_mass,
)
from wim_fast.viewer.inspect.snapshot import Snapshot


@dataclass(frozen=True)
class FrameNumbers:
    """Of one frame and one grid; shares are in [0, 1]."""

    resolution: int  # cells a side
    occupied_cells: int
    occupied_share: float  # of all cells
    rays: int  # that the following are taken from
    samples_per_ray: float  # of the march, over all rays
    samples_per_hit: float  # over rays that have any
    rays_without_samples: float  # share
    interval_steps_per_ray: (
        float  # steps between a ray's first entry into an inflated ellipsoid and its last exit
    )
    rays_without_intervals: float  # share of the rays that have no such step
    missed_by_intervals: float  # share of the opacity outside of these spans
    grid_steps_per_ray: float  # steps in occupied cells, over all rays
    missed_mass: float  # share of the opacity outside the grid

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def frame_numbers(
    snapshot: Snapshot, posed: Posed, grid: FrameGrid, rays: Rays, dense: DenseRender | None = None
) -> FrameNumbers:
    """The numbers of a pose. `dense`: the whole dense render of the same rays, if it is known already."""
    dense = dense or dense_render(snapshot, posed, rays)
    march, through_grid = march_counts(snapshot, posed, rays), grid_counts(dense, grid)
    through_intervals = interval_counts(snapshot, posed, rays, dense)
    return FrameNumbers(
        grid.resolution,
        int(grid.occupied.sum()),
        grid.occupied_share,
        dense.num_rays,
        march.per_ray,
        march.per_hit,
        march.rays_without,
        through_intervals.per_ray,
        through_intervals.rays_without,
        missed_by_intervals(snapshot, posed, rays, dense),
        through_grid.per_ray,
        missed_mass(dense, grid),
    )
