"""How many iterations fit into a given time."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from wim_fast.training.checkpoint import restore, snapshot
from wim_fast.training.trainer import Trainer

PLACES = 8  # shares of the schedule at which steps are timed
LEAST_STEPS = 4  # per place


def iterations_until(
    trainer: Trainer, deadline: float, measure_seconds: float, overhead: Callable[[], float] = lambda: 0.0
) -> int:
    """The iterations that end at `deadline` (of `time.monotonic`), measured on `trainer`, left as it was.

    A step costs more later on: the surface sharpens (more samples on a ray), frames are added, losses join.
    So steps are timed at `PLACES` shares of the schedule. `overhead` measures the seconds that will go
    elsewhere.
    """
    state = snapshot(trainer)
    trainer.iterations = 10**6
    costs = []
    for place in range(PLACES):
        trainer.step = int((place + 0.5) / PLACES * trainer.iterations)
        trainer.train_step()  # what is needed only here is made now
        costs.append(_step_seconds(trainer, measure_seconds / PLACES))
    elsewhere = overhead()
    restore(trainer, state)
    return max(1, round((deadline - time.monotonic() - elsewhere) * PLACES / sum(costs)))


def _step_seconds(trainer: Trainer, seconds: float) -> float:
    """Median time of a step, over about `seconds`."""
    times: list[float] = []
    while len(times) < LEAST_STEPS or sum(times) < seconds:
        start = time.perf_counter()
        trainer.train_step()
        times.append(time.perf_counter() - start)
    return median(times)


def warm_up(trainer: Trainer) -> None:
    """Take and undo a step, so that kernels are compiled and memory is there."""
    state = snapshot(trainer)
    trainer.train_step()
    restore(trainer, state)
