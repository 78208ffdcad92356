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
    march_counts,
    missed_mass,
)
from wim_fast.viewer.inspect.subject import Subject


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
    grid_steps_per_ray: float  # steps in occupied cells, over all rays
    missed_mass: float  # share of the opacity outside the grid

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def frame_numbers(
    subject: Subject, posed: Posed, grid: FrameGrid, rays: Rays, dense: DenseRender | None = None
) -> FrameNumbers:
    """The numbers of a pose. `dense`: the whole dense render of the same rays, if it is known already."""
    dense = dense or dense_render(subject, posed, rays)
    march, through_grid = march_counts(subject, posed, rays), grid_counts(dense, grid)
    return FrameNumbers(
        grid.resolution,
        int(grid.occupied.sum()),
        grid.occupied_share,
        dense.num_rays,
        march.per_ray,
        march.per_hit,
        march.rays_without,
        through_grid.per_ray,
        missed_mass(dense, grid),
    )
