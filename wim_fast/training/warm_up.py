"""What is to be done before the first step, so that none takes longer than the others."""

from __future__ import annotations

from wim_fast.training.checkpoint import restore, snapshot
from wim_fast.training.trainer import Trainer


def warm_up(trainer: Trainer) -> None:
    """Take a step and one as at the end of the schedule, and undo them: kernels are compiled and memory is there."""
    state = snapshot(trainer)
    trainer.train_step()
    trainer.step = trainer.iterations
    trainer.train_step()
    restore(trainer, state)
