"""Recordings of pictures or videos with masks beside them: what ZJU-MoCap and RGBD-Dog have in common."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wim_fast.errors import UserError
from wim_fast.recordings.cameras import Cameras
from wim_fast.recordings.image_files import read_labels, read_rgb
from wim_fast.recordings.resampling import NO_DISTORTION, Resampling, Window, window_intrinsics
from wim_fast.recordings.video import Video
from wim_fast.scene.footage import BACKGROUND, OBJECT, FootageBuilder, NewFootage
from wim_fast.scene.scene import (
    GroundTruth,
    Scene,
    SceneContents,
    camera_positions,
    check_missing,
    resized_shape,
    select_frames,
)

Labels = NDArray[np.uint8]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class FilmedCamera:
    """A camera and its files."""

    id: int
    K: Matrix  # (3, 3) pixels with centres at +0.5, of images of `calibrated_size`
    T_camera_world: Matrix  # (4, 4), OpenCV axes
    distortion: tuple[float, ...]  # k1, k2, p1, p2, k3
    pictures: Mapping[int, Path] | Path  # by frame, or a video whose n-th picture is frame n
    masks: Mapping[int, Path]  # by frame
    calibrated_size: tuple[int, int] | None = None  # (height, width); None: that of the images


@dataclass(frozen=True)
class Filmed:
    """All cameras of a recording, and how its masks are meant."""

    path: Path
    cameras: Sequence[FilmedCamera]
    mask_of: Callable[[Labels], Labels]  # values in a mask's file to BACKGROUND, OBJECT, UNRELIABLE
    # Where in a camera's images of (height, width) the object is, in all frames; None: all of the images is kept.
    window_of: Callable[[FilmedCamera, tuple[int, int]], Window] | None = None

    @property
    def frame_ids(self) -> list[int]:
        """Frames that have a mask from some camera."""
        return sorted({frame for camera in self.cameras for frame in camera.masks})

    def contents(self, truth: GroundTruth | None) -> SceneContents:
        ids = tuple(camera.id for camera in self.cameras)
        return SceneContents(self.path, ids, tuple(self.frame_ids), truth)

    def read(
        self,
        truth: GroundTruth | None,
        *,
        cameras: Sequence[int] | None,
        frames: slice | Sequence[int],
        size: int | None,
        allow_missing: bool,
        new_footage: NewFootage = FootageBuilder,
    ) -> Scene:
        """The images, undistorted; the scene is in file units. See `load_scene` for the parameters."""
        chosen = list(self.cameras)
        if cameras is not None:
            ids = [camera.id for camera in chosen]
            chosen = [chosen[i] for i in camera_positions(self.path, ids, cameras)]
        frame_ids = select_frames(self.path, self.frame_ids, frames)
        with ThreadPoolExecutor(max_workers=min(len(chosen), os.cpu_count() or 1)) as pool:
            rolls = list(pool.map(_open, chosen))
            missing = [(r.camera.id, f) for r in rolls for f in frame_ids if not r.has(f)]
            where = rolls[[r.camera.id for r in rolls].index(missing[0][0])].folder if missing else self.path
            check_missing(where, missing, len(rolls) * len(frame_ids), allow_missing)
            sizes = list(pool.map(lambda roll: roll.picture_size(frame_ids), rolls))
            known = [s for s in sizes if s is not None]
            natives = [s or known[0] for s in sizes]
            windows = [
                self.window_of(c, s) if self.window_of else Window(0, 0, s[1], s[0])
                for c, s in zip(chosen, natives, strict=True)
            ]
            shape = self._shape(rolls, natives, windows, size)
            builder = new_footage((len(chosen), len(frame_ids), *shape))

            def read_camera(v: int) -> Matrix:
                """Images and mask of one camera; its intrinsics (3, 3)."""
                camera, native, window = chosen[v], natives[v], windows[v]
                K = _scaled(camera, native)
                resampling = Resampling(native, shape, window, K, camera.distortion)
                for frame, rgb in rolls[v].pictures([f for f in frame_ids if rolls[v].has(f)]):
                    t, file = frame_ids.index(frame), camera.masks[frame]
                    if rgb.shape[:2] != native:
                        what = (
                            f"frame {frame} of camera {camera.id} is {_by(rgb.shape)}, others {_by(native)}"
                        )
                        raise UserError(rolls[v].folder, what, "all images of a camera must have one size")
                    labels = _like(read_labels(file), native, file)
                    builder.put(v, t, *resampling(rgb, self.mask_of(labels)))
                return window_intrinsics(K, window, shape)

            K = list(pool.map(read_camera, range(len(chosen))))
        T = np.stack([camera.T_camera_world for camera in chosen])
        rig = Cameras(tuple(c.id for c in chosen), np.stack(K), T, width=shape[1], height=shape[0])
        truth = truth and truth.select(frames)
        return Scene(self.path.resolve().name, self.path, rig, tuple(frame_ids), builder.finish(), 1.0, truth)

    def _shape(
        self,
        rolls: Sequence[_Roll],
        natives: Sequence[tuple[int, int]],
        windows: Sequence[Window],
        size: int | None,
    ) -> tuple[int, int]:
        """(height, width) of the scene's images: one for all cameras."""
        if self.window_of:  # squares
            side = size or max(round(w.x1 - w.x0) for w in windows)
            return side, side
        for roll, native in zip(rolls, natives, strict=True):
            if native != natives[0]:
                problem = f"its images are {_by(native)}, those of {rolls[0].folder.name} {_by(natives[0])}"
                raise UserError(roll.folder, problem, "all cameras of a scene must have images of one size")
        return resized_shape(natives[0], size)


