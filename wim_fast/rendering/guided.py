"""What rays see, where a guide has found the surface for them: a ray that runs near them and looks where it can be.

Guides take samples far apart, then finer ones where the surface can be seen; the rays near them only these. So most of
the samples that tell where nothing is are taken once for many rays.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.ops.backend import Backend
from wim_fast.ops.march.reference import Samples
from wim_fast.rendering.rays import BAND_SIGMOIDS, STEP_SIGMOIDS, RayCameras, Rays, march_rays
from wim_fast.rendering.refine import (
    RayDistances,
    divided,
    inserted,
    interval_lengths,
    ray_offsets,
    visible_intervals,
)

CLEAR_SIGMOIDS = 20.0  # so far from the surface nothing of it is to be seen
ROOM = 8  # samples per ray, on average, that arrays of fixed size have room for at first


class Seen(NamedTuple):
    """What R rays see."""

    color: Tensor  # (R, 5) premultiplied colour, opacity and depth
    part: Tensor  # (R,) int32 the nearest at the depth that is seen, -1 for rays without samples
    samples: RayDistances  # that they took


@dataclass(frozen=True)
class View:
    """What is rendered, from where, and how."""

    model: ArticulatedModel
    posed: Posed  # F = 1
    calibration: RayCameras  # V = 1
    inv_s: float
    backend: Backend

    @property
    def step(self) -> float:
        """Between samples where the surface is, world units."""
        return STEP_SIGMOIDS / self.inv_s

    @property
    def halvings(self) -> int:
        """How often the distance between a guide's first samples is halved to be a step: they still find all of the band."""
        band = self.model.field.residual_max + BAND_SIGMOIDS / self.inv_s
        return max(0, int(math.log2(band / self.step)))

    @property
    def coarse_step(self) -> float:
        """Between a guide's first samples, world units."""
        return 2**self.halvings * self.step

    @functools.cached_property
    def reach(self) -> float:
        """Distance from the camera within which the object is, world units."""
        away = self.posed.translation[0] - self.calibration.center
        return float(away.norm(dim=-1).max() + self.posed.semi_axes.max())

    def rays(self, pixels: Tensor) -> Rays:
        """Through `pixels` (N, 2)."""
        camera = torch.zeros(1, dtype=torch.int64, device=pixels.device)
        origins, directions = self.calibration.rays(camera, pixels[None])
        return Rays(
            origins[0], directions[0], torch.zeros(len(pixels), dtype=torch.int32, device=pixels.device)
        )

    def distances(self, rays: Rays, t: Tensor, ray_ids: Tensor) -> RayDistances:
        """From the surface, at distances t (N,) along `rays`."""
        points = _points(rays, t, ray_ids)
        sdf = self.model.signed_distance(
            points, rays.pose_ids.index_select(0, ray_ids), self.posed, self.backend
        )
        return RayDistances(t, ray_ids, sdf)


def around(pixels: Tensor, shifts: Tensor) -> Tensor:
    """(G * k, 2): those at `shifts` (k, 2) from each of `pixels` (G, 2), one after the other."""
    return (pixels[:, None] + shifts).view(-1, 2)


def guide(view: View, pixels: Tensor, spread: float) -> RayDistances:
    """Samples of the rays through `pixels` (R, 2), two steps apart, that tell where the surface can be seen near them.

    Args:
        spread: distance, at distance 1, to the rays that are guided.
    """
    rays = view.rays(pixels)
    step = view.coarse_step
    samples = _coarse_samples(view, rays, spread)
    found = view.distances(rays, samples.t, samples.ray_ids)
    # in front of a ray's first sample the union is beyond the band; the surface can be in between, if this one is near it
    near = found.sdf < step + BAND_SIGMOIDS / view.inv_s + spread * found.t
    found = _with_samples(view, rays, found, (interval_lengths(found) == 0) & near, step)
    for _ in range(view.halvings - 1):
        offsets = ray_offsets(found.ray_ids, len(pixels))
        wanted = visible_intervals(found, offsets, 1.5 * step, view.inv_s, spread * found.t)
        step /= 2
        found = _with_samples(view, rays, found, wanted & (interval_lengths(found) > 1.5 * step), step)
    return found


def follow(view: View, found: RayDistances, pixels: Tensor, shifts: Tensor, spread: float) -> RayDistances:
    """Guides that look where others have `found` the surface: those at `shifts` (k, 2) from each of `pixels` (G, 2).

    Args:
        found: samples of the rays through `pixels`.
        spread: see `guide`; of `pixels`.
    """
    rays, t, ray_ids, _ = _near(view, found, pixels, shifts, spread, view.inv_s)
    return view.distances(rays, t, ray_ids)


