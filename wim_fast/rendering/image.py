"""Whole images of a posed model, anti-aliased: one ray per pixel, then several where an edge runs through it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.ops.backend import Backend
from wim_fast.ops.march.reference import Samples
from wim_fast.recordings.cameras import Cameras
from wim_fast.rendering.rays import BAND_SIGMOIDS, STEP_SIGMOIDS, RayCameras, Rays, march_rays
from wim_fast.rendering.refine import (
    SURFACE_SIGMOIDS,
    RayValues,
    divided,
    inserted,
    interval_lengths,
    ray_offsets,
    visible_intervals,
)

CHUNK = 1 << 16  # rays at a time
ROOM = 8  # samples per ray, on average, that arrays of fixed size have room for at first
SHARPENING = (
    1.5  # of the surface, where several rays per edge pixel smooth what its softness smoothed in training
)
EDGE_CONTRAST = 0.2  # pixels whose neighbourhood varies by more, in colour or opacity, get more rays


class Image(NamedTuple):
    """One rendered picture, H x W."""

    rgb: np.ndarray  # (H, W, 3) float32 in [0, 1], premultiplied
    opacity: np.ndarray  # (H, W)
    depth: np.ndarray  # (H, W) mean distance from the camera, world units; 0 where nothing is
    part: np.ndarray  # (H, W) int32 the part that is seen, -1 for none

    def over(self, background: float) -> np.ndarray:
        """(H, W, 3) float32 on a background of this grey in [0, 1]."""
        return self.rgb + (1 - self.opacity[..., None]) * background

    def tinted(self, color: np.ndarray) -> Image:
        """The same in the colours of a camera: each of the object's r, g, b times a matrix (3, 3)."""
        return self._replace(rgb=(self.rgb @ color.T).astype(np.float32))

    def straight(self) -> np.ndarray:
        """(H, W, 4) float32 with straight alpha."""
        color = self.rgb / np.maximum(self.opacity, 1e-3)[..., None]
        return np.concatenate([color, self.opacity[..., None]], axis=-1)

    def rgba(self) -> np.ndarray:
        """(H, W, 4) uint8 with straight alpha."""
        return np.round(255 * self.straight().clip(0, 1)).astype(np.uint8)


@dataclass(frozen=True)
class _View:
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
        """How often the distance between the first samples is halved to be a step: they still find all of the band."""
        band = self.model.field.residual_max + BAND_SIGMOIDS / self.inv_s
        return max(0, int(math.log2(band / self.step)))

    def rays(self, pixels: Tensor) -> Rays:
        """Through `pixels` (N, 2)."""
        camera = torch.zeros(1, dtype=torch.int64, device=pixels.device)
        origins, directions = self.calibration.rays(camera, pixels[None])
        return Rays(
            origins[0], directions[0], torch.zeros(len(pixels), dtype=torch.int32, device=pixels.device)
        )

    def values(self, rays: Rays, t: Tensor, ray_ids: Tensor) -> RayValues:
        """The field at distances t (N,) along `rays`."""
        points = torch.addcmul(rays.origins[ray_ids], t[:, None], rays.directions[ray_ids])
        values = self.model.evaluate(points, rays.pose_ids[ray_ids], self.posed, self.backend)
        return RayValues(t, ray_ids, values.sdf, values.rgb, values.nearest_part)

    def composite(self, values: RayValues, offsets: Tensor, inv_s: float) -> Tensor:
        """Premultiplied colour, opacity and depth (R, 5)."""
        seen = self.backend.composite(values.sdf, values.rgb, values.t, offsets, inv_s)
        return torch.cat([seen.rgb, seen.opacity[:, None], seen.depth[:, None]], 1)