def person_mask(labels: Labels) -> Labels:
    """Body parts (1, 2, ...) or 255 are the object, 0 the background."""
    return np.where(labels > 0, OBJECT, BACKGROUND).astype(np.uint8)


def square_window(
    mask_files: Mapping[int, Path], size: tuple[int, int], mask_of: Callable[[Labels], Labels]
) -> Window:
    """The square, at least `LEAST_CROP` pixels wide, round the object in all frames of images of (height, width).

    It is found in `CROP_FRAMES` of the masks, evenly over all that there are, so that it does not depend on which frames
    are read; the margin is for what lies between them. It lies in the image, unless that is too small for it.
    """
    files = [mask_files[f] for f in sorted(mask_files)]
    files = files[:: max(1, -(-len(files) // CROP_FRAMES))]
    low, high = np.array([np.inf, np.inf]), np.array([-np.inf, -np.inf])
    for file in files:
        y, x = np.nonzero(mask_of(_like(read_labels(file), size, file)) == OBJECT)
        if len(x):
            low = np.minimum(low, [x.min(), y.min()])
            high = np.maximum(high, [x.max() + 1, y.max() + 1])
    if not np.isfinite(low).all():
        low, high = np.zeros(2), np.array([size[1], size[0]], float)
    side = max(LEAST_CROP, float(np.ceil((high - low).max() * (1 + 2 * CROP_MARGIN))))
    corner = np.round((low + high - side) / 2)
    room = np.array([size[1], size[0]]) - side
    corner = np.where(room >= 0, np.clip(corner, 0, np.maximum(room, 0)), np.round(room / 2))
    return Window(corner[0], corner[1], corner[0] + side, corner[1] + side)


LEAST_CROP = 512
CROP_FRAMES = 128
CROP_MARGIN = 0.05  # of the object's box, on every side


class _Roll:
    """The pictures of a camera, from files or from a video."""

    def __init__(self, camera: FilmedCamera) -> None:
        self.camera = camera
        source = camera.pictures
        self.video = Video(source) if isinstance(source, Path) else None
        self.files = {} if isinstance(source, Path) else source
        if isinstance(source, Path):
            self.folder = source
        else:
            self.folder = next(iter((source or camera.masks).values())).parent

    def has(self, frame: int) -> bool:
        there = frame < len(self.video) if self.video else frame in self.files
        return there and frame in self.camera.masks

    def pictures(self, frames: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        if self.video:
            yield from self.video.frames(frames)
        else:
            yield from ((frame, read_rgb(self.files[frame])) for frame in frames)

    def picture_size(self, frames: Sequence[int]) -> tuple[int, int] | None:
        """(height, width) of the first of these frames that is there."""
        first = next((f for f in frames if self.has(f)), None)
        if first is None:
            return None
        _, rgb = next(iter(self.pictures([first])))
        return rgb.shape[0], rgb.shape[1]


def _open(camera: FilmedCamera) -> _Roll:
    return _Roll(camera)


def _scaled(camera: FilmedCamera, size: tuple[int, int]) -> Matrix:
    """K for images of (height, width)."""
    h, w = camera.calibrated_size or size
    return np.diag([size[1] / w, size[0] / h, 1.0]) @ camera.K


def _like(labels: Labels, size: tuple[int, int], file: Path) -> Labels:
    """A mask in the size of its image (height, width); one that is a whole number of times larger is thinned out."""
    h, w = labels.shape
    every = h // size[0]
    if every < 1 or (h, w) != (every * size[0], every * size[1]):
        raise UserError(file, f"the mask is {_by(labels.shape)}, its image {_by(size)}", "give both one size")
    return labels[every // 2 :: every, every // 2 :: every]


def _by(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} pixels"


def rigid(where: str | Path, what: str, R: Matrix, t: Matrix) -> Matrix:
    """T_camera_world (4, 4) from a rotation (3, 3) and translation (3); UserError if it is none."""
    R, t = np.asarray(R, float), np.asarray(t, float).reshape(-1)
    good = R.shape == (3, 3) and t.shape == (3,) and np.isfinite(R).all() and np.isfinite(t).all()
    if not good or not np.allclose(R @ R.T, np.eye(3), atol=1e-3) or np.linalg.det(R) < 0:
        raise UserError(
            where, f"{what} is no rotation and translation", "calibrate this camera again or leave it out"
        )
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, t
    return T


def opencv_intrinsics(where: str | Path, what: str, K: Matrix) -> Matrix:
    """K (3, 3) with pixel centres at +0.5 from OpenCV's, where they are whole numbers; UserError if it is none."""
    K = np.asarray(K, float)
    if K.shape != (3, 3) or not np.isfinite(K).all() or K[0, 0] <= 0 or K[1, 1] <= 0:
        raise UserError(
            where, f"{what} is no camera matrix", "it must be 3 x 3 with positive focal lengths, in pixels"
        )
    if not np.allclose(K[[1, 2, 2, 2], [0, 0, 1, 2]], [0, 0, 0, 1]):
        raise UserError(where, f"{what} is no camera matrix", "its last row must be 0, 0, 1")
    K = K.copy()
    K[:2, 2] += 0.5
    return K


def opencv_distortion(where: str | Path, what: str, values: Matrix | None) -> tuple[float, ...]:
    """k1, k2, p1, p2, k3 from 0, 4 or 5 numbers (more, if they are 0); UserError for other models."""
    if values is None or not np.size(values):
        return NO_DISTORTION
    numbers = [float(v) for v in np.asarray(values, float).reshape(-1)]
    if len(numbers) < 4 or any(numbers[5:]) or not np.isfinite(numbers).all():
        raise UserError(where, f"{what} holds {len(numbers)} numbers", "k1, k2, p1, p2 and k3 are understood")
    return tuple([*numbers, 0.0][:5])
