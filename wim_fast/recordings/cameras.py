"""Calibrated pinhole cameras, OpenCV style: x right, y down, z forward, pixel centres at +0.5."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cameras:
    """V cameras with images of one size."""

    ids: tuple[int, ...]
    intrinsics: Array  # (V, 3, 3) pixels
    T_camera_world: Array  # (V, 4, 4) world to camera
    width: int
    height: int
    up: tuple[float, float, float] | None = None  # the world's, where it is known; unit

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def centers(self) -> Array:
        """Optical centres (V, 3), world frame."""
        rotation, translation = self.T_camera_world[:, :3, :3], self.T_camera_world[:, :3, 3]
        return -np.einsum("vji,vj->vi", rotation, translation)

    def select(self, positions: Sequence[int]) -> Cameras:
        """The cameras at these positions (not ids), in this order."""
        index = list(positions)
        ids = tuple(self.ids[i] for i in index)
        return dataclasses.replace(
            self, ids=ids, intrinsics=self.intrinsics[index], T_camera_world=self.T_camera_world[index]
        )

    def resized(self, width: int, height: int) -> Cameras:
        """The same cameras with images of another size."""
        factor = np.array([width / self.width, height / self.height, 1.0])
        return dataclasses.replace(
            self, intrinsics=self.intrinsics * factor[:, None], width=width, height=height
        )

    def scaled_world(self, factor: float) -> Cameras:
        """The same cameras in a world whose coordinates are all multiplied by `factor`."""
        T = self.T_camera_world.copy()
        T[:, :3, 3] *= factor
        return dataclasses.replace(self, T_camera_world=T)


def project(cameras: Cameras, points: Array) -> tuple[Array, Array]:
    """World points (..., 3) to pixels (V, ..., 2) and depths (V, ...) along the optical axes.

    Pixels of points at depth 0 are not finite; those behind a camera (depth < 0) mean nothing.
    """
    points = np.asarray(points, dtype=np.float64)
    flat = points.reshape(-1, 3)
    T = cameras.T_camera_world
    local = flat @ T[:, :3, :3].transpose(0, 2, 1) + T[:, None, :3, 3]  # (V, N, 3)
    homogeneous = local @ cameras.intrinsics.transpose(0, 2, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = homogeneous[..., :2] / homogeneous[..., 2:]
    shape = (len(cameras), *points.shape[:-1])
    return pixels.reshape(*shape, 2), local[..., 2].reshape(shape)


def pixel_rays(intrinsics: Array, T_camera_world: Array, pixels: Array) -> tuple[Array, Array]:
    """One camera's rays through pixels (..., 2): origins and unit directions (..., 3), world frame."""
    pixels = np.asarray(pixels, dtype=np.float64)
    homogeneous = np.concatenate([pixels, np.ones_like(pixels[..., :1])], axis=-1)
    rotation = T_camera_world[:3, :3]
    directions = homogeneous @ np.linalg.inv(intrinsics).T @ rotation
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    origin = -rotation.T @ T_camera_world[:3, 3]
    return np.broadcast_to(origin, directions.shape).copy(), directions


def image_corners(cameras: Cameras, index: int, depth: float) -> Array:
    """World positions (4, 3) of the corners of an image held at `depth`: top left, top right, bottom right, bottom left."""
    w, h = cameras.width, cameras.height
    pixels = np.array([[0, 0], [w, 0], [w, h], [0, h]], float)
    T = cameras.T_camera_world[index]
    origins, directions = pixel_rays(cameras.intrinsics[index], T, pixels)
    return origins + directions * (depth / (directions @ T[2, :3]))[:, None]


def frustum_lines(cameras: Cameras, index: int, depth: float) -> Array:
    """(8, 2, 3) line segments: from the optical centre to the corners, and round the image."""
    corners, center = image_corners(cameras, index, depth), cameras.centers[index]
    spokes = np.stack([np.broadcast_to(center, corners.shape), corners], axis=1)
    return np.concatenate([spokes, np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)])


def closest_to_rays(origins: Array, directions: Array) -> Array:
    """The point (3,) nearest to all lines (N, 3) + s (N, 3) in the least-squares sense (unit directions)."""
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    return np.linalg.lstsq(across.sum(0), np.einsum("nij,nj->i", across, origins), rcond=1e-9)[0]


def up_axis(cameras: Cameras) -> Array:
    """The world's up direction (3,), unit: where it is not known, what it is if the cameras are held level.

    The axis that is most perpendicular to all cameras' right vectors, signed like the cameras' mean up. Where
    the cameras do not determine it (one camera, or all looking the same way), it is their mean up itself.
    """
    if cameras.up is not None:
        return np.array(cameras.up)
    right, up = cameras.T_camera_world[:, 0, :3], -cameras.T_camera_world[:, 1, :3]
    mean_up = up.mean(axis=0)
    spread, axes = np.linalg.eigh(right.T @ right / len(cameras))
    axis = axes[:, 0] if spread[1] > 0.02 and spread[0] < 0.25 * spread[1] else mean_up
    if np.linalg.norm(axis) < 1e-6:
        axis = up[0]
    axis = axis / np.linalg.norm(axis)
    return axis if axis @ mean_up >= 0 else -axis


def turntable(cameras: Cameras, center: Array, count: int) -> Cameras:
    """`count` cameras on a circle about the up axis through `center` (3,), all looking at it.

    Distance, elevation and intrinsics are the given cameras' means; the first has the first camera's azimuth.
    """
    up = up_axis(cameras)
    offsets = cameras.centers - center
    distance = float(np.linalg.norm(offsets, axis=1).mean())
    elevation = float(np.arcsin(np.clip(offsets @ up / np.linalg.norm(offsets, axis=1), -1, 1)).mean())
    elevation = float(np.clip(elevation, -1.4, 1.4))
    east = offsets[0] - (offsets[0] @ up) * up
    if np.linalg.norm(east) < 1e-6 * distance:
        east = np.cross(up, np.roll(np.eye(3)[np.argmax(np.abs(up))], 1))
    east = east / np.linalg.norm(east)
    north = np.cross(up, east)
    azimuth = np.arange(count)[:, None] * (2 * np.pi / count)
    outward = np.cos(elevation) * (np.cos(azimuth) * east + np.sin(azimuth) * north) + np.sin(elevation) * up
    forward = -outward
    right = np.cross(forward, up)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    rotation = np.stack([right, np.cross(forward, right), forward], axis=1)  # rows: camera axes in the world
    T = np.tile(np.eye(4), (count, 1, 1))
    T[:, :3, :3] = rotation
    T[:, :3, 3] = -np.einsum("vij,vj->vi", rotation, center + distance * outward)
    intrinsics = np.tile(cameras.intrinsics.mean(axis=0), (count, 1, 1))
    return Cameras(tuple(range(count)), intrinsics, T, cameras.width, cameras.height, cameras.up)


def coverage(cameras: Cameras, center: Array) -> float:
    """Share in [0, 1] of all directions round `center` (3,) that lie within 60 degrees of some camera.

    One camera covers 0.25; cameras within a sector of 85 degrees about 0.45; five spread round an object 0.8.
    """
    n = 1000
    height = 1 - (2 * np.arange(n) + 1) / n  # Fibonacci sphere
    angle = np.arange(n) * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - height**2)
    directions = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)
    towards = cameras.centers - center
    towards /= np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), 1e-12)
    return float(((directions @ towards.T).max(axis=1) > 0.5).mean())
