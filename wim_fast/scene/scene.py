"""A scene is one thing, whatever it was read from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wim_fast.errors import UserError
from wim_fast.scene.cameras import Cameras

BACKGROUND, OBJECT, UNRELIABLE = 0, 1, 2  # values of a mask


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
    rgba: NDArray[np.uint8]  # (V, T, H, W, 4) straight alpha
    mask: NDArray[np.uint8]  # (V, T, H, W) BACKGROUND, OBJECT or UNRELIABLE
    coordinate_scale: float
    ground_truth: GroundTruth | None

    @property
    def num_cameras(self) -> int:
        return len(self.cameras)

    @property
    def num_frames(self) -> int:
        return len(self.frame_ids)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return self.cameras.height, self.cameras.width

    def select(self, cameras: Sequence[int] | None = None, frames: slice | None = None) -> Scene:
        """The scene with these cameras (by id, in this order) and the frames at these positions."""
        index = frames or slice(None)
        scene = dataclasses.replace(
            self,
            frame_ids=self.frame_ids[index],
            rgba=self.rgba[:, index],
            mask=self.mask[:, index],
            ground_truth=self.ground_truth and self.ground_truth.select(index),
        )
        if cameras is None:
            return scene
        positions = camera_positions(self.path, self.cameras.ids, cameras)
        return dataclasses.replace(
            scene,
            cameras=self.cameras.select(positions),
            rgba=scene.rgba[positions],
            mask=scene.mask[positions],
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


def parse_frames(text: str) -> slice:
    """`"0:60"`, `"0:60:6"`, `"60:"`, `":-10"` or one position `"7"` as a slice; UserError for others."""
    wrong = UserError(
        f"frames {text!r}",
        "is no range of frames",
        "write start:stop or start:stop:step with a positive step, for example 0:60 or 0:60:6",
    )
    try:
        numbers = [int(part) if part.strip() else None for part in text.split(":")]
    except ValueError:
        raise wrong from None
    if len(numbers) == 1 and numbers[0] is not None:
        start = numbers[0]
        return slice(start, None if start == -1 else start + 1)
    if len(numbers) not in (2, 3):
        raise wrong
    frames = slice(*numbers)
    if frames.step is not None and frames.step <= 0:
        raise wrong
    return frames
