"""Where the time of a training step goes: kernels and functions wrapped in a clock, for `benchmark.py`.

Kernels are wrapped where the backend names them, so that every backend is taken to pieces alike. Their backward passes
lie between two marks in the graph, one on what a kernel returns and one on what it takes: autograd runs what was
recorded last first, so that between the two nothing runs but the kernel's own.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.training import schedule, trainer
from wim_fast.training.batch import TrainingImages
from wim_fast.training.silhouettes import Silhouettes
from wim_fast.training.trainer import Trainer

Clock = Callable[[], float]

# The fields of Backend that are kernels, and the stage that each belongs to.
KERNELS = {
    "march": "march", "articulated_lookup": "lookup", "part_encoding": "encoding", "decoder_mlp": "decoder",
    "pose_mlp": "pose", "composite": "composite", "visible_samples": "composite",
}  # fmt: skip
# In the order in which they run. "losses" is what remains of the forward pass, "autograd" of the backward one.
STAGES = (
    "data", "pose", "march", "lookup", "encoding", "decoder", "composite", "losses", "composite backward",
    "decoder backward", "encoding backward", "lookup backward", "pose backward", "autograd", "optimiser",
)  # fmt: skip


def clock_for(device: torch.device, threads: int) -> Clock:
    """Seconds on the wall, on a GPU when it has done all that it was given; of the processor for one thread of it."""
    if device.type == "cuda":

        def when_done() -> float:
            torch.cuda.synchronize(device)
            return time.perf_counter()

        return when_done
    return time.process_time if threads == 1 else time.perf_counter


class Stopwatch:
    """Seconds by stage; time in an inner stage does not count for the outer one."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    def start(self, stage: str) -> None:
        self._lap()
        self._running.append(stage)

    def stop(self) -> None:
        self._lap()
        self._running.pop()

    def _lap(self) -> None:
        now = self.clock()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now

    def timed(self, stage: str, function: Callable) -> Callable:
        """The function, with its time counted as `stage`."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self.start(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self.stop()

        return wrapper

    def timed_both_ways(self, stage: str, kernel: Callable) -> Callable:
        """The kernel, with its time counted as `stage` and that of its backward pass as "`stage` backward"."""
        forward = self.timed(stage, kernel)

        def wrapper(*args: Any) -> Any:
            if not torch.is_grad_enabled():
                return forward(*args)
            result = forward(*_marked(args, self.stop))
            return _marked(result, lambda: self.start(f"{stage} backward"))

        return wrapper


class _Mark(torch.autograd.Function):
    """The same tensors; when their gradients come by, `passed` is called."""

    @staticmethod
    def forward(ctx, passed, *tensors):  # type: ignore[override]
        ctx.passed = passed
        ctx.set_materialize_grads(False)
        return tensors

    @staticmethod
    def backward(ctx, *grads):  # type: ignore[override]
        ctx.passed()
        return None, *grads


def _marked(tree: Any, passed: Callable[[], None]) -> Any:
    """Tuples and lists with a mark on those of their tensors that carry gradients."""
    leaves, structure = tree_flatten(tree)
    carry = [i for i, x in enumerate(leaves) if isinstance(x, Tensor) and x.requires_grad]
    if carry:
        for i, x in zip(carry, _Mark.apply(passed, *(leaves[i] for i in carry)), strict=True):
            leaves[i] = x
    return tree_unflatten(leaves, structure)


@contextlib.contextmanager
def unrecorded(subject: Trainer) -> Iterator[None]:
    """Within the context steps are taken as they are, not replayed."""
    recorded, subject.recorded = subject.recorded, None
    try:
        yield
    finally:
        subject.recorded = recorded


@contextlib.contextmanager
def timed_stages(subject: Trainer, clock: Clock) -> Iterator[Stopwatch]:
    """Within the context, every step of `subject` is taken to pieces; it is not replayed then."""
    watch = Stopwatch(clock)
    with contextlib.ExitStack() as undo:
        undo.enter_context(unrecorded(subject))

        def replace(owner: Any, name: str, stage: str) -> None:
            original = getattr(owner, name)
            undo.callback(setattr, owner, name, original)
            setattr(owner, name, watch.timed(stage, original))

        replace(TrainingImages, "draw", "data")
        for name in ("draw", "nearest_in_mask", "core_points"):
            replace(Silhouettes, name, "data")
        replace(schedule, "draw_frames", "data")
        replace(ArticulatedModel, "pose", "pose")
        replace(type(subject.model.field), "forward", "decoder")
        replace(trainer, "training_losses", "losses")
        replace(Tensor, "backward", "autograd")
        replace(subject, "train_step", "optimiser")  # what is left of a step: clipping, update, the tree

        backend = subject.backend
        undo.callback(setattr, subject, "backend", backend)
        kernels = {name: watch.timed_both_ways(s, getattr(backend, name)) for name, s in KERNELS.items()}
        subject.backend = backend._replace(**kernels)
        yield watch
