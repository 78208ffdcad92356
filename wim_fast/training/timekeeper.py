"""Has a training end when its minutes are over, however fast the machine is and becomes."""

from __future__ import annotations

import time
from collections import deque

from wim_fast.training.learner import Learner
from wim_fast.training.step_report import StepReport

BETWEEN = 0.02  # share of the time between corrections of the pace
WINDOW = 2  # corrections back, from where the speed is measured


class Timekeeper:
    """Corrects the pace of a training after some of its steps; made when the first begins.

    The steps left are those that fit into the time left at the present speed. So progress is the share of the time
    that is over, whatever a step costs, and what is left of progress is what is left of the time: a run that goes on
    from a checkpoint needs to know no more.
    """

    def __init__(self, trainer: Learner, minutes: float) -> None:
        self.trainer = trainer
        self.seconds = 60 * minutes
        self.first_step = trainer.step
        now = time.monotonic()
        self.deadline = now + self.seconds * (1 - trainer.progress)
        self.marks = deque([(now, trainer.step)], maxlen=WINDOW)

    def stepped(self, report: StepReport) -> None:
        """After every step, in each of several processes: the first decides."""
        trainer = self.trainer
        if trainer.step >= trainer.iterations:
            return
        estimate = self._steps_that_fit(report) if self._is_due() else trainer.iterations
        iterations = int(trainer.processes.first(estimate, trainer.backend.device))
        if iterations != trainer.iterations:
            trainer.pace = trainer.pace.changed(trainer.step, iterations)

    def _is_due(self) -> bool:
        """At first, when little is known, after 1, 2, 4, 8 ... steps; then every so often, and more often at the end."""
        now, taken = time.monotonic(), self.trainer.step - self.first_step
        between = min(BETWEEN * self.seconds, (self.deadline - now) / 4)
        return taken.bit_count() == 1 or now - self.marks[-1][0] >= between

    def _steps_that_fit(self, report: StepReport) -> int:
        """Which step will be the last."""
        report.values.sum().item()  # a GPU has done them all now
        step, now = self.trainer.step, time.monotonic()
        then, before = self.marks[0]
        self.marks.append((now, step))
        seconds = max(now - then, 1e-9) / (step - before)
        return step + max(round((self.deadline - now) / seconds), 0)
