"""What will be imported: which cameras and frames, and how each camera's pictures become images of one size."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wim_fast.errors import SceneWarning, UserError
from wim_fast.recordings.calibration.calibrated import CalibratedCamera, Matrix
from wim_fast.recordings.cameras import Cameras
from wim_fast.recordings.masks import Masks
from wim_fast.recordings.resampling import Resampling, Window, window_intrinsics
from wim_fast.recordings.sources import Pictures, SourceCamera
from wim_fast.scene.scene import parse_frames, resized_shape, select_frames

DEFAULT_SIZE = 1024  # longer side of the images, if they were filmed larger


@dataclass(frozen=True)
class PlannedCamera:
    """A camera with its pictures, and how they become images of (height, width) `size`."""

    source: SourceCamera
    calibrated: CalibratedCamera
    native: tuple[int, int]  # (height, width) of the pictures
    window: Window
    size: tuple[int, int]

    @property
    def id(self) -> int:
        return self.source.id

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def pictures(self) -> Pictures:
        return self.source.reader

    @property
    def native_intrinsics(self) -> Matrix:
        """K (3, 3) of the pictures."""
        return self.calibrated.intrinsics(self.pictures.where, self.native)

    def resampling(self) -> Resampling:
        return Resampling(
            self.native, self.size, self.window, self.native_intrinsics, self.calibrated.distortion
        )


@dataclass(frozen=True)
class Plan:
    """Cameras in the order of their ids, and the frames that all of them have."""

    cameras: list[PlannedCamera]
    frames: list[int]
    size: tuple[int, int]  # (height, width) of the scene's images

    @property
    def rig(self) -> Cameras:
        """The cameras of the scene's images, in the calibration's world."""
        K = [window_intrinsics(c.native_intrinsics, c.window, self.size) for c in self.cameras]
        T = [c.calibrated.T_camera_world for c in self.cameras]
        ids = tuple(c.id for c in self.cameras)
        return Cameras(ids, np.stack(K), np.stack(T), width=self.size[1], height=self.size[0])


def make_plan(
    source: Path,
    sources: Sequence[SourceCamera],
    calibrated: dict[str, CalibratedCamera],
    masks: Masks,
    frames: str | None,
    size: int | None,
) -> Plan:
    """Chooses frames and sizes; one picture of each camera is read."""
    chosen = common_frames(source, sources, masks, frames)
    natives = []
    for camera in sources:
        _, picture = next(iter(camera.reader.colors(chosen[:1])))
        natives.append((picture.shape[0], picture.shape[1]))
    shape, windows = common_shape(natives, size)
    cameras = [
        PlannedCamera(camera, calibrated[camera.name], native, window, shape)
        for camera, native, window in zip(sources, natives, windows, strict=True)
    ]
    return Plan(cameras, chosen, shape)


def common_frames(
    source: Path, sources: Sequence[SourceCamera], masks: Masks, wanted: str | None
) -> list[int]:
    """The frames of which every camera has a picture and a mask, those that --frames takes of them."""
    have: dict[str, set[int]] = {}
    for camera in sources:
        pictures = set(camera.reader.frames)
        of_masks = masks.frames(camera)
        have[camera.name] = pictures if of_masks is None else pictures & set(of_masks)
        if not have[camera.name]:
            known = sorted(pictures)
            numbers = f"pictures {known[0]} to {known[-1]}" if known else "no pictures"
            masked = f"masks {min(of_masks)} to {max(of_masks)}" if of_masks else "no masks"
            raise UserError(
                source,
                f"{camera.name} has {numbers} and {masked}, but no frame with both",
                "give pictures and masks the same numbers",
            )
    common = sorted(set.intersection(*have.values()))
    if not common:
        ranges = "; ".join(f"{name} {min(f)} to {max(f)}" for name, f in have.items())
        raise UserError(
            source, f"no frame is in all cameras ({ranges})", "number frames alike in all cameras"
        )
    more = {name: len(f) - len(common) for name, f in have.items() if len(f) > len(common)}
    if more:
        text = ", ".join(f"{name} {count}" for name, count in more.items())
        warnings.warn(
            f"{source}: frames that not every camera has are left out ({text}); were all started together?",
            SceneWarning,
            stacklevel=2,
        )
    frames = parse_frames(wanted, len(common)) if wanted is not None else slice(None)
    return select_frames(source, common, frames)


def common_shape(
    natives: Sequence[tuple[int, int]], size: int | None
) -> tuple[tuple[int, int], list[Window]]:
    """(height, width) of the scene's images, and of each camera's pictures the window that they show.

    Pictures of several shapes are brought to one by what lies beyond their edges, which is unreliable.
    """
    largest = max(max(native) for native in natives)
    longer = size or min(DEFAULT_SIZE, largest)
    shapes = [resized_shape(native, longer) for native in natives]
    height, width = (max(s[k] for s in shapes) for k in (0, 1))
    windows = []
    for native, shape in zip(natives, shapes, strict=True):
        h, w = native[0] * height / shape[0], native[1] * width / shape[1]
        x, y = (native[1] - w) / 2, (native[0] - h) / 2
        windows.append(Window(x, y, x + w, y + h))
    return (height, width), windows