@torch.no_grad()
def render_image(
    model: ArticulatedModel,
    posed: Posed,
    cameras: Cameras,
    index: int,
    inv_s: float,
    backend: Backend,
    rays_per_edge_pixel: int = 4,
) -> Image:
    """The picture that camera number `index` takes of the first pose in `posed` (F = 1).

    Samples that would not show are not decoded: see `refine`. The rays of an edge pixel take theirs from where the ray
    through its centre found the surface.

    Args:
        inv_s: sharpness of the surface, as it was trained; for edge pixels with several rays it is raised by `SHARPENING`.
        rays_per_edge_pixel: rays through a pixel with an edge, on a square grid (rounded to a square number); 1 for none.
    """
    height, width = cameras.height, cameras.width
    device = backend.device
    calibration = RayCameras.from_matrices(
        cameras.intrinsics[index : index + 1], cameras.T_camera_world[index : index + 1]
    ).to(device)
    view = _View(model, posed, calibration, inv_s, backend)
    side = max(1, round(rays_per_edge_pixel**0.5))
    shift = (torch.arange(side, device=device) + 0.5) / side - 0.5
    shifts = torch.cartesian_prod(shift, shift)  # (side^2, 2) pixels
    # what a pixel's rays are apart at distance 1: its centre's ray knows the surface to within that
    spread = float(shifts.norm(dim=-1).max()) / cameras.intrinsics[index].diagonal()[:2].min()
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    centers = torch.stack([x, y], -1) + 0.5  # (H, W, 2)
    with backend.computing():
        color, part = _look_along(view, centers, shifts, spread)
    opacity = color[..., 3]
    depth = torch.where(opacity > 1e-3, color[..., 4] / opacity.clamp_min(1e-3), 0.0)
    part = torch.where(opacity > 0.5, part, -1)
    return Image(*(x.cpu().numpy() for x in (color[..., :3], opacity, depth, part)))


