"""The methods: which trainer, pictures and opened run each has. Nothing else asks for the name of a method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from wim_fast.baselines import preview as baseline_preview
from wim_fast.baselines.trainer import BaselineTrainer
from wim_fast.ops.backend import Backend, select_backend
from wim_fast.runs.baseline_run import BaselineRun, baseline_backend, load_baseline, method_checked
from wim_fast.runs.run import Run, load_run
from wim_fast.sections import KUNDU, OURS, SCHMIDTKE
from wim_fast.training.preview import preview_picture
from wim_fast.training.run_folder import RunFolder
from wim_fast.training.trainer import Trainer


class Method(NamedTuple):
    """How a method is trained and opened.

    Attributes:
        trainer: makes a `training.learner.Learner` of scene, config, iterations, backend and processes.
        preview: its picture while it trains, as `training.preview.preview_picture`.
        backend: of a name and a GPU's number.
        load: opens a run, with the name of a backend.
    """

    trainer: Callable[..., Any]
    preview: Callable[..., Any]
    backend: Callable[[str, int], Backend]
    load: Callable[[str | Path, str], Run | BaselineRun]


_BASELINE = Method(BaselineTrainer, baseline_preview.preview_picture, baseline_backend, load_baseline)
METHODS = {
    OURS: Method(Trainer, preview_picture, select_backend, load_run),
    KUNDU: _BASELINE,
    SCHMIDTKE: _BASELINE,
}


def open_run(path: str | Path, backend: str = "auto") -> Run | BaselineRun:
    """The newest state of a run of any method, for what needs no parts. UserError as of `load_run`."""
    method = method_checked(RunFolder(Path(path))).baseline.method
    return METHODS[method].load(path, backend)
