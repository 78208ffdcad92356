"""What training tells of itself while it runs, and how it is asked to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from wim_fast.training.checkpoint import TrainedOn
from wim_fast.training.learner import Learner
from wim_fast.training.metrics_log import RemainingTime, psnr
from wim_fast.training.run_folder import RunFolder
from wim_fast.training.step_report import StepReport


@dataclass
class Stop:
    """Whether training was asked to stop, and by which signal if by one."""

    asked: bool = False
    signal: int | None = None


class Observer:
    """Is told what happens in training. This one does not care; those that do say more.

    Attributes:
        stop: may be set at any time; training looks at it before every step.
        error: of the observer's own, which stopped training: for the caller, once the run is saved.
    """

    def __init__(self) -> None:
        self.stop = Stop()
        self.error: Exception | None = None

    def say(self, text: str) -> None:
        """A line that a person should know."""

    def progress(self) -> AbstractContextManager[Callable[[str, int, int], None]]:
        """Round what takes a while; yields what to call, from any thread: what is done, how much of it, of how much."""
        return nullcontext(lambda what, done, total: None)

    @contextmanager
    def watching(self, trainer: Learner, folder: RunFolder, trained_on: TrainedOn) -> Iterator[None]:
        """Round all steps, in each of several processes."""
        yield

    def stepped(self, trainer: Learner, report: StepReport) -> None:
        """After every step. Must not change the trainer, nor draw random numbers of torch's."""

    def logged(self, row: Mapping[str, Any]) -> None:
        """After every line of metrics.jsonl."""


@dataclass(frozen=True)
class TrainingStep:
    """A step that was taken, of so many iterations. Reading losses or psnr of a GPU waits for it.

    Attributes:
        iterations: with `minutes`, as it looks now.
        progress: share of the schedule done, 1 after the last step.
        seconds_left: until the last iteration, as it looks now.
    """

    step: int
    iterations: int
    progress: float
    seconds_left: float
    report: StepReport

    @property
    def losses(self) -> dict[str, float]:
        """Every weighted loss term."""
        return self.report.losses

    @property
    def psnr(self) -> float:
        """Of the rays of this step, dB."""
        return psnr(self.report.squared_error)


class Callback(Observer):
    """Calls a function after every step; training stops when that returns False or raises."""

    def __init__(self, on_step: Callable[[TrainingStep], object]) -> None:
        super().__init__()
        self.on_step = on_step
        self.remaining = RemainingTime(0)

    @contextmanager
    def watching(self, trainer: Learner, folder: RunFolder, trained_on: TrainedOn) -> Iterator[None]:
        self.remaining = RemainingTime(trainer.step)
        yield

    def stepped(self, trainer: Learner, report: StepReport) -> None:
        left = self.remaining.left(trainer.step, trainer.iterations)
        step = TrainingStep(trainer.step, trainer.iterations, trainer.progress, left, report)
        try:
            wants_more = self.on_step(step)
        except KeyboardInterrupt:
            wants_more = False
        except Exception as error:  # a fault of the caller's, not of the run
            self.error, wants_more = error, False
        self.stop.asked |= wants_more is False
