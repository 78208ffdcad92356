"""How many iterations fit into a given time."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from wim_fast import config as config_module
from wim_fast.training.checkpoint import restore, snapshot
from wim_fast.training.trainer import Trainer

FIRST_STEPS = 4  # timed to see how many steps there is time to measure
LEAST_STEPS = 24
# measured: a whole schedule in n steps costs 1 + 4 / n times less per step than a long one
SHORTFALL_STEPS = 4.0
# measured: a step of a model that has learned costs so many times that of one rushed through the schedule
MATURITY = 1.2


def iterations_until(
    trainer: Trainer, deadline: float, measure_seconds: float, overhead: Callable[[], float] = lambda: 0.0
) -> int:
    """The iterations that end at `deadline` (of `time.monotonic`), measured on `trainer`, left as it was.

    A step costs more later on: the surface sharpens (more samples on a ray), frames are added, losses join,
    and the parts grow into the shape. So the whole schedule is run through in the few steps there is time
    for. `overhead` measures the seconds that will go elsewhere.
    """
    state, config = snapshot(trainer), trainer.config
    trainer.iterations = 10**6
    trainer.step = trainer.iterations // 2
    trainer.train_step()  # what is needed only there is made now
    first = functools.partial(trainer.processes.first, device=trainer.backend.device)
    steps = int(first(max(LEAST_STEPS, measure_seconds / (_seconds(trainer, FIRST_STEPS) / FIRST_STEPS))))
    trainer.config = config_module.replace(config, warmup_steps=steps // 10)
    trainer.step, trainer.iterations = 0, steps
    cost = MATURITY * _seconds(trainer, steps) / steps * (1 + SHORTFALL_STEPS / steps)
    elsewhere = overhead()
    trainer.config = config
    restore(trainer, state)
    return int(first(max(1, round((deadline - time.monotonic() - elsewhere) / cost))))


def _seconds(trainer: Trainer, steps: int) -> float:
    """What some steps take."""
    start = time.perf_counter()
    for _ in range(steps):
        report = trainer.train_step()
    report.values.sum().item()  # a GPU has done it all now
    return time.perf_counter() - start


def warm_up(trainer: Trainer) -> None:
    """Take and undo a step, so that kernels are compiled and memory is there."""
    state = snapshot(trainer)
    trainer.train_step()
    restore(trainer, state)
