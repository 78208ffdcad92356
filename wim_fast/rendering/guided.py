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

from wim_fast.model.articulated_model import ArticulatedModel, FieldValues, Posed
from wim_fast.ops.backend import Backend
from wim_fast.ops.march.reference import Samples
from wim_fast.rendering.rays import BAND_SIGMOIDS, STEP_SIGMOIDS, RayCameras, Rays, march_rays

ROOM = 8  # samples per ray, on average, that arrays of fixed size have room for at first


class RayDistances(NamedTuple):
    """The signed distance at N samples of R rays, ray after ray."""

    t: Tensor  # (N,) distance along the ray, ascending within a ray
    sdf: Tensor  # (N,) world units
    offsets: Tensor  # (R + 1,) int64: ray r has the samples offsets[r]:offsets[r + 1]


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
        origins, directions = self.calibration.rays(camera, pixels[None], self.backend.camera_rays)
        return Rays(
            origins[0], directions[0], torch.zeros(len(pixels), dtype=torch.int32, device=pixels.device)
        )

    def distances(self, rays: Rays, samples: Samples) -> Tensor:
        """(N,) from the surface, at samples of `rays`."""
        along = self.backend.samples_along(*rays, samples)
        return self.model.signed_distance(along.points, along.pose_ids, self.posed, self.backend)

    def values(self, rays: Rays, samples: Samples) -> FieldValues:
        """All that the model says of samples of `rays`."""
        along = self.backend.samples_along(*rays, samples)
        return self.model.evaluate(along.points, along.pose_ids, self.posed, self.backend)


def around(pixels: Tensor, shifts: Tensor) -> Tensor:
    """(G * k, 2): those at `shifts` (k, 2) from each of `pixels` (G, 2), one after the other."""
    return (pixels[:, None] + shifts).view(-1, 2)


def guide(view: View, pixels: Tensor, spread: float) -> RayDistances:
    """Samples of the rays through `pixels` (R, 2), two steps apart, that tell where the surface can be seen near them.

    Args:
        spread: distance, at distance 1, to the rays that are guided.
    """
    rays, step = view.rays(pixels), view.coarse_step
    samples = _coarse_samples(view, rays, spread)
    found = RayDistances(samples.t, view.distances(rays, samples), samples.offsets)
    # in front of a ray's first sample the union is beyond the band; the surface can be in between, if this one is near it
    found = _finer(view, rays, found, spread, step, ahead=step)
    for _ in range(view.halvings - 1):
        found = _finer(view, rays, found, spread, step)
        step /= 2
    return found


def follow(view: View, found: RayDistances, pixels: Tensor, shifts: Tensor, spread: float) -> RayDistances:
    """Guides that look where others have `found` the surface: those at `shifts` (k, 2) from each of `pixels` (G, 2).

    Args:
        found: samples of the rays through `pixels`.
        spread: see `guide`; of `pixels`.
    """
    rays = view.rays(around(pixels, shifts))
    samples = _near(view, found, None, len(shifts), spread, view.inv_s)
    return RayDistances(samples.t, view.distances(rays, samples), samples.offsets)


def see(
    view: View,
    found: RayDistances,
    guides: Tensor | None,
    pixels: Tensor,
    shifts: Tensor,
    spread: float,
    inv_s: float,
) -> Seen:
    """What the rays at `shifts` (k, 2) from each of `pixels` (G, 2) see, G * k, pixel after pixel.

    Args:
        found: samples of rays, of which those in `guides` (G,) int64 are the rays through `pixels`; None for all of them.
        spread: see `guide`; of these rays.
        inv_s: sharpness s of the surface, 1 / world units.
    """
    rays = view.rays(around(pixels, shifts))
    samples = _near(view, found, guides, len(shifts), spread, inv_s)
    values, along = view.values(rays, samples), (samples.t, samples.offsets)
    closed = view.backend.closed_runs(samples.t, values.sdf, samples.offsets, 1.5 * view.step, inv_s)
    seen = view.backend.composite(closed, values.rgb, *along, inv_s)
    depth = seen.depth / seen.opacity.clamp_min(1e-6)
    part = view.backend.part_seen(*along, values.nearest_part, depth)
    color = torch.cat([seen.rgb, seen.opacity[:, None], seen.depth[:, None]], 1)
    return Seen(color, part, RayDistances(samples.t, values.sdf, samples.offsets))


def _near(
    view: View, found: RayDistances, guides: Tensor | None, each: int, spread: float, inv_s: float
) -> Samples:
    """Samples of `each` rays near every one of the `guides`, where these found what can be seen; see `see`."""
    longest = 1.5 * view.coarse_step
    return view.backend.near_samples(*found, guides, each, spread, inv_s, longest, view.step)


def _finer(
    view: View, rays: Rays, found: RayDistances, spread: float, step: float, ahead: float = 0.0
) -> RayDistances:
    """`found`, with intervals of a length of `step` halved where the surface can be seen; `ahead`: see `finer_samples`."""
    finer = view.backend.finer_samples(*found, spread, view.inv_s, 1.5 * step, 0.75 * step, ahead)
    sdf = torch.cat([found.sdf, view.distances(rays, finer.new)]).index_select(0, finer.rows)
    return RayDistances(finer.t, sdf, finer.offsets)


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
