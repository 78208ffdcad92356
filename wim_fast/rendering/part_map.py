"""Pictures that show which part is where, in any colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.ops.backend import Backend
from wim_fast.recordings.cameras import Cameras, pixel_rays
from wim_fast.rendering.image import render_image

SUPERSAMPLING = 2  # rays per pixel side, for one ray sees one part
SHARPENING = 3.0  # the surface is sharper than it was trained, and its depth finer: parts are opaque
AMBIENT = 0.4  # brightness of a surface seen edge-on; 1 where it faces the camera
JUMP_PIXELS = 8.0  # depths that differ by more, in projected pixels, belong to different surfaces


@dataclass(frozen=True)
class PartMap:
    """Which part each ray of a picture sees, n x n rays per pixel."""

    part: np.ndarray  # (n H, n W) int32, -1 where nothing is
    shade: np.ndarray  # (n H, n W) brightness in [0, 1]

    def paint(self, colors: np.ndarray) -> np.ndarray:
        """The parts in `colors` (P, 3) uint8: (H, W, 4) uint8, straight alpha."""
        n, inside = SUPERSAMPLING, self.part >= 0
        color = colors[self.part] * (self.shade * inside)[..., None]
        both = np.concatenate([color, 255.0 * inside[..., None]], axis=-1)
        both = both.reshape(len(both) // n, n, -1, n, 4).mean(axis=(1, 3))
        both[..., :3] /= np.maximum(both[..., 3:] / 255.0, 1e-3)
        return np.round(both).astype(np.uint8)


def render_parts(
    model: ArticulatedModel, posed: Posed, cameras: Cameras, index: int, inv_s: float, backend: Backend
) -> PartMap:
    """The parts as camera number `index` sees the first pose in `posed`, brighter where they face it.

    Args:
        inv_s: sharpness of the surface, as it was trained.
    """
    n = SUPERSAMPLING
    fine = cameras.select([index]).resized(cameras.width * n, cameras.height * n)
    image = render_image(model, posed, fine, 0, SHARPENING * inv_s, backend, rays_per_edge_pixel=1)
    inside = image.part >= 0
    return PartMap(image.part, AMBIENT + (1.0 - AMBIENT) * facing(image.depth, inside, fine))


def facing(depth: np.ndarray, inside: np.ndarray, camera: Cameras) -> np.ndarray:
    """Cosine (H, W) between the surface's normal and the ray, from the depths around each pixel.

    Neighbours outside, or on another surface, are left out; 0.5 where none remains.

    Args:
        depth: (H, W) distance along the ray, world units.
        inside: (H, W) bool, where there is a surface.
        camera: the one camera (V = 1) that sees it.
    """
    if not inside.any():
        return np.full(depth.shape, 0.5)
    K, T = camera.intrinsics[0], camera.T_camera_world[0]
    y, x = np.mgrid[: camera.height, : camera.width] + 0.5
    origins, directions = pixel_rays(K, T, np.stack([x, y], axis=-1))
    points = origins + depth[..., None] * directions
    jump = JUMP_PIXELS * np.median(depth[inside]) / K[0, 0]

    def slope(across: np.ndarray, z: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Sum (H, W, 3) of the steps to the rows above and below."""
        near = (np.abs(np.diff(z, axis=0)) < jump) & valid[1:] & valid[:-1]
        step = np.pad(np.diff(across, axis=0) * near[..., None], ((1, 1), (0, 0), (0, 0)))
        return step[1:] + step[:-1]

    down = slope(points, depth, inside)
    right = slope(points.swapaxes(0, 1), depth.T, inside.T).swapaxes(0, 1)
    normal = np.cross(right, down)
    length = np.linalg.norm(normal, axis=-1)
    cosine = np.abs((normal * directions).sum(axis=-1)) / np.maximum(length, 1e-12)
    return np.where(length > 0, cosine, 0.5)
