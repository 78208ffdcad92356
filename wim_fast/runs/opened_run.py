"""A run that was opened, whatever it trained: where it came from, and its recording."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from wim_fast.config import Config
from wim_fast.errors import UserError
from wim_fast.model.camera_corrections import AS_GIVEN, FoundCameras
from wim_fast.ops.backend import Backend
from wim_fast.recordings.cameras import Cameras
from wim_fast.recordings.recording import Recording
from wim_fast.recordings.selection import parse_frames
from wim_fast.scene.load import scan_scene
from wim_fast.scene.scene import Scene, SceneContents
from wim_fast.training.split import read_views


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """What is known of a run that was trained on T frames. Lengths are in world units.

    Attributes:
        path: folder of the run.
        frame_ids, camera_ids: of the recording, trained on.
        coordinate_scale: units of the recording's files per world unit.
        step, iterations: how far training had come, and how far it was to go; with `minutes`, as it looked then.
        found: what training found out about the cameras.
    """

    path: Path
    config: Config
    backend: Backend
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

    @property
    def background(self) -> float:
        """The grey behind the object, in [0, 1]."""
        return self.config.scene.background_grey

    def load_scene(
        self,
        cameras: Sequence[int] | None = None,
        frames: str | slice | Sequence[int] | None = None,
        size: int | None = None,
        recording: Recording | None = None,
    ) -> Scene:
        """The recording in the model's world units, its cameras corrected as training did.

        Args:
            cameras: ids; None: all there are.
            frames: a range or positions over all frames of the recording; None: those trained on.
            size: longer side of the images in pixels; None: as trained.
            recording: what was read of it already.
        """
        settings = dataclasses.replace(self.config.scene, coordinate_scale=self.coordinate_scale)
        scene = read_views(settings, cameras, frames, size, recording)
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


def check_frame(run: OpenedRun, frame: int) -> None:
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
        where = f"{name} '{frames}'" if isinstance(frames, str) else f"{name} {frames}"
        raise UserError(where, f"there are {count} {what}", f"stay within 0:{count}")
    return found
