"""A trained model and what is known about it: what every function of `runs/` starts from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from wim_fast.config import Config
from wim_fast.errors import UserError
from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.model.camera_corrections import AS_GIVEN, FoundCameras
from wim_fast.model.motion import Motion, edges_of, joints_of, learned_motion, posed_at, semi_axes_of
from wim_fast.ops.backend import Backend
from wim_fast.recordings.cameras import Cameras
from wim_fast.recordings.selection import parse_frames
from wim_fast.scene.load import scan_scene
from wim_fast.scene.scene import Scene, SceneContents
from wim_fast.training.split import read_views


@dataclass(frozen=True)
class TrainedModel:
    """A model as a checkpoint holds it, with P parts, trained on T frames. Lengths are in world units.

    Attributes:
        path: folder of the run.
        inv_s: sharpness of the surface when it was saved, 1 / world units.
        frame_ids, camera_ids: of the recording, trained on.
        coordinate_scale: units of the recording's files per world unit.
        step, iterations: how far training had come, and how far it was to go; with `minutes`, as it looked then.
        found: what training found out about the cameras.
    """

    path: Path
    config: Config
    model: ArticulatedModel
    backend: Backend
    inv_s: float
    frame_ids: tuple[int, ...]
    camera_ids: tuple[int, ...]
    coordinate_scale: float
    step: int
    iterations: int
    found: FoundCameras = AS_GIVEN

    @property
    def how_far(self) -> str:
        """`step` and `iterations` for a person to read."""
        about = "about " if self.config.schedule.minutes and self.step < self.iterations else ""
        return f"step {self.step} of {about}{self.iterations}"

    @cached_property
    def motion(self) -> Motion:
        """The learned poses of the T frames."""
        return learned_motion(self.model, self.backend.pose_mlp)

    @property
    def semi_axes(self) -> np.ndarray:
        """(P, 3)"""
        return semi_axes_of(self.model)

    @property
    def edges(self) -> np.ndarray:
        """(P-1, 2) the two parts that each joint joins."""
        return edges_of(self.model)

    @property
    def background(self) -> float:
        """The grey behind the object, in [0, 1]."""
        return self.config.scene.background_grey

    def pose_seen(self, frame: int, camera: int) -> Posed:
        """What a camera (id) shows in its picture of a frame (position among those trained on), F = 1.

        A camera that was found to be late shows another moment than the others.
        """
        late = self.found.lateness(camera)
        if late == 0:
            return posed_at(self.model, self.motion, frame)
        return posed_at(self.model, learned_motion(self.model, self.backend.pose_mlp, [frame + late]), 0)

    def joints_in(self, motion: Motion) -> np.ndarray:
        """(T, P-1, 3) the joints in the poses of a motion."""
        return joints_of(self.model, motion)

    def load_scene(
        self,
        cameras: Sequence[int] | None = None,
        frames: str | slice | Sequence[int] | None = None,
        size: int | None = None,
    ) -> Scene:
        """The recording in the model's world units, its cameras corrected as training did.

        Args:
            cameras: ids; None: all there are.
            frames: a range or positions over all frames of the recording; None: those trained on.
            size: longer side of the images in pixels; None: as trained.
        """
        settings = dataclasses.replace(self.config.scene, coordinate_scale=self.coordinate_scale)
        scene = read_views(settings, cameras, frames, size)
        return dataclasses.replace(scene, cameras=self.found.corrected(scene.cameras))

    def scan_recording(self) -> SceneContents:
        """What the recording holds, in world units. UserError if frames that were trained on are gone."""
        contents = scan_scene(self.config.scene.scene, self.coordinate_scale)
        if lost := set(self.frame_ids) - set(contents.frame_ids):
            problem = f"frame {min(lost)}, which {self.path} was trained on, is not there"
            raise UserError(contents.path, problem, "put the recording back as it was")
        return contents

    def trained_positions(self, contents: SceneContents) -> list[int]:
        """Positions of the frames trained on among all frames of the recording, in the order of the model's."""
        return [contents.frame_ids.index(frame) for frame in self.frame_ids]

    def recorded_cameras(self, ids: Sequence[int] | None = None) -> Cameras:
        """Cameras of the recording by id (None: all), images as trained; UserError for one that is not there."""
        key = None if ids is None else tuple(ids)
        if key not in self._cameras_read:
            frames = self.trained_positions(self.scan_recording())[:1]
            self._cameras_read[key] = self.load_scene(cameras=ids, frames=frames).cameras
        return self._cameras_read[key]

    @cached_property
    def _cameras_read(self) -> dict[tuple[int, ...] | None, Cameras]:
        """What `recorded_cameras` has found: reading takes longer than rendering what they see."""
        return {}


def check_frame(run: TrainedModel, frame: int) -> None:
    """UserError unless this is a position among the frames trained on."""
    count = len(run.frame_ids)
    if not 0 <= frame < count:
        remedy = f"choose one from 0 to {count - 1}"
        raise UserError(f"frame {frame}", f"there are {count} frames trained on", remedy)


def frame_positions(
    frames: str | Sequence[int] | None, count: int, what: str, name: str = "frames"
) -> list[int]:
    """Frames as positions among `count`: all for None, a range such as "0:60:6", or positions themselves.

    UserError, calling them `name` and all there are `what`, if they leave 0..count-1 or none is left.
    """
    if frames is None:
        return list(range(count))
    if isinstance(frames, str):
        chosen = parse_frames(frames, count)
        found = list(range(count))[chosen]
        outside = any(abs(end) > count for end in (chosen.start, chosen.stop) if end is not None)
    else:
        found = [int(frame) for frame in frames]
        outside = any(not 0 <= frame < count for frame in found)
    if not found or outside:
        raise UserError(f"{name} {frames}", f"there are {count} {what}", f"stay within 0:{count}")
    return found
