"""The training loop, and what keeps a run safe: checkpoints, signals, numbers that are no numbers."""

from __future__ import annotations

import errno
import math
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch

from wim_fast.config import ScheduleConfig
from wim_fast.errors import UserError
from wim_fast.training.checkpoint import TrainedOn
from wim_fast.training.monitor import Monitor
from wim_fast.training.run_folder import RunFolder
from wim_fast.training.step import StepReport
from wim_fast.training.trainer import Trainer

STEPS_BETWEEN_LOOKS = 20  # at the losses of a GPU


def train(
    trainer: Trainer,
    folder: RunFolder,
    seen: TrainedOn,
    monitor: Monitor | None,
    preview: Callable[[Trainer], object],
    schedule: ScheduleConfig,
) -> int | None:
    """Train to the last iteration, or until a signal asks to stop; the state is saved either way.

    Nothing here touches the numbers: a run that stops and goes on ends as one that did not.

    Of several processes all train; those without a monitor write nothing. Returns the signal that stopped it, or None.
    Raises UserError when a loss is no longer finite and when the disk does not take what is written; the last checkpoint
    stays good.
    """
    saved = Timer(60 * schedule.checkpoint_minutes)
    shown = Timer(60 * schedule.preview_minutes)
    check = FiniteCheck(trainer, folder)
    try:
        with stop_signal() as stop:
            while trainer.step < trainer.iterations and not stopping(stop, trainer):
                report = take_step(trainer, folder)
                check(report)
                if monitor is None:
                    continue
                monitor.observe(report, trainer)
                if saved.due():
                    save(trainer, folder, seen)
                if shown.due():
                    preview(trainer)
            check.look()
            if monitor is not None:
                save(trainer, folder, seen)
            return stop.number
    except OSError as error:
        raise disk_error(error, folder) from None


def stopping(stop: Stop, trainer: Trainer) -> bool:
    """Whether a signal asked any of the processes to stop."""
    asked = trainer.processes.any(stop.number is not None, trainer.backend.device)
    if asked and stop.number is None:
        stop.number = signal.SIGTERM
    return asked


def take_step(trainer: Trainer, folder: RunFolder) -> StepReport:
    """One step; UserError if the tree cannot be chosen, from distances that are not numbers."""
    try:
        return trainer.train_step()
    except ValueError:
        if torch.isfinite(trainer.model.joints.candidate_distance).all():
            raise
        raise diverged("part distances", trainer.step, folder) from None


class FiniteCheck:
    """UserError when a loss is no longer finite. A GPU is asked for many steps at once: each time it has to be waited for."""

    def __init__(self, trainer: Trainer, folder: RunFolder) -> None:
        self.trainer, self.folder = trainer, folder
        self.every = 1 if trainer.backend.device.type == "cpu" else STEPS_BETWEEN_LOOKS
        self.reports: list[tuple[int, StepReport]] = []

    def __call__(self, report: StepReport) -> None:
        self.reports.append((self.trainer.step, report))
        if len(self.reports) >= self.every:
            self.look()

    def look(self) -> None:
        """At all that was not looked at."""
        for step, report in self.reports:
            if not torch.isfinite(report.values.sum()):
                bad = [name for name, value in report.losses.items() if not math.isfinite(value)]
                raise diverged(f"{', '.join(bad) or 'sum'} loss", step, self.folder)
        self.reports = []


def save(trainer: Trainer, folder: RunFolder, seen: TrainedOn) -> None:
    """A checkpoint, unless the last update has spoilt the model."""
    if not all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters()):
        raise diverged("model", trainer.step, folder)
    folder.save(trainer, seen)


def diverged(what: str, step: int, folder: RunFolder) -> UserError:
    return UserError(
        folder.path,
        f"the {what} is no longer finite at step {step}; {last_checkpoint(folder)}",
        "lower the learning rates (--lr-pose, --lr-grid, --lr-decoder) or try another --seed",
    )


def disk_error(error: OSError, folder: RunFolder) -> UserError:
    """What to tell when something of the run could not be written."""
    remedy = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "see that it can be written"
    if folder.config.is_file():
        remedy += f", then go on with: {resume_command(folder)}"
    problem = f"cannot be written ({error.strerror or error}); {last_checkpoint(folder)}"
    return UserError(error.filename or folder.path, problem, remedy)


def resume_command(folder: RunFolder) -> str:
    """What to type to go on with a run."""
    return shlex.join(["wim-fast", "train", "--resume", "--output", str(folder.path)])


def last_checkpoint(folder: RunFolder) -> str:
    """Where the run is safe."""
    checkpoints = folder.all_checkpoints()
    return f"the last good checkpoint is {checkpoints[-1]}" if checkpoints else "there is no checkpoint yet"


class Timer:
    """Says when `seconds` have passed, again and again."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.start = time.monotonic()

    def due(self) -> bool:
        now = time.monotonic()
        if now - self.start < self.seconds:
            return False
        self.start = now
        return True


@dataclass
class Stop:
    """Which signal has asked to stop, if any."""

    number: int | None = None


@contextmanager
def stop_signal() -> Iterator[Stop]:
    """SIGINT and SIGTERM set a flag inside; a second one interrupts at once."""
    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.number is not None:
            raise KeyboardInterrupt
        stop.number = number

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
