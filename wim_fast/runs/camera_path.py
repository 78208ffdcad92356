"""Where pictures of a run are taken from: a camera of the recording, or a circle round the object."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wim_fast.recordings.cameras import Cameras, project, turntable
from wim_fast.runs.baseline_run import AnyRun
from wim_fast.runs.defaults import LEAST_SIZE

FILL = 0.85  # share of a picture that the object takes where the camera is free


@dataclass(frozen=True)
class CameraPath:
    """A camera for each picture of a sequence, what the pictures are called, and the video."""

    cameras: Cameras  # T of them
    names: list[str]
    video: str


def recorded_path(cameras: Cameras, index: int, frames: Sequence[int]) -> CameraPath:
    """Camera number `index` standing still, for pictures of frames with these ids."""
    camera = cameras.ids[index]
    names = [picture_name(frame, camera) for frame in frames]
    return CameraPath(cameras.select([index] * len(names)), names, f"camera_{camera:03d}.mp4")


def turntable_path(run: AnyRun, motion: Any, size: int | None = None) -> CameraPath:
    """A circle round everything that moves in a motion, one camera for each of its frames.

    Args:
        size: longer side of the pictures in pixels; None: as trained, at least `LEAST_SIZE`.
    """
    cameras = resized_to(run.recorded_cameras(run.camera_ids), size)
    circle = circle_round(cameras, run.extremes(motion), len(motion))
    return CameraPath(circle, [f"turntable_{k:05d}.png" for k in range(len(motion))], "turntable.mp4")


def circle_round(cameras: Cameras, points: np.ndarray, count: int) -> Cameras:
    """`count` cameras on a circle, as far from the object as these, that hold all points (N, 3)."""
    middle = 0.5 * (points.min(axis=0) + points.max(axis=0))
    return fitted(turntable(cameras, middle, count), points)


def choose_path(
    run: AnyRun,
    motion: Any,
    frames: Sequence[int],
    *,
    camera: int | None = None,
    circle: bool = False,
    size: int | None = None,
) -> CameraPath:
    """For a motion whose pictures are numbered `frames`: round the object, or from a camera of the recording.

    Args:
        camera: its id; None: the first trained on.
        size: as in `turntable_path`.
    """
    if circle:
        return turntable_path(run, motion, size)
    chosen = run.camera_ids[0] if camera is None else camera
    return recorded_path(resized_to(run.recorded_cameras((chosen,)), size), 0, frames)


def picture_name(frame: int, camera: int) -> str:
    """By the ids of frame and camera."""
    return f"frame_{frame:05d}_cam_{camera:03d}.png"


def resized_to(cameras: Cameras, size: int | None) -> Cameras:
    """The cameras with images whose longer side is `size`; None: at least `LEAST_SIZE`."""
    size = size or max(LEAST_SIZE, cameras.width, cameras.height)
    factor = size / max(cameras.width, cameras.height)
    return cameras.resized(max(1, round(cameras.width * factor)), max(1, round(cameras.height * factor)))


def zoomed(cameras: Cameras, points: np.ndarray) -> Cameras:
    """Every camera turned and zoomed by itself (a crop of its image) so that points (N, 3) fill its image."""
    intrinsics = cameras.intrinsics.copy()
    size = np.array([cameras.width, cameras.height])
    for camera, at in enumerate(project(cameras, points)[0]):
        low, high = at.min(axis=0), at.max(axis=0)
        factor = FILL / ((high - low) / size).max()
        crop = np.eye(3)
        crop[:2, :2] *= factor
        crop[:2, 2] = 0.5 * size - factor * 0.5 * (low + high)
        intrinsics[camera] = crop @ intrinsics[camera]
    return dataclasses.replace(cameras, intrinsics=intrinsics)


def fitted(cameras: Cameras, points: np.ndarray) -> Cameras:
    """The cameras with their axes in the middle of the image and one focal length: points (N, 3) stay inside."""
    intrinsics = cameras.intrinsics.copy()
    size = np.array([cameras.width, cameras.height])
    intrinsics[:, :2, 2] = 0.5 * size
    at = project(dataclasses.replace(cameras, intrinsics=intrinsics), points)[0]
    intrinsics[:, :2, :2] *= FILL * 0.5 / np.abs(at / size - 0.5).max()
    return dataclasses.replace(cameras, intrinsics=intrinsics)


def clearest_views(cameras: Cameras, centers: np.ndarray) -> list[int]:
    """The camera that shows the part centres (P, 3) farthest apart, and a second one from another side."""
    if len(cameras) == 1 or len(centers) == 1:
        return [0]
    at = project(cameras, centers)[0]  # (V, P, 2)
    apart = np.linalg.norm(at[:, :, None] - at[:, None], axis=-1)
    nearest = np.where(np.eye(len(centers), dtype=bool), np.inf, apart).min(axis=-1)
    score = nearest.mean(axis=-1)
    best = int(score.argmax())
    ahead = cameras.T_camera_world[:, 2, :3]
    other = score * np.linalg.norm(np.cross(ahead, ahead[best]), axis=-1)
    return [best, int(other.argmax())]
