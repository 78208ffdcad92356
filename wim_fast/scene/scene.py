"""A scene is one thing, whatever it was read from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wim_fast.recordings.cameras import Cameras
from wim_fast.recordings.masks import OBJECT
from wim_fast.recordings.recording import GroundTruth
from wim_fast.recordings.selection import camera_positions
from wim_fast.scene.footage import Footage, Layer


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

    def in_step(self, late: NDArray[np.int64]) -> Scene:
        """The scene with the images of each camera at the frames whose moment they show: so many (V,) later."""
        return dataclasses.replace(self, footage=self.footage.shifted(late)) if late.any() else self

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
