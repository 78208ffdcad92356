"""How many kernels a training step would launch on a GPU, counted without one, and whether it would wait for the GPU.

The step runs on the CPU on the backend `triton`, whose kernels are counted but not run: what they would have written is
zero. That changes no count, for nothing in a step depends on a number in an array. Of torch's operations each counts as
one launch, but views and allocations, which launch nothing; some (sorting, sums of prefixes) launch more.

TRITON_INTERPRET=1 python tools/step_launches.py              # the embedded dog, by phase of the training
TRITON_INTERPRET=1 python tools/step_launches.py --by-function
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from wim_fast.config import load_config
from wim_fast.ops.backend import select_backend
from wim_fast.training.schedule import Phase
from wim_fast.training.split import read_split
from wim_fast.training.trainer import Trainer

PACKAGE = "wim_fast/"
FREE = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "_reshape_alias", "detach",
        "lift_fresh", "alias", "_efficientzerotensor"}  # fmt: skip
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero"}


PHASES = (
    Phase(growing=True),
    Phase(),
    Phase(learning_cameras=True),
    Phase(merging=True, learning_cameras=True),
)  # of a training, in order


class Launches(TorchDispatchMode):
    """Counts what would be launched, by the package's function that asks for it.

    Attributes:
        torch: operations of torch. kernels: of ours, by name. waits: operations that would wait for the GPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.torch, self.kernels, self.waits = Counter[str](), Counter[str](), Counter[str]()

    @property
    def total(self) -> int:
        return self.torch.total() + self.kernels.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in WAITS or (name.startswith("index") and _has_mask(args)):
            self.waits[f"{name} in {_asker()}"] += 1
        if not (func.is_view or name in FREE):
            self.torch[_asker()] += 1
        return func(*args, **(kwargs or {}))


def _has_mask(args: Any) -> bool:
    """Whether an indexing is by a mask: how many elements that are, a GPU has to be asked."""
    indices = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else ()
    return any(isinstance(x, torch.Tensor) and x.dtype == torch.bool for x in indices)


def _asker() -> str:
    """The innermost function of the package that is running, or autograd: its backward pass is nobody's."""
    frame: Any = sys._getframe(2)
    while frame and PACKAGE not in frame.f_code.co_filename:
        frame = frame.f_back
    if frame is None:
        return "elsewhere"
    name = f"{frame.f_code.co_filename.split(PACKAGE)[-1]}:{frame.f_code.co_name}"
    return "backward" if name.endswith("trainer.py:_find_gradients") else name


@contextlib.contextmanager
def sleeping_kernels() -> Iterator[Counter[str]]:
    """Within the context Triton's kernels are counted, by name, and not run, and new memory is zero."""
    from triton.runtime.interpreter import GridExecutor

    def launch(executor: Any, *arguments: Any, **options: Any) -> None:
        started[executor.fn.__name__] += 1

    def zero(empty: Any) -> Any:
        def zeroed(*arguments: Any, **options: Any) -> torch.Tensor:
            with _disable_current_modes():  # it is not counted
                return empty(*arguments, **options).zero_()

        return zeroed

    started = Counter[str]()
    with contextlib.ExitStack() as patched:
        patched.enter_context(mock.patch.object(GridExecutor, "__call__", launch))
        for owner, name in ((torch, "empty"), (torch, "empty_like"), (torch.Tensor, "new_empty")):
            patched.enter_context(mock.patch.object(owner, name, zero(getattr(owner, name))))
        yield started


def count(trainer: Trainer, phase: Phase) -> Launches:
    """What a step of a phase launches; within `sleeping_kernels`. The model is spoilt afterwards."""
    for group in trainer.optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]))  # where a GPU has it
    trainer._take_step(phase)  # the optimiser's state is there now
    with sleeping_kernels() as started, Launches() as launches:
        trainer._take_step(phase)
    launches.kernels = started
    return launches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scene", default="dog", help="a scene that ships with wim-fast, or a folder")
    parser.add_argument("--by-function", action="store_true", help="who asks for them, in the fullest phase")
    args = parser.parse_args()
    config = load_config(args.scene, {"scene": args.scene, "iterations": 100, "size": 64})
    split = read_split(config)
    launches = Launches()
    for phase in PHASES:
        with sleeping_kernels():
            launches = count(Trainer(split.scene, split.config, 100, select_backend("triton")), phase)
        ours, theirs = launches.kernels.total(), launches.torch.total()
        print(f"{ours + theirs:5} launches, {ours} of our kernels; {phase}; waits: {dict(launches.waits)}")
    if args.by_function:
        for name, number in (launches.torch + launches.kernels).most_common():
            print(f"{number:5} {name}")


if __name__ == "__main__":
    main()
