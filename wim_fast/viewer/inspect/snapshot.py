"""What is looked at: one state of a model, its frames, and the cameras that filmed them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.model.motion import Motion, posed_at
from wim_fast.ops.backend import Backend
from wim_fast.recordings.cameras import Cameras
from wim_fast.recordings.read import read_recording
from wim_fast.runs.run import Run
from wim_fast.scene.load import find_scene

KEPT = 64 * 2**20  # bytes of images that stay in memory: of the frames shown last


@dataclass(frozen=True)
class Snapshot:
    """A model as it was at one training step. Lengths are in world units.

    Attributes:
        motion: the learned poses of the T frames trained on.
        inv_s: sharpness s of the surface at that step, 1 / world units.
        how_far: step 20 of 600.
    """

    model: ArticulatedModel
    backend: Backend
    inv_s: float
    motion: Motion
    step: int
    how_far: str

    @classmethod
    def of_run(cls, run: Run) -> Snapshot:
        return cls(run.model, run.backend, run.inv_s, run.motion, run.step, run.how_far)

    @property
    def num_frames(self) -> int:
        return len(self.motion)

    @property
    def num_parts(self) -> int:
        return self.model.trajectory.parts

    def posed(self, frame: int) -> Posed:
        """The learned pose of a frame (F = 1)."""
        return posed_at(self.model, self.motion, frame)


class Film:
    """The recording of a run: all its cameras, and the images of one frame at a time."""

    def __init__(self, run: Run) -> None:
        self.run = run
        contents = run.scan_recording()
        self.positions = run.trained_positions(contents)
        self.background = run.config.scene.background_grey
        recording = read_recording(find_scene(run.config.scene.scene))  # once: it takes as long as a frame
        self._recording = replace(recording, read_truth=lambda: None)
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        scene = run.load_scene(
            cameras=self._camera_ids(contents.camera_ids),
            frames=self.positions[:1],
            recording=self._recording,
        )
        self.cameras: Cameras = scene.cameras
        self._kept[0] = scene.rgba[:, 0]

    @property
    def trained(self) -> list[int]:
        """Positions of the cameras trained on among `cameras`."""
        return [self.cameras.ids.index(i) for i in self.run.camera_ids]

    def has_images(self, frame: int) -> bool:
        """Whether `images` need not read."""
        return frame in self._kept

    def images(self, frame: int) -> np.ndarray:
        """(V, H, W, 4) uint8, straight alpha: what the cameras filmed of a frame trained on."""
        if not self.has_images(frame):
            frames = [self.positions[frame]]
            scene = self.run.load_scene(cameras=self.cameras.ids, frames=frames, recording=self._recording)
            self._kept[frame] = scene.rgba[:, 0]
            if len(self._kept) > max(1, KEPT // self._kept[frame].nbytes):
                self._kept.popitem(last=False)
        return self._kept[frame]

    def _camera_ids(self, known: Sequence[int]) -> list[int]:
        """The cameras trained on, then the others: `cameras` begins with what the model has seen."""
        return [*self.run.camera_ids, *(i for i in known if i not in self.run.camera_ids)]
