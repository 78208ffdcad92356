"""Whole images of a posed model, anti-aliased: one ray per pixel, then several where an edge runs through it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.ops.backend import Backend
from wim_fast.rendering.rays import RayCameras, Rays, RaySamples, sample_rays
from wim_fast.scene.cameras import Cameras

CHUNK = 1 << 16  # rays at a time
ROOM = 16  # samples per ray, on average, that arrays of fixed size have room for at first
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

    def rgba(self) -> np.ndarray:
        """(H, W, 4) uint8 with straight alpha."""
        straight = self.rgb / np.maximum(self.opacity, 1e-3)[..., None]
        both = np.concatenate([straight, self.opacity[..., None]], axis=-1)
        return np.round(255 * both.clip(0, 1)).astype(np.uint8)


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

    Args:
        inv_s: sharpness of the surface, as it was trained; for edge pixels with several rays it is raised by `SHARPENING`.
        rays_per_edge_pixel: rays through a pixel with an edge, on a square grid (rounded to a square number); 1 for none.
    """
    height, width = cameras.height, cameras.width
    device = backend.device
    calibration = RayCameras.from_matrices(
        cameras.intrinsics[index : index + 1], cameras.T_camera_world[index : index + 1]
    ).to(device)
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    centers = torch.stack([x, y], -1).view(-1, 2) + 0.5

    color, part = _shoot(model, posed, calibration, centers, inv_s, backend)  # (HW, 5), (HW,)
    side = round(rays_per_edge_pixel**0.5)
    if side > 1:
        edge = _edges(color.view(height, width, 5)[..., :4]).view(-1).nonzero().squeeze(1)
        shift = (torch.arange(side, device=device) + 0.5) / side - 0.5
        shifts = torch.cartesian_prod(shift, shift)
        pixels = (centers[edge, None] + shifts).view(-1, 2)
        fine, _ = _shoot(model, posed, calibration, pixels, SHARPENING * inv_s, backend)
        color[edge] = fine.view(len(edge), side * side, 5).mean(1)
    color = color.view(height, width, 5)
    opacity = color[..., 3]
    depth = torch.where(opacity > 1e-3, color[..., 4] / opacity.clamp_min(1e-3), 0.0)
    part = torch.where(opacity > 0.5, part.view(height, width), -1)
    return Image(*(x.cpu().numpy() for x in (color[..., :3], opacity, depth, part)))


def _shoot(
    model: ArticulatedModel,
    posed: Posed,
    calibration: RayCameras,
    pixels: Tensor,
    inv_s: float,
    backend: Backend,
) -> tuple[Tensor, Tensor]:
    """Premultiplied colour, opacity, depth (N, 5) and seen part (N,) through `pixels` (N, 2) of one camera."""
    device = backend.device
    colors = [torch.empty(0, 5, device=device)]
    parts = [torch.empty(0, dtype=torch.int32, device=device)]
    camera = torch.zeros(1, dtype=torch.int64, device=device)
    for chunk in pixels.split(CHUNK):
        origins, directions = calibration.rays(camera, chunk[None])
        rays = Rays(origins[0], directions[0], torch.zeros(len(chunk), dtype=torch.int32, device=device))
        samples = _all_samples(posed, rays, model.field.residual_max, inv_s, backend)
        sdf, rgb, part = model.evaluate(samples.points, samples.pose_ids, posed, backend)
        seen = backend.composite(sdf, rgb, samples.t, samples.offsets, inv_s)
        colors.append(torch.cat([seen.rgb, seen.opacity[:, None], seen.depth[:, None]], 1))
        depth = seen.depth / seen.opacity.clamp_min(1e-6)
        parts.append(_part_seen(samples.t, part, samples.offsets, depth))
    return torch.cat(colors), torch.cat(parts)


def _all_samples(posed: Posed, rays: Rays, residual_max: float, inv_s: float, backend: Backend) -> RaySamples:
    """Samples in the middle of each step; where arrays have a fixed size, in such that have room for all."""
    jitter = torch.full((len(rays.origins),), 0.5, device=backend.device)
    capacity = ROOM * len(jitter) if backend.needs_capacity else None
    samples = sample_rays(posed, rays, jitter, residual_max, inv_s, backend, capacity)
    missing = int(samples.overflow)
    if capacity is not None and missing:
        samples = sample_rays(posed, rays, jitter, residual_max, inv_s, backend, capacity + missing)
    return samples


def _part_seen(t: Tensor, nearest_part: Tensor, offsets: Tensor, depth: Tensor) -> Tensor:
    """The nearest part (R,) at each ray's sample closest to the depth that is seen; -1 for rays without samples."""
    rays, count = len(depth), int(offsets[-1])
    t, nearest_part = t[:count], nearest_part[:count]
    ray_ids = torch.repeat_interleave(torch.arange(rays, device=t.device), offsets.diff(), output_size=count)
    distance = (t - depth[ray_ids]).abs()
    least = distance.new_full((rays,), torch.inf).scatter_reduce(0, ray_ids, distance, "amin")
    part = torch.full((rays,), -1, dtype=torch.int32, device=t.device)
    closest = (distance == least[ray_ids]).nonzero().squeeze(1)
    part[ray_ids[closest]] = nearest_part[closest]
    return part


def _edges(color: Tensor) -> Tensor:
    """(H, W) bool: whether colour or opacity (H, W, C) varies in the 3 x 3 neighbourhood."""
    planes = color.permute(2, 0, 1)[None]
    high = max_pool2d(planes, 3, stride=1, padding=1)
    low = -max_pool2d(-planes, 3, stride=1, padding=1)
    return ((high - low) > EDGE_CONTRAST).any(1)[0]
