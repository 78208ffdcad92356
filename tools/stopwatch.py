"""Where the time of a training step goes: functions of the package wrapped in a clock, for `benchmark.py`."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch

from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.ops.articulated import cpu as lookup
from wim_fast.ops.backend import Backend
from wim_fast.ops.composite import cpu as composite
from wim_fast.ops.part_encoding import cpu as encoding
from wim_fast.training import schedule, trainer
from wim_fast.training.images import TrainingImages
from wim_fast.training.trainer import Trainer

# In the order in which they run. "losses" is what remains of the forward pass, "autograd" of the backward one.
STAGES = (
    "data", "pose", "march", "lookup", "encoding", "decoder", "composite", "losses",
    "lookup backward", "encoding backward", "composite backward", "autograd", "optimiser",
)  # fmt: skip


class Stopwatch:
    """Seconds by stage; time in an inner stage does not count for the outer one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    def _lap(self) -> None:
        now = self.clock()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now

    def timed(self, stage: str, function: Callable) -> Callable:
        """The function, with its time counted as `stage`."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self._lap()
            self._running.append(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self._lap()
                self._running.pop()

        return wrapper


@contextlib.contextmanager
def timed_stages(subject: Trainer, clock: Callable[[], float]) -> Iterator[Stopwatch]:
    """Within the context, every step of `subject` is taken to pieces."""
    watch = Stopwatch(clock)
    with contextlib.ExitStack() as undo:

        def replace(owner: Any, name: str, stage: str) -> None:
            original = getattr(owner, name)
            undo.callback(setattr, owner, name, original)
            setattr(owner, name, watch.timed(stage, original))

        for name in ("draw", "guides", "nearest_in_mask", "core_points"):
            replace(TrainingImages, name, "data")
        replace(schedule, "draw_frames", "data")
        replace(ArticulatedModel, "pose", "pose")
        replace(type(subject.model.field), "forward", "decoder")
        replace(trainer, "training_losses", "losses")
        replace(torch.Tensor, "backward", "autograd")
        for module, stage in ((lookup, "lookup"), (encoding, "encoding"), (composite, "composite")):
            replace(module, "_backward", f"{stage} backward")
        replace(subject, "train_step", "optimiser")  # what is left of a step: clipping, update, the tree

        backend = subject.backend
        undo.callback(setattr, subject, "backend", backend)
        stages = ("lookup", "encoding", "march", "composite", "composite")
        kernels = zip(Backend._fields[1:], stages, strict=True)
        subject.backend = backend._replace(**{k: watch.timed(s, getattr(backend, k)) for k, s in kernels})
        yield watch
