"""Writes tiny scenes in the raw layout, sharing no code with the package: ray-traced solids, OpenGL cameras.

World: z up. `camera_view_matrix` M maps row vectors (x, y, z, 1) @ M to camera axes x right, y up, z back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np


@dataclass(frozen=True)
class TinyScene:
    """Where it is and what is in it, file units."""

    path: Path
    eyes: np.ndarray  # (V, 3)
    centers: np.ndarray  # (T, 3) of the solid
    half: np.ndarray  # (3,) half extents of the solid
    focal: float
    width: int
    height: int

    def image(self, frame: int, camera: int) -> Path:
        return self.path / f"frame_{frame:05d}_cam_{camera:03d}.png"

    def camera(self, camera: int) -> Path:
        return self.path / f"cam_{camera:03d}.json"


def view_matrix(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """OpenGL view matrix for row vectors, world z up."""
    back = (eye - target) / np.linalg.norm(eye - target)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    M = np.eye(4)
    M[:3, 0], M[:3, 1], M[:3, 2] = right, np.cross(back, right), back
    M[3, :3] = -eye @ M[:3, :3]
    return M


def ring(count: int, *, sector: float = 360.0, distance: float = 4.0, elevation: float = 30.0) -> np.ndarray:
    """Eyes (count, 3) on a circle or, for a sector under 360 degrees, on an arc from end to end."""
    step = sector / count if sector >= 360 else sector / max(count - 1, 1)
    azimuth, e = np.radians(step * np.arange(count)), np.radians(elevation)
    flat = np.cos(e)
    return distance * np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.full(count, np.sin(e))], 1)


def trace(
    origin: np.ndarray, rays: np.ndarray, center: np.ndarray, half: np.ndarray, solid: str
) -> np.ndarray:
    """Which rays (..., 3) hit the solid: an axis-aligned box, or the ellipsoid with these semi-axes."""
    if solid == "ellipsoid":
        o, d = (origin - center) / half, rays / half
        a, b, c = (d * d).sum(-1), (d * o).sum(-1), o @ o - 1
        return b * b - a * c > 0
    with np.errstate(divide="ignore"):
        ends = np.stack([(center - half - origin) / rays, (center + half - origin) / rays])
    near, far = ends.min(0).max(-1), ends.max(0).min(-1)
    return (near < far) & (far > 0)


def write_scene(
    path: Path,
    *,
    eyes: np.ndarray | None = None,
    frames: int = 3,
    width: int = 32,
    height: int | None = None,
    solid: str = "box",
    half: tuple[float, float, float] = (0.3, 0.4, 0.5),
    color: tuple[int, int, int] = (200, 100, 50),
    truth: bool = True,
) -> TinyScene:
    """A solid that moves along x by 0.05 a frame, seen by all cameras (default: four round it)."""
    path.mkdir(parents=True, exist_ok=True)
    eyes = ring(4) if eyes is None else np.asarray(eyes, dtype=float)
    height = height or width
    focal = 1.4 * min(width, height)
    centers = np.array([[0.05 * t, 0.1, 0.2] for t in range(frames)])
    extent = np.array(half)
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    in_camera = np.stack([(x - width / 2) / focal, -(y - height / 2) / focal, -np.ones_like(x)], -1)
    for v, eye in enumerate(eyes):
        M = view_matrix(eye, np.zeros(3))
        intrinsics = {"fx": focal, "fy": focal, "cx": width / 2, "cy": height / 2}
        camera = {"camera_data": {"intrinsics": intrinsics, "camera_view_matrix": M.tolist()}}
        (path / f"cam_{v:03d}.json").write_text(json.dumps(camera))
        rays = in_camera @ M[:3, :3].T
        for t, center in enumerate(centers):
            image = np.zeros((height, width, 4), np.uint8)
            image[trace(eye, rays, center, extent, solid)] = (*color, 255)
            iio.imwrite(path / f"frame_{t:05d}_cam_{v:03d}.png", image)
    if truth:
        corners = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]) * extent
        np.savez(path / "gt.npz", joints=centers[:, None], points=centers[:, None] + corners)
    return TinyScene(path, eyes, centers, extent, focal, width, height)
