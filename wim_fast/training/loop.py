"""The training loop, and what keeps a run safe: checkpoints, and a stop before a broken model is saved."""

from __future__ import annotations

import errno
import math
import shlex
import time
from collections.abc import Callable

import torch

from wim_fast.errors import UserError
from wim_fast.training.checkpoint import TrainedOn
from wim_fast.training.learner import Diverged, Learner
from wim_fast.training.metrics_log import MetricsLog
from wim_fast.training.observer import Observer, Stop
from wim_fast.training.run_folder import RunFolder
from wim_fast.training.step_report import StepReport, on_host
from wim_fast.training.timekeeper import Timekeeper

STEPS_BETWEEN_CHECKS = 20  # of the losses and of the room on a GPU
STEPS_BETWEEN_ASKING = 10  # several processes whether one of them is to stop


def training_loop(
    trainer: Learner,
    folder: RunFolder,
    trained_on: TrainedOn,
    observer: Observer,
    log: MetricsLog | None,
    preview: Callable[[], object],
) -> bool:
    """Train to the last iteration, which `minutes` put where they are over, or until asked to stop.

    The state is saved either way. But for the pace that keeps `minutes`, nothing here touches the numbers: a run that
    stops and goes on ends as one that did not.

    Args:
        log: of several processes, which all train, those without one write nothing.
        preview: writes a picture; called every so many minutes.

    Returns:
        Whether it stopped early. Raises UserError when a loss is no longer finite and when the disk does not take
        what is written; the last checkpoint stays good.
    """
    settings = trainer.config.schedule
    saved, shown = Timer(60 * settings.checkpoint_minutes), Timer(60 * settings.preview_minutes)
    check = StepCheck(trainer, folder, observer)
    timekeeper = Timekeeper(trainer, settings.minutes) if settings.minutes else None
    try:
        while trainer.step < trainer.iterations and not stopping(observer.stop, trainer):
            report = take_step(trainer, folder)
            check(report)
            if timekeeper:
                timekeeper.stepped(report)
            if log is None:
                continue
            if row := log.add(report, trainer):
                observer.logged(row)
            observer.stepped(trainer, report)
            if saved.due():
                save(trainer, folder, trained_on)
            if shown.due():
                preview()
        check.check_all()
        if log is not None:
            save(trainer, folder, trained_on)
        return observer.stop.asked
    except OSError as error:
        raise disk_error(error, folder) from None


def stopping(stop: Stop, trainer: Learner) -> bool:
    """Whether any of the processes was asked to stop; then all are."""
    if trainer.processes.count == 1 or trainer.step % STEPS_BETWEEN_ASKING == 0:
        stop.asked = trainer.processes.any(stop.asked, trainer.backend.device)
        return stop.asked
    return False


def take_step(trainer: Learner, folder: RunFolder) -> StepReport:
    """One step; UserError if it cannot be taken, for want of finite numbers."""
    try:
        return trainer.train_step()
    except Diverged as error:
        raise diverged(str(error), trainer.step, folder) from None


class StepCheck:
    """Looks at the steps that were taken: UserError when a loss is no longer finite; more room where samples need it.

    A GPU is asked for many steps at once: each time it has to be waited for.
    """

    def __init__(self, trainer: Learner, folder: RunFolder, observer: Observer) -> None:
        self.trainer, self.folder, self.observer = trainer, folder, observer
        self.every = 1 if trainer.backend.device.type == "cpu" else STEPS_BETWEEN_CHECKS
        self.reports: list[StepReport] = []

    def __call__(self, report: StepReport) -> None:
        self.reports.append(report)
        if len(self.reports) >= self.every:
            self.check_all()

    def check_all(self) -> None:
        """All reports since the last check."""
        reports, self.reports = on_host(self.reports), []
        for ago, report in zip(range(len(reports) - 1, -1, -1), reports, strict=True):
            if not torch.isfinite(report.values).all():
                bad = [name for name, value in report.losses.items() if not math.isfinite(value)]
                raise diverged(f"{', '.join(bad) or 'sum'} loss", self.trainer.step - ago, self.folder)
        if reports:
            self._make_room(reports)

    def _make_room(self, reports: list[StepReport]) -> None:
        trainer = self.trainer
        room, dropped = trainer.room.grown(reports), sum(report.num_dropped for report in reports)
        if room != trainer.room:
            lost = f"; {dropped} samples were dropped in {len(reports)} steps" if dropped else ""
            per_ray = "{:.1f} marched and {:.1f} decoded".format(
                *(n / reports[0].num_rays for n in room if n)
            )
            self.observer.say(f"step {trainer.step}: room for {per_ray} samples per ray from here on{lost}")
            trainer.make_room(room)


def save(trainer: Learner, folder: RunFolder, trained_on: TrainedOn) -> None:
    """A checkpoint, unless the last update has spoilt the model."""
    if not all(torch.isfinite(parameter).all() for parameter in trainer.parameters()):
        raise diverged("model", trainer.step, folder)
    folder.save(trainer, trained_on)


def diverged(what: str, step: int, folder: RunFolder) -> UserError:
    return UserError(
        folder.path,
        f"the {what} is no longer finite at step {step}; {last_checkpoint(folder)}",
        "lower the learning rates (--lr-...) or try another --seed",
    )


def disk_error(error: OSError, folder: RunFolder) -> UserError:
    """What to tell when something of the run could not be written."""
    remedy = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "see that it can be written"
    if folder.config.is_file():
        remedy += f", then continue with: {resume_command(folder)}"
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
