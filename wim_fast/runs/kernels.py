"""The CPU's kernels compiled with a bar to look at, for commands that open a run on a machine that has none yet."""

from __future__ import annotations

import functools
from typing import TypeVar

from wim_fast.companions import cores
from wim_fast.ops.ahead import compile_ahead
from wim_fast.processes import kernel_threads
from wim_fast.runs.baseline_run import BaselineRun
from wim_fast.runs.run import Run
from wim_fast.terminal import progress_bars

COMPILING = "compiling kernels (first run only)"
R = TypeVar("R", bound=Run | BaselineRun)


def with_kernels(run: R) -> R:
    """A run that was opened, once all kernels that are not on the disk yet are compiled, on all cores that it uses."""
    with progress_bars() as bar:
        compile_ahead(run.backend, min(cores(), kernel_threads()), functools.partial(bar, COMPILING))
    return run
