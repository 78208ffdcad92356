"""Test processes share the machine, so each of them computes on one thread and does not wait busily.

They are the same on every machine: a GPU is hidden from them, but where WIM_FAST_TEST_GPU=1 asks for it.
"""

import os
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch, here and in the processes that tests start
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if os.environ.get("WIM_FAST_TEST_GPU") != "1":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numba
import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # Triton's kernels run in its interpreter, on the CPU


TESTS = Path(__file__).parent
COMPILES = (
    "ops/test_self_test.py",
)  # every kernel, which takes a minute; other processes find them on the disk
WITHOUT_KERNELS = ("importing/", "recordings/")  # what another process tests meanwhile
SLOW = (
    "docs/test_notebook.py", "training/test_processes.py", "tools/", "ops/test_march.py", "training/", "commands/",
    "ops/", "runs/", "viewer/", "export/",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order in which modules are handed to the processes of pytest-xdist: kernels are compiled once, slow ones first."""
    order = (*COMPILES, *WITHOUT_KERNELS, *SLOW)

    def turn(item: pytest.Item) -> int:
        path = item.path.relative_to(TESTS).as_posix()
        return next((k for k, start in enumerate(order) if path.startswith(start)), len(order))

    items.sort(key=turn)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests were skipped for each reason, in the last lines of the run."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section(f"{len(skipped)} skipped")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count:4}  {reason}")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """test_threads.py asks for more."""
    numba.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """One tiny trained run for all tests that look at a run (`trained_run.TinyRun`)."""
    from trained_run import train_tiny_run

    return train_tiny_run(tmp_path_factory.mktemp("tiny_run"))


@pytest.fixture
def blank_overview(monkeypatch):
    """`wim-fast import` writes an empty import.png: drawing it takes most of its time. `monkeypatch.undo()` has it drawn."""
    monkeypatch.setattr("wim_fast.importing.pictures.overview", lambda *_: np.zeros((1, 1, 3), np.uint8))


@pytest.fixture
def bare_training(monkeypatch):
    """`wim-fast train` draws empty previews and measures nothing at its end: both take longer than a tiny training."""
    from wim_fast.runs.final_evaluation import FinalEvaluation

    monkeypatch.setattr("wim_fast.runs.train.picture", lambda *_: np.zeros((1, 1, 3), np.uint8))
    monkeypatch.setattr(
        "wim_fast.runs.train.evaluate_split", lambda *_: FinalEvaluation({}, None, None, None)
    )


@pytest.fixture
def empty_is_nan(monkeypatch):
    """New memory is full of NaN (of -1 for integers), so that what a kernel leaves unwritten shows."""

    def filled(empty):
        return lambda *args, **kwargs: (x := empty(*args, **kwargs)).fill_(
            float("nan") if x.is_floating_point() else -1
        )

    for name in ("empty", "empty_like"):
        monkeypatch.setattr(torch, name, filled(getattr(torch, name)))
    monkeypatch.setattr(torch.Tensor, "new_empty", filled(torch.Tensor.new_empty))
