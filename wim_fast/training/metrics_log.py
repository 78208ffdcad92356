"""What a run writes down while it trains: metrics.jsonl, and the same as events for TensorBoard."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wim_fast.files import check_regular
from wim_fast.training.learner import Learner
from wim_fast.training.run_folder import FolderGone, RunFolder
from wim_fast.training.step_report import StepReport, on_host

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class MetricsLog:
    """Collects step results and writes their means every `log_every` steps. A context manager.

    On going on from a checkpoint, what was written after it is taken back: the run will write it again. UserError for a
    metrics file that is none.

    Args:
        step: the one that training goes on from.
    """

    def __init__(self, folder: RunFolder, step: int, log_every: int) -> None:
        self.log_every = log_every
        self.folder = folder
        self.path = folder.metrics
        self.step = step
        self.window: list[StepReport] = []
        self.since = time.perf_counter()
        self.remaining = RemainingTime(step)

    def __enter__(self) -> MetricsLog:
        from torch.utils.tensorboard import SummaryWriter

        if self.path.exists():
            check_regular(self.path)  # a pipe would be waited for
        keep_until(self.path, self.step)
        self.file = self.path.open("a", encoding="utf-8")
        self.events: SummaryWriter = SummaryWriter(str(self.folder.path), purge_step=self.step + 1)
        self.since = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not FolderGone:  # there is nothing that it could be written to
            self.events.close()
        self.file.close()

    def add(self, report: StepReport, trainer: Learner) -> dict[str, Any] | None:
        """Take in one step. Returns what was written down, if this was the last of `log_every` steps."""
        self.window.append(report)
        if trainer.step % self.log_every and trainer.step < trainer.iterations:
            return None
        self.folder.check_there()  # TensorBoard's own thread would fail where no one can help it
        row = self._row(trainer)
        self.window = []
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
        for name, value in scalars(row).items():
            self.events.add_scalar(name, value, trainer.step)
        return row

    def picture(self, image: np.ndarray, step: int) -> None:
        """A picture (H, W, 3) uint8 for TensorBoard."""
        self.events.add_image("preview", image, step, dataformats="HWC")

    def _row(self, trainer: Learner) -> dict[str, Any]:
        """Means over the steps since the last row."""
        now = time.perf_counter()
        seconds, self.since = now - self.since, now
        window = on_host(self.window)
        terms = [report.losses for report in window]
        names = dict.fromkeys(name for losses in terms for name in losses)
        losses = {name: mean([row[name] for row in terms if name in row]) for name in names}
        squared_error = mean([report.squared_error for report in window])
        return {
            "step": trainer.step,
            "iterations": trainer.iterations,
            "progress": trainer.progress,
            "psnr": psnr(squared_error),
            "loss": sum(losses.values()),
            "losses": losses,
            "frames": trainer.active_frames,
            **trainer.facts,
            "steps_per_second": len(window) / seconds,
            "rays_per_second": sum(r.num_rays for r in window) / seconds,
            "samples_per_second": sum(r.num_samples for r in window) / seconds,
            "samples_dropped": sum(r.num_dropped for r in window),
            "seconds_left": self.remaining.left(trainer.step, trainer.iterations),
        }


def psnr(squared_error: float) -> float:
    """dB, for colours in [0, 1]."""
    return -10 * math.log10(max(squared_error, 1e-10))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """A row by TensorBoard's names."""
    named = {f"loss/{name}": value for name, value in row["losses"].items()}
    named |= {f"speed/{name}": row[name] for name in row if name.endswith("_per_second")}
    return named | {"loss/total": row["loss"], "train/psnr": row["psnr"], "train/frames": row["frames"]}


def keep_until(path: Path, step: int) -> None:
    """Drop the rows after `step` from a metrics file, and what was not written to its end or is damaged."""
    if path.is_file():
        kept = [json.dumps(row) + "\n" for row in rows_of(path) if row["step"] <= step]
        path.write_text("".join(kept), encoding="utf-8")


def last_step(path: Path) -> int:
    """Of a metrics file; 0 if there is none."""
    return max((row["step"] for row in rows_of(path)), default=0) if path.is_file() else 0


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a metrics file, up to the first that is not whole."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        row = row_of(line)
        if row is None or type(row.get("step")) is not int:
            return
        yield row


def row_of(line: str | bytes) -> dict[str, Any] | None:
    """What a line of a metrics file holds; None if it is damaged."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


class RemainingTime:
    """From the steps of the last half minute or so."""

    def __init__(self, step: int) -> None:
        self.marks = [(time.perf_counter(), step)]

    def left(self, step: int, iterations: int) -> float:
        """Seconds."""
        now = time.perf_counter()
        self.marks.append((now, step))
        while len(self.marks) > 2 and now - self.marks[1][0] > 30:
            self.marks.pop(0)
        then, before = self.marks[0]
        return (iterations - step) * (now - then) / max(step - before, 1)