def _look_along(view: _View, centers: Tensor, shifts: Tensor, spread: float) -> tuple[Tensor, Tensor]:
    """Colour, opacity and depth (H, W, 5), and part (H, W), at pixels (H, W, 2); several rays where `shifts` has several.

    Of the field along the rays no more than two bands of rows are kept.
    """
    height, width, _ = centers.shape
    single = centers.new_empty(height, width, 5)  # by one ray through each pixel
    part = torch.empty(height, width, dtype=torch.int32, device=centers.device)
    colors = []
    for band, values in _bands(view, centers, single, part, spread):
        pixels, color = centers[band].reshape(-1, 2), single[band].reshape(-1, 5)
        if len(shifts) > 1:
            color = color.clone()
            for edge in _edges(single[..., :4], band).nonzero().squeeze(1).split(CHUNK // len(shifts)):
                near = values.of_rays(edge, len(pixels))
                color[edge] = _supersample(view, pixels[edge], near, shifts, spread)
        colors.append(color.view(-1, width, 5))
    return torch.cat(colors), part


def _bands(
    view: _View, centers: Tensor, color: Tensor, part: Tensor, spread: float
) -> Iterator[tuple[slice, RayValues]]:
    """Fills `color` (H, W, 5) and `part` (H, W) through the pixels' centres (H, W, 2), some rows after the others.

    Yields these rows, and the field along their rays, as soon as those below are filled too.
    """
    height, width, _ = centers.shape
    rows, above = max(1, CHUNK // width), None
    for first in range(0, height, rows):
        band = slice(first, min(first + rows, height))
        pixels = centers[band].reshape(-1, 2)
        values = _coarse_to_fine(view, view.rays(pixels), spread)
        offsets = ray_offsets(values.ray_ids, len(pixels))
        seen = view.composite(values, offsets, view.inv_s)
        color[band] = seen.view(-1, width, 5)
        part[band] = _part_seen(values, offsets, seen).view(-1, width)
        if above is not None:
            yield above
        above = band, values
    if above is not None:
        yield above


def _coarse_to_fine(view: _View, rays: Rays, spread: float) -> RayValues:
    """The field along R rays: a coarse pass at samples far apart, then finer ones where the surface can be seen.

    Args:
        spread: distance, at distance 1, to other rays that will take their samples where these have found the surface.
    """
    step = 2**view.halvings * view.step
    samples = _coarse_samples(view, rays, spread)
    values = view.values(rays, samples.t, samples.ray_ids)
    # in front of a ray's first sample the union is beyond the band; the surface can be in between, if this one is near it
    near = values.sdf < step + BAND_SIGMOIDS / view.inv_s
    enters = (interval_lengths(values) == 0) & near
    values = _with_samples(view, rays, values, enters, step)
    for _ in range(view.halvings):
        offsets = ray_offsets(values.ray_ids, len(rays.origins))
        wanted = visible_intervals(values, offsets, 1.5 * step, view.inv_s)
        step /= 2
        values = _with_samples(view, rays, values, wanted & (interval_lengths(values) > 1.5 * step), step)
    return values


def _with_samples(view: _View, rays: Rays, values: RayValues, wanted: Tensor, distance: float) -> RayValues:
    """`values` and a sample at this distance in front of each wanted one (N,)."""
    before = wanted.nonzero().squeeze(1)
    new = view.values(rays, values.t[before] - distance, values.ray_ids[before])
    return inserted(values, before, new)


def _supersample(view: _View, pixels: Tensor, values: RayValues, shifts: Tensor, spread: float) -> Tensor:
    """Mean colours (E, 5), as of `_View.composite`, of several rays through each of E pixels.

    Args:
        pixels: (E, 2) their centres.
        values: the field along the rays through the centres.
        shifts: (k, 2) from there to the k rays through each pixel.
        spread: how long the longest of them is, at distance 1 from the camera.
    """
    inv_s = SHARPENING * view.inv_s
    offsets = ray_offsets(values.ray_ids, len(pixels))
    longest = 1.5 * 2**view.halvings * view.step
    wanted = visible_intervals(values, offsets, longest, inv_s, spread * values.t)
    t, pixel_ids = divided(values, wanted, view.step)
    k = len(shifts)
    count = torch.bincount(pixel_ids, minlength=len(pixels))
    first = (count.cumsum(0) - count).repeat_interleave(k)  # of the pixel's samples, which its rays share
    offsets = pad(count.repeat_interleave(k).cumsum(0), (1, 0))
    ray_ids = torch.repeat_interleave(offsets.diff())
    row = torch.arange(len(ray_ids), device=t.device) + (first - offsets[:-1])[ray_ids]
    rays = view.rays((pixels[:, None] + shifts).view(-1, 2))
    color = view.composite(view.values(rays, t[row], ray_ids), offsets, inv_s)
    return color.view(-1, k, 5).mean(1)


def _coarse_samples(view: _View, rays: Rays, spread: float) -> Samples:
    """Samples in the middle of a step, many steps apart; where arrays have a fixed size, in such that have room for all."""
    inv_s, model, posed, backend = view.inv_s, view.model, view.posed, view.backend
    stride = 2**view.halvings
    jitter = torch.full((len(rays.origins),), 0.5 / stride, device=backend.device)
    # other rays may see the surface a little farther away than these, if pixels are large
    reach = float((posed.translation[0] - view.calibration.center).norm(dim=-1).max() + posed.semi_axes.max())
    margin = max(0.0, SURFACE_SIGMOIDS / (SHARPENING * inv_s) + spread * reach - BAND_SIGMOIDS / inv_s)

    def samples(capacity: int | None) -> Samples:
        return march_rays(
            posed, rays, jitter, model.field.residual_max, inv_s, backend, capacity, stride, margin
        )

    if not backend.needs_capacity:
        return samples(None)
    capacity = ROOM * len(jitter)
    found = samples(capacity)
    if missing := int(found.overflow):
        found = samples(capacity + missing)
    count = int(found.offsets[-1])
    return found._replace(t=found.t[:count], ray_ids=found.ray_ids[:count])


def _part_seen(values: RayValues, offsets: Tensor, color: Tensor) -> Tensor:
    """The nearest part (R,) at each ray's sample closest to the depth that is seen; -1 for rays without samples."""
    rays = len(color)
    depth = color[:, 4] / color[:, 3].clamp_min(1e-6)
    distance = (values.t - depth[values.ray_ids]).abs()
    least = distance.new_full((rays,), torch.inf).scatter_reduce(0, values.ray_ids, distance, "amin")
    part = torch.full((rays,), -1, dtype=torch.int32, device=distance.device)
    closest = (distance == least[values.ray_ids]).nonzero().squeeze(1)
    part[values.ray_ids[closest]] = values.nearest_part[closest]
    return part


def _edges(color: Tensor, band: slice) -> Tensor:
    """(N,) bool of the pixels in these rows: whether colour or opacity (H, W, C) varies in the 3 x 3 neighbourhood."""
    top = max(band.start - 1, 0)
    pixels = color[top : band.stop + 1]
    spread = _among_neighbours(pixels, torch.maximum) - _among_neighbours(pixels, torch.minimum)
    return (spread > EDGE_CONTRAST).any(-1)[band.start - top : band.stop - top].reshape(-1)


def _among_neighbours(pixels: Tensor, extreme: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """(H, W, C) the greatest or least value in the 3 x 3 neighbourhood: `extreme` is the greater or lesser of two."""
    for axis in (0, 1):
        found, last = pixels.clone(), pixels.shape[axis] - 1
        for here, other in ((0, 1), (1, 0)):
            side = found.narrow(axis, here, last)
            side.copy_(extreme(side, pixels.narrow(axis, other, last)))
        pixels = found
    return pixels
