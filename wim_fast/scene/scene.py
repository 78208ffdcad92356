"""A scene is one thing, whatever it was read from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wim_fast.errors import UserError
from wim_fast.recordings.cameras import Cameras
from wim_fast.scene.footage import BACKGROUND, OBJECT, UNRELIABLE, Footage, Layer  # noqa: F401


@dataclass(frozen=True)
class GroundTruth:
    """What is known about the motion, in world units, for every frame of the scene."""

    joints: NDArray[np.float32] | None  # (T, J, 3)
    points: NDArray[np.float32] | None  # (T, M, 3)

    def select(self, index: slice | Sequence[int]) -> GroundTruth:
        """The frames at these positions."""
        return GroundTruth(
            None if self.joints is None else self.joints[index],
            None if self.points is None else self.points[index],
        )


@dataclass(frozen=True)
class SceneContents:
    """What there is of a scene, without its images."""

    path: Path
    camera_ids: tuple[int, ...]
    frame_ids: tuple[int, ...]
    ground_truth: GroundTruth | None  # of all frames


@dataclass(frozen=True)
class Scene:
    """V cameras, T frames, an image and a mask for each. World units are file units / coordinate_scale."""

    name: str
    path: Path
    cameras: Cameras
    frame_ids: tuple[int, ...]
    footage: Footage
    coordinate_scale: float
    ground_truth: GroundTruth | None

    @property
    def num_cameras(self) -> int:
        return len(self.cameras)

    @property
    def num_frames(self) -> int:
        return len(self.frame_ids)

    @property
    def rgba(self) -> Layer:
        """(V, T, H, W, 4) straight alpha; index it by camera and frame."""
        return self.footage.rgba

    @property
    def mask(self) -> Layer:
        """(V, T, H, W) BACKGROUND, OBJECT or UNRELIABLE; index it by camera and frame."""
        return self.footage.mask

    @property
    def sees_object(self) -> NDArray[np.bool_]:
        """(V, T) whether there is any of the object in an image."""
        return self.footage.counts[..., OBJECT] > 0

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return self.cameras.height, self.cameras.width

    def select(self, cameras: Sequence[int] | None = None, frames: slice | None = None) -> Scene:
        """The scene with these cameras (by id, in this order) and the frames at these positions."""
        index = frames or slice(None)
        ids = self.cameras.ids
        positions = camera_positions(self.path, ids, ids if cameras is None else cameras)
        return dataclasses.replace(
            self,
            cameras=self.cameras.select(positions),
            frame_ids=self.frame_ids[index],
            footage=self.footage.select(positions, index),
            ground_truth=self.ground_truth and self.ground_truth.select(index),
        )


def camera_positions(where: str | Path, known: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """Positions of camera ids among the known ones; UserError for an id that is not there."""
    missing = sorted(set(wanted) - set(known))
    if missing:
        raise UserError(
            where,
            f"there is no camera {', '.join(map(str, missing))}",
            f"choose from {', '.join(map(str, known))}",
        )
    if not wanted:
        raise UserError(where, "no camera was asked for", f"choose from {', '.join(map(str, known))}")
    if len(set(wanted)) != len(wanted):
        raise UserError(where, "a camera was asked for twice", "name each camera once")
    return [list(known).index(i) for i in wanted]


def select_frames(where: str | Path, known: Sequence[int], frames: slice | Sequence[int]) -> list[int]:
    """The frame ids at these positions; UserError if there are none."""
    count = len(known)
    if isinstance(frames, slice):
        chosen = list(known[frames])
    else:
        chosen = [known[i] for i in frames if -count <= i < count]
    if not chosen:
        raise UserError(where, f"no frames are left of its {count}", "choose --frames within the recording")
    return chosen


def check_missing(
    where: str | Path, missing: Sequence[tuple[int, int]], wanted: int, allow_missing: bool
) -> None:
    """UserError for images, as (camera, frame), that are not there, unless some may be missing."""
    if not missing or (allow_missing and len(missing) < wanted):
        return
    v, f = missing[0]
    others = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
    raise UserError(
        where,
        f"frame {f} of camera {v} is missing{others}",
        "add the image, leave out the camera, or give --allow-missing to go on without it",
    )


def resized_shape(native: tuple[int, int], size: int | None) -> tuple[int, int]:
    """(height, width) with the longer side `size`; None: as it is."""
    if size is None:
        return native[0], native[1]
    factor = size / max(native)
    return max(1, round(native[0] * factor)), max(1, round(native[1] * factor))


def parse_frames(text: str, count: int | None = None) -> slice:
    """`"0:60"`, `"0:60:6"`, `"60:"`, `":-10"` or one position `"7"` as a slice; UserError for others.

    Start and stop may be shares of the `count` frames of a recording, if that is given: `"0:80%"`.
    """
    wrong = UserError(
        f"frames {text!r}",
        "is no range of frames",
        "write start:stop or start:stop:step with a positive step, for example 0:60, 0:60:6 or 0:80%",
    )

    def number(part: str) -> int | None:
        part = part.strip()
        if part.endswith("%") and count is not None:
            share = float(part[:-1]) / 100
            if not 0 <= share <= 1:
                raise ValueError
            return round(share * count)
        return int(part) if part else None

    try:
        numbers = [number(part) for part in text.split(":")]
    except ValueError:
        raise wrong from None
    if len(numbers) == 1 and numbers[0] is not None and "%" not in text:
        start = numbers[0]
        return slice(start, None if start == -1 else start + 1)
    if len(numbers) not in (2, 3):
        raise wrong
    frames = slice(*numbers)
    if "%" in text.split(":")[-1] and len(numbers) == 3:
        raise wrong
    if frames.step is not None and frames.step <= 0:
        raise wrong
    return frames
