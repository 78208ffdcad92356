"""The CPU's kernels compiled with a bar to look at, for whoever trains or opens a run on a machine that has none yet."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

from wim_fast.companions import cores
from wim_fast.ops.ahead import compile_ahead
from wim_fast.ops.backend import Backend
from wim_fast.processes import kernel_threads
from wim_fast.runs.baseline_run import BaselineRun
from wim_fast.runs.run import Run
from wim_fast.terminal import progress_bars

COMPILING = "compiling kernels (first run only)"
R = TypeVar("R", bound=Run | BaselineRun)


def have_kernels(backend: Backend, bar: Callable[[str, int, int], None], processes: int = 1) -> None:
    """Compile those that are not on the disk yet, on all cores that so many processes use. `bar`: see `progress_bars`."""
    compile_ahead(backend, min(cores(), processes * kernel_threads()), functools.partial(bar, COMPILING))


def with_kernels(run: R) -> R:
    """A run that was opened, once it has its kernels."""
    with progress_bars() as bar:
        have_kernels(run.backend, bar)
    return run
