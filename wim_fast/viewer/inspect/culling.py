"""How the march of the backend at hand skips empty space: where its rays enter and leave the inflated ellipsoids."""

from __future__ import annotations

import torch
from torch import Tensor

from wim_fast.model.articulated_model import Posed
from wim_fast.ops.articulated.reference import union_reach
from wim_fast.ops.backend import Backend
from wim_fast.ops.march.reference import ray_intervals
from wim_fast.rendering.rays import Rays
from wim_fast.viewer.inspect.grid import training_band
from wim_fast.viewer.inspect.snapshot import Snapshot


def part_intervals(snapshot: Snapshot, posed: Posed, rays: Rays, distance: float | None = None) -> Tensor:
    """Entry and exit (R, P, 2) of each ray in each inflated ellipsoid, as training inflates them: see `ray_intervals`.

    Behind the camera nothing is marched: entries are at least 0, and what lies behind it wholly is empty, (inf, -inf).
    They hold all that is within `distance` of the union of the ellipsoids, world units; None: the band of training.
    """
    distance = training_band(snapshot) if distance is None else distance
    reach = union_reach(distance, snapshot.num_parts, posed.union_sharpness)
    intervals = ray_intervals(*rays, posed.rotation, posed.translation, posed.semi_axes, reach)
    is_ahead = intervals[..., 1:] > 0
    empty = intervals.new_tensor([torch.inf, -torch.inf])
    return torch.where(is_ahead, torch.stack([intervals[..., 0].clamp_min(0), intervals[..., 1]], -1), empty)


def spans(intervals: Tensor) -> Tensor:
    """(R, 2) from the first entry to the last exit of each ray: what is stepped through; (inf, -inf) where there is none."""
    return torch.stack([intervals[..., 0].amin(-1), intervals[..., 1].amax(-1)], dim=-1)


def within_spans(span: Tensor, ray_ids: Tensor, t: Tensor) -> Tensor:
    """(N,) bool: which samples at distances `t` (N,) of rays `ray_ids` (N,) lie in the spans (R, 2) of their rays."""
    return (t >= span[ray_ids, 0]) & (t <= span[ray_ids, 1])


def how_it_culls(backend: Backend) -> str:
    """What the march of a backend does, in a sentence."""
    return {
        "intervals": f"The {backend.name} backend culls analytically: a ray is stepped through from where it first enters"
        " an inflated ellipsoid to where it leaves the last one, and bounds of the distance skip what is empty in between.",
        "grid": f"The {backend.name} backend marches through the occupied cells of a grid; all others are skipped.",
        "none": f"The {backend.name} backend skips nothing: it looks at every step of every ray.",
    }[backend.culling]


def what_the_grid_is(backend: Backend) -> str:
    """Whose grid is shown, in a sentence."""
    if backend.culling == "grid":
        return f"The occupancy grid that the {backend.name} backend marches through in this frame."
    own = "culls analytically" if backend.culling == "intervals" else "skips nothing"
    return f"The grid that the tcnn backend marches through; this run's backend {backend.name} {own}."
