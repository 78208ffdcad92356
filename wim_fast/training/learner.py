"""What the training loop, checkpoints and logs ask of whatever is trained: our model, or a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch

from wim_fast.config import Config
from wim_fast.ops.backend import Backend
from wim_fast.processes import Processes
from wim_fast.training.pace import Pace
from wim_fast.training.room import Room
from wim_fast.training.step_report import StepReport


class Diverged(Exception):
    """A step could not be taken, for the numbers that it names are no longer finite."""


class Learner(Protocol):
    """Something that is trained step by step: `training.trainer.Trainer`, `baselines.trainer.BaselineTrainer`.

    Attributes:
        step: steps taken.
        room: of arrays of fixed size; `EXACT` where there are none.
        generator: what steps draw random numbers from.
    """

    config: Config
    backend: Backend
    processes: Processes
    pace: Pace
    step: int
    room: Room
    generator: torch.Generator

    @property
    def progress(self) -> float:
        """Share of the schedule done."""

    @property
    def iterations(self) -> int:
        """How many steps there will have been; with `minutes`, as it looks now."""

    @property
    def active_frames(self) -> int:
        """Frames in use (supplement A.5)."""

    @property
    def facts(self) -> dict[str, float]:
        """What else a line of the log says."""

    def parameters(self) -> Sequence[torch.nn.Parameter]:
        """All that is learned."""

    def train_step(self) -> StepReport:
        """One iteration. Raises Diverged."""

    def make_room(self, room: Room) -> None:
        """From the next step on: arrays of samples with so many rows."""

    def learned(self) -> dict[str, Any]:
        """What a checkpoint holds of it, but for step, pace and random state: `model`, `optimizer` and others."""

    def restore_learned(self, content: Mapping[str, Any]) -> None:
        """Put what `learned` gave back, perhaps on another kind of device."""

    def result_files(self, frame_ids: Sequence[int], coordinate_scale: float) -> dict[str, bytes]:
        """{name: content} of what people read of a run beside its checkpoint, in the units of the scene's files."""
