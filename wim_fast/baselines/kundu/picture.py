"""A coloured mesh as a camera sees it, anti-aliased."""

from __future__ import annotations

import numpy as np

from wim_fast.recordings.cameras import Cameras, project
from wim_fast.rendering.image import Image
from wim_fast.rendering.raster import rasterize

SUPERSAMPLING = 3  # rays of a pixel, a side


def mesh_image(
    vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray, cameras: Cameras, index: int
) -> Image:
    """Vertices (V, 3) in the world with colours (V, 3) in [0, 1], interpolated over faces (F, 3)."""
    height, width, side = cameras.height, cameras.width, SUPERSAMPLING
    camera = cameras.select([index]).resized(side * width, side * height)
    (pixels,), (depth,) = project(camera, vertices)
    fragments = rasterize(pixels, depth, faces, side * height, side * width)
    covered = fragments.face >= 0
    distance = np.linalg.norm(vertices - camera.centers[0], axis=1)
    shown = np.zeros((side * height, side * width, 5))
    values = np.concatenate([colors, np.ones_like(colors[:, :1]), distance[:, None]], axis=1)
    shown[covered] = fragments.interpolated(faces, values)
    shown = shown.reshape(height, side, width, side, 5).mean(axis=(1, 3)).astype(np.float32)
    opacity = shown[..., 3]
    far = np.where(opacity > 0, shown[..., 4] / np.maximum(opacity, 1e-6), 0.0).astype(np.float32)
    return Image(shown[..., :3], opacity, far, np.full((height, width), -1, np.int32))
