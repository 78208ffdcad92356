"""What was filmed: calibrated cameras, frames, a stream of colours and masks, and the truth where it is known.

`read.read_recording` makes one of any layout; nothing is decoded then. A scene for training is built from it
(`scene.load`), and `import` writes it as the raw layout. It knows nothing of either.

    recording = read_recording(path).select(cameras=[0, 3], frames=slice(0, 60))
    framing = recording.framing(512)             # how pictures become images whose longer side is 512 pixels
    framing.cameras                              # the `Cameras` of these images
    for frame, rgba, mask in framing.images(0):  # of the first camera
        ...
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wim_fast.errors import SceneWarning, UserError
from wim_fast.recordings.calibration.calibrated import CalibratedCamera
from wim_fast.recordings.cameras import Cameras
from wim_fast.recordings.film import Film, FilmFrame
from wim_fast.recordings.masks import Pixels
from wim_fast.recordings.resampling import Resampling, undistorted_box
from wim_fast.recordings.selection import camera_positions, frame_positions
from wim_fast.recordings.windows import Size, Window, common_size, whole_picture, window_intrinsics


@dataclass(frozen=True)
class GroundTruth:
    """What is known about the motion, for every frame; of a scene in world units, of a recording in its own."""

    joints: NDArray[np.float32] | None  # (T, J, 3)
    points: NDArray[np.float32] | None  # (T, M, 3)

    def select(self, index: slice | Sequence[int]) -> GroundTruth:
        """The frames at these positions."""
        return self.changed(lambda positions: positions[index])

    def changed(self, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> GroundTruth:
        """Both arrays changed alike."""
        joints, points = self.joints, self.points
        return GroundTruth(
            None if joints is None else change(joints), None if points is None else change(points)
        )


@dataclass(frozen=True)
class FilmedCamera:
    """A camera that stands still, and its film."""

    id: int
    name: str  # of its pictures
    calibrated: CalibratedCamera
    film: Film
    window: Callable[[Size], Window] = (
        whole_picture  # what of a picture (height, width), undistorted, is kept
    )

    def intrinsics(self, size: Size) -> NDArray[np.float64]:
        """K (3, 3) of its pictures of (height, width), perhaps with a skew."""
        return self.calibrated.intrinsics(self.film.where, size)


@dataclass(frozen=True)
class Origin:
    """Where a recording was read from, for people to see."""

    layout: str
    calibration: Path
    masks: str
    unused_views: int = 0  # of the calibration
    exact_masks: bool = False  # true to a fraction of a pixel, as rendered ones are, not found in film


def _unknown() -> GroundTruth | None:
    return None


@dataclass(frozen=True)
class Recording:
    """Cameras that filmed the same motion.

    Attributes:
        path: the folder.
        cameras: in the order of their ids, or in the order chosen.
        frame_ids: of all frames; a camera may lack some of them.
        origin: what it was read from.
        up: (3,) unit, of the calibration's world; None: not known.
        read_truth: reads what is known about the motion in these frames, in the units of the calibration.
    """

    path: Path
    cameras: tuple[FilmedCamera, ...]
    frame_ids: tuple[int, ...]
    origin: Origin
    read_truth: Callable[[], GroundTruth | None] = field(default=_unknown)
    up: tuple[float, float, float] | None = None

    @property
    def camera_ids(self) -> tuple[int, ...]:
        return tuple(camera.id for camera in self.cameras)

    def select(
        self, cameras: Sequence[int] | None = None, frames: slice | Sequence[int] | None = None
    ) -> Recording:
        """These cameras (by id, in this order) and the frames at these positions; UserError if one is not there."""
        chosen = self.cameras
        if cameras is not None:
            chosen = tuple(chosen[i] for i in camera_positions(self.path, self.camera_ids, cameras))
        if frames is None:
            return dataclasses.replace(self, cameras=chosen)
        positions = frame_positions(self.path, len(self.frame_ids), frames)
        return dataclasses.replace(
            self,
            cameras=chosen,
            frame_ids=tuple(self.frame_ids[i] for i in positions),
            read_truth=partial(_truth_of_some, self.read_truth, positions),
        )

    def frames_of(self, index: int) -> list[int]:
        """The frames that the camera at this position has."""
        there = set(self.cameras[index].film.frames)
        return [frame for frame in self.frame_ids if frame in there]

    def missing(self) -> list[tuple[int, int]]:
        """(position of the camera, frame) of what is not there."""
        found = []
        for v, camera in enumerate(self.cameras):
            there = set(camera.film.frames)
            found += [(v, frame) for frame in self.frame_ids if frame not in there]
        return found

    def check_missing(self, allow_missing: bool) -> None:
        """UserError for images that are not there, unless some may be missing."""
        missing = self.missing()
        if not missing or (allow_missing and len(missing) < len(self.cameras) * len(self.frame_ids)):
            return
        v, frame = missing[0]
        others = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            self.cameras[v].film.file(frame),
            f"frame {frame} of camera {self.cameras[v].id} is missing{others}",
            "add the image, leave out the camera, or give --allow-missing to go on without it",
        )

    def in_step(self) -> Recording:
        """The frames that every camera has; SceneWarning for those that are left out."""
        have = {camera.name: set(camera.film.frames) & set(self.frame_ids) for camera in self.cameras}
        common = set.intersection(*have.values())
        if not common:
            ranges = "; ".join(f"{name} {min(f)} to {max(f)}" for name, f in have.items() if f)
            remedy = "give the same moment the same number in all cameras"
            raise UserError(self.path, f"no frame is seen by all cameras ({ranges})", remedy)
        more = {name: len(f) - len(common) for name, f in have.items() if len(f) > len(common)}
        if more:
            text = ", ".join(f"{name} {count}" for name, count in more.items())
            warnings.warn(
                f"{self.path}: frames that not every camera has are left out ({text}); were all started together?",
                SceneWarning,
                stacklevel=2,
            )
        return self.select(frames=[i for i, frame in enumerate(self.frame_ids) if frame in common])

    def framing(self, longer: int | None = None) -> Framing:
        """How its pictures become images of one size; a picture of each camera is read for it.

        Args:
            longer: side of the images in pixels; None: pixels as filmed.
        """
        natives = [self._native(v) for v in range(len(self.cameras))]
        known = next((size for size in natives if size is not None), None)
        if known is None:
            raise UserError(self.path, "none of the frames is there", "choose others")
        sizes = [size or known for size in natives]
        windows = [camera.window(size) for camera, size in zip(self.cameras, sizes, strict=True)]
        factors = [1.0 if longer is None else longer / max(window.size) for window in windows]
        size, windows = common_size(windows, factors, sizes)
        return Framing(self, size, tuple(sizes), tuple(windows))

    def _native(self, index: int) -> Size | None:
        """(height, width) of the first picture of a camera that is there."""
        frames = self.frames_of(index)
        return self.cameras[index].film.size(frames[0]) if frames else None


def _truth_of_some(read: Callable[[], GroundTruth | None], positions: Sequence[int]) -> GroundTruth | None:
    truth = read()
    return truth and truth.select(positions)


@dataclass(frozen=True)
class Framing:
    """How the pictures of each camera become images of one size.

    Attributes:
        size: (height, width) of the images.
        natives: (height, width) of each camera's pictures.
        windows: what of each camera's undistorted pictures its images show.
    """

    recording: Recording
    size: Size
    natives: tuple[Size, ...]
    windows: tuple[Window, ...]

    @property
    def cameras(self) -> Cameras:
        """The cameras of the images, in the calibration's world."""
        found = self.recording.cameras
        K = [self._ideal_intrinsics(v) for v in range(len(found))]
        T = [camera.calibrated.T_camera_world for camera in found]
        height, width = self.size
        ids, up = self.recording.camera_ids, self.recording.up
        return Cameras(ids, np.stack(K), np.stack(T), width=width, height=height, up=up)

    def of_windows(self, windows: Sequence[Window], at_most: int | None) -> Framing:
        """The same pictures, of which other parts are kept: pixels as filmed.

        Args:
            at_most: longer side of the images; windows that are larger become smaller images.
        """
        factors = [1.0 if at_most is None else min(1.0, at_most / max(window.size)) for window in windows]
        size, widened = common_size(windows, factors, self.natives)
        return dataclasses.replace(self, size=size, windows=tuple(widened))

    def _ideal_intrinsics(self, index: int) -> NDArray[np.float64]:
        """K (3, 3) of a camera's images: lens and skew are undone."""
        K = self.recording.cameras[index].intrinsics(self.natives[index])
        K[0, 1] = 0.0
        return window_intrinsics(K, self.windows[index], self.size)

    def resampling(self, index: int) -> Resampling:
        """From the pictures of the camera at this position to its images."""
        camera, native = self.recording.cameras[index], self.natives[index]
        K = camera.intrinsics(native)
        return Resampling(native, self.size, self.windows[index], K, camera.calibrated.lens)

    def film_frames(self, index: int, frames: Sequence[int] | None = None) -> Iterator[FilmFrame]:
        """What the camera at this position filmed, in native pixels.

        Args:
            frames: ids of frames that it has; None: all of them. They come in ascending order.
        """
        frames = self.recording.frames_of(index) if frames is None else frames
        film = self.recording.cameras[index].film
        for taken in film.stream(frames) if frames else ():
            self._check_size(index, taken.frame, taken.alpha.shape)
            yield taken

    def silhouettes(self, index: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """(frame, where the object is (h, w)) of all frames of a camera, in native pixels; colours are not read where
        that can be helped."""
        frames = self.recording.frames_of(index)
        for frame, alpha in self.recording.cameras[index].film.silhouettes(frames) if frames else ():
            self._check_size(index, frame, alpha.shape)
            yield frame, alpha > 0.5

    def box(self, index: int, silhouette: NDArray[np.bool_]) -> Window | None:
        """The box round the pixels that are set (h, w), in the undistorted picture; None without any."""
        camera = self.recording.cameras[index]
        return undistorted_box(silhouette, camera.intrinsics(self.natives[index]), camera.calibrated.lens)

    def _check_size(self, index: int, frame: int, size: tuple[int, ...]) -> None:
        native = self.natives[index]
        if size != native:
            height, width = size
            problem = f"frame {frame} is {width} x {height} pixels, the first {native[1]} x {native[0]}"
            remedy = "all pictures of a camera must have the same size"
            raise UserError(self.recording.cameras[index].film.file(frame), problem, remedy)

    def images(self, index: int, frames: Sequence[int] | None = None) -> Iterator[tuple[int, Pixels, Pixels]]:
        """(frame, image (H, W, 4) with straight alpha, mask (H, W)) of the same."""
        resampling = self.resampling(index)
        for taken in self.film_frames(index, frames):
            yield taken.frame, *resampling(taken.rgb, taken.alpha, taken.unreliable)