def see(view: View, found: RayDistances, pixels: Tensor, shifts: Tensor, spread: float, inv_s: float) -> Seen:
    """What the rays at `shifts` from each of `pixels` see, G * k, pixel after pixel.

    Args:
        found, pixels, shifts, spread: see `follow`.
        inv_s: sharpness s of the surface, 1 / world units.
    """
    rays, t, ray_ids, offsets = _near(view, found, pixels, shifts, spread, inv_s)
    points = _points(rays, t, ray_ids)
    values = view.model.evaluate(points, rays.pose_ids.index_select(0, ray_ids), view.posed, view.backend)
    samples = RayDistances(t, ray_ids, values.sdf)
    seen = view.backend.composite(_closed(samples, 1.5 * view.step, inv_s), values.rgb, t, offsets, inv_s)
    color = torch.cat([seen.rgb, seen.opacity[:, None], seen.depth[:, None]], 1)
    return Seen(color, _part_seen(t, ray_ids, values.nearest_part, color), samples)


def _closed(samples: RayDistances, longest: float, inv_s: float) -> Tensor:
    """Distances (N,) by which rays come from where nothing is to runs of samples, and end in those that end inside."""
    length = interval_lengths(samples)
    begins = (length == 0) | (length > longest)
    clear = CLEAR_SIGMOIDS / inv_s
    sdf = torch.where(begins.roll(-1) & (samples.sdf < 0), -clear, samples.sdf)
    return torch.where(begins, clear, sdf)


def _near(
    view: View, found: RayDistances, pixels: Tensor, shifts: Tensor, spread: float, inv_s: float
) -> tuple[Rays, Tensor, Tensor, Tensor]:
    """Rays at `shifts` from `pixels`, and samples where these found what can be seen: t, ray_ids (N,), rays' offsets."""
    k, longest = len(shifts), 1.5 * view.coarse_step
    offsets = ray_offsets(found.ray_ids, len(pixels))
    wanted = visible_intervals(found, offsets, longest, inv_s, spread * found.t)
    t, guide_ids = divided(found, wanted, view.step)
    count = torch.bincount(guide_ids, minlength=len(pixels))
    first = (count.cumsum(0) - count).repeat_interleave(k)  # of the guide's samples, which its rays share
    offsets = pad(count.repeat_interleave(k).cumsum(0), (1, 0))
    ray_ids = torch.repeat_interleave(offsets.diff())
    row = torch.arange(len(ray_ids), device=t.device) + (first - offsets[:-1]).index_select(0, ray_ids)
    return view.rays(around(pixels, shifts)), t.index_select(0, row), ray_ids, offsets


def _points(rays: Rays, t: Tensor, ray_ids: Tensor) -> Tensor:
    """(N, 3) in the world. Rows are selected: to index them takes four times as long on the CPU."""
    origins, directions = (x.index_select(0, ray_ids) for x in (rays.origins, rays.directions))
    return torch.addcmul(origins, t[:, None], directions)


def _with_samples(
    view: View, rays: Rays, found: RayDistances, wanted: Tensor, distance: float
) -> RayDistances:
    """`found` and a sample at this distance in front of each wanted one (N,)."""
    before = wanted.nonzero().squeeze(1)
    new = view.distances(rays, found.t[before] - distance, found.ray_ids[before])
    return inserted(found, before, new)


def _coarse_samples(view: View, rays: Rays, spread: float) -> Samples:
    """Samples in the middle of a step, many steps apart; where arrays have a fixed size, in such that have room for all."""
    stride = 2**view.halvings
    jitter = torch.full((len(rays.origins),), 0.5 / stride, device=view.backend.device)

    def samples(capacity: int | None) -> Samples:
        return march_rays(
            view.posed,
            rays,
            jitter,
            view.model.field.residual_max,
            view.inv_s,
            view.backend,
            capacity,
            stride,
            margin=spread * view.reach,
        )

    if not view.backend.needs_capacity:
        return samples(None)
    capacity = ROOM * len(jitter)
    found = samples(capacity)
    if missing := int(found.overflow):
        found = samples(capacity + missing)
    count = int(found.offsets[-1])
    return found._replace(t=found.t[:count], ray_ids=found.ray_ids[:count])


def _part_seen(t: Tensor, ray_ids: Tensor, nearest_part: Tensor, color: Tensor) -> Tensor:
    """The nearest part (R,) at each ray's sample closest to the depth that is seen; -1 for rays without samples."""
    rays = len(color)
    depth = color[:, 4] / color[:, 3].clamp_min(1e-6)
    distance = (t - depth.index_select(0, ray_ids)).abs()
    least = distance.new_full((rays,), torch.inf).scatter_reduce(0, ray_ids, distance, "amin")
    part = torch.full((rays,), -1, dtype=torch.int32, device=distance.device)
    closest = (distance == least.index_select(0, ray_ids)).nonzero().squeeze(1)
    part[ray_ids[closest]] = nearest_part[closest]
    return part
