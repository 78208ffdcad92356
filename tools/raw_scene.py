"""Writer of the WIM robots' raw scene layout, shared by the scene makers.

A scene folder holds, for every frame ``f`` and camera ``v``:

- ``frame_%05d_cam_%03d.png`` (f, v): RGBA with straight alpha; alpha is the true, anti-aliased coverage.
- ``cam_%03d.json`` (v): ``camera_data.intrinsics.{fx,fy,cx,cy}`` in pixels (pixel centres at +0.5) and
  ``camera_data.camera_view_matrix``, world to camera, 4x4, row vectors, OpenGL axes (x right, y up, z
  backward): ``p_camera = p_world @ M[:3, :3] + M[3, :3]``.
- ``gt.npz``: ``joints`` (T,J,3) and ``points`` (T,M,3), float32, in the units of the cameras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from wim_fast.recordings import write

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: square pixels, the optical axis through the middle of the picture.

    view_matrix: (4,4) world to camera, row vectors, OpenGL axes. focal, size (width = height): pixels.
    """

    view_matrix: Array
    focal: float
    size: int

    def project(self, points: Array) -> Array:
        """Pixels (...,2) of world points (...,3)."""
        p = points @ self.view_matrix[:3, :3] + self.view_matrix[3, :3]
        return self.size / 2 + self.focal * np.stack([p[..., 0], -p[..., 1]], axis=-1) / -p[..., 2:3]


def look_at(eye: Array, target: Array, up: Sequence[float] = (0.0, 0.0, 1.0)) -> Array:
    """World-to-camera matrix (4,4), row vectors, OpenGL axes, of a camera at `eye` that looks at `target`."""
    backward = (eye - target) / np.linalg.norm(eye - target)
    right = np.cross(np.asarray(up, dtype=float), backward)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(backward, right), backward], axis=1)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[3, :3] = -eye @ rotation
    return matrix


def hemisphere_directions(
    count: int, elevations: tuple[float, float] = (5.0, 75.0), azimuth: float = 0.0
) -> Array:
    """`count` unit directions (count,3), z up, evenly spread over a band of elevations (degrees).

    A golden spiral turned by `azimuth` (degrees), then ordered farthest first: however few of the first
    directions one takes, they are spread round the object.
    """
    low, high = np.sin(np.radians(elevations))
    z = low + (high - low) * (np.arange(count) + 0.5) / count
    angle = np.radians(azimuth) + np.arange(count) * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - z**2)
    directions = np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)
    directions = np.roll(directions, -(count // 4), axis=0)
    return directions[spread_points(directions, count)]


def fit_cameras(
    directions: Array, points: Array, *, size: int, fov: float, margin: float = 0.04
) -> list[Camera]:
    """Cameras in the given directions (V,3), at one distance from one centre, all looking at that centre.

    Centre and distance are such that the points (N,3) fill the pictures as far as may be, and yet every point
    stays `margin` (a share of the picture's side) clear of the border in every camera. fov: degrees.

    With right, up and backward axes x, y, z of a camera and s the slope of the picture's edge, a point p is
    inside when (z +- x / s) . (p - center) <= distance, and likewise for y: the least distance is a linear
    programme.
    """
    slope = np.tan(np.radians(fov) / 2) * (1 - 2 * margin)
    axes = np.stack([look_at(d, np.zeros(3))[:3, :3].T for d in directions])
    sides = np.concatenate([axes[:, 2] + sign * axes[:, k] / slope for k in (0, 1) for sign in (1, -1)])
    reach = np.array([(points @ side).max() for side in sides])
    constraints = np.concatenate([-sides, -np.ones((len(sides), 1))], axis=1)
    solution = linprog([0.0, 0.0, 0.0, 1.0], constraints, -reach, bounds=(None, None)).x
    center, distance = solution[:3], solution[3]
    focal = size / 2 / float(np.tan(np.radians(fov) / 2))
    return [Camera(look_at(center + distance * d, center), focal, size) for d in directions]


def fit_camera(direction: Array, points: Array, *, size: int, fov: float, margin: float = 0.04) -> Camera:
    """The camera in a direction (3) that comes as near to the points (N,3) as it may, these in the middle.

    The inequalities of `fit_cameras` for one camera; met with equality they give the centre across the view.
    """
    slope = np.tan(np.radians(fov) / 2) * (1 - 2 * margin)
    axes = look_at(direction, np.zeros(3))[:3, :3].T
    middle = float(axes[2] @ (points.min(axis=0) + points.max(axis=0)) / 2)
    backward = points @ axes[2]
    center, distance = middle * axes[2], 0.0
    for axis in axes[:2]:
        across = points @ axis / slope
        more, less = float((backward + across).max()), float((backward - across).max())
        center = center + slope * (more - less) / 2 * axis
        distance = max(distance, (more + less) / 2 - middle)
    focal = size / 2 / float(np.tan(np.radians(fov) / 2))
    return Camera(look_at(center + distance * direction, center), focal, size)


def antialiased(color: NDArray[np.uint8], coverage: NDArray[np.bool_], factor: int) -> NDArray[np.uint8]:
    """RGBA (H,W,4), straight alpha, of a picture rendered k = `factor` times too large.

    color: (kH,kW,3). coverage: (kH,kW).
    Colour is averaged over the covered subpixels alone, so nothing of the background is left in it.
    """
    height, width = coverage.shape[0] // factor, coverage.shape[1] // factor
    blocks = (height, factor, width, factor)
    covered = coverage.reshape(blocks).sum(axis=(1, 3))
    total = (color * coverage[..., None]).reshape(*blocks, 3).sum(axis=(1, 3), dtype=np.float64)
    rgba = np.empty((height, width, 4), dtype=np.uint8)
    rgba[..., :3] = np.rint(total / np.maximum(covered, 1)[..., None])
    rgba[..., 3] = np.rint(255 * covered / factor**2)
    return rgba


def write_frame(folder: Path, frame: int, camera: int, rgba: NDArray[np.uint8]) -> None:
    """Write one picture (H,W,4)."""
    write.write_image(folder, frame, camera, rgba)


def write_camera(folder: Path, index: int, camera: Camera) -> None:
    """Write one camera."""
    middle = camera.size / 2
    intrinsics = {"fx": camera.focal, "fy": camera.focal, "cx": middle, "cy": middle}
    write.write_view(folder, index, intrinsics, camera.view_matrix, (camera.size, camera.size))


def write_ground_truth(
    folder: Path, joints: Array, points: Array, joint_names: Sequence[str], **more: NDArray[Any]
) -> None:
    """Write gt.npz: joints (T,J,3), points (T,M,3), the names of the joints (J), and what else is known of them."""
    np.savez_compressed(
        folder / "gt.npz",
        joints=joints.astype(np.float32),
        points=points.astype(np.float32),
        joint_names=np.array(list(joint_names)),
        **more,
    )


def spread_points(points: Array, count: int) -> NDArray[np.int64]:
    """Indices (count) of points (N,3) that are spread evenly: each is the farthest from those before it."""
    chosen = [0]
    nearest = np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.array(chosen)


def prepare_folder(folder: Path, overwrite: bool) -> None:
    """Make the folder; one that holds a scene already is refused, or cleared of it with `overwrite`."""
    folder.mkdir(parents=True, exist_ok=True)
    old = [p for pattern in ("frame_*_cam_*.png", "cam_*.json", "gt.npz") for p in folder.glob(pattern)]
    if old and not overwrite:
        raise SystemExit(f"error: {folder}: holds a scene already. Choose another folder or --overwrite")
    for path in old:
        path.unlink()
