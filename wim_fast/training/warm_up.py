"""What is to be done before the first step, so that none takes longer than the others."""

from __future__ import annotations

from wim_fast.training.checkpoint import restore, snapshot
from wim_fast.training.learner import Learner
from wim_fast.training.step_report import on_host


def warm_up(trainer: Learner) -> None:
    """Take a step and one as at the end of the schedule, and undo them: kernels are compiled and memory is there.

    The room for samples becomes what these steps suggest, the last of them as sharp as any.
    """
    state = snapshot(trainer)
    reports = [trainer.train_step()]
    trainer.step = trainer.iterations
    reports.append(trainer.train_step())
    trainer.make_room(trainer.room.measured(on_host(reports)))
    restore(trainer, state)
