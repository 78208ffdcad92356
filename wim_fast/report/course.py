"""The course of a training, from metrics.jsonl; lines that were damaged are counted, not guessed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast.training.metrics_log import row_of


@dataclass(frozen=True)
class Course:
    """N rows, each of the steps since the one before.

    Attributes:
        steps: (N,) increasing.
        seconds: (N,) of training up to then, without what was done between a stop and going on.
        psnr: (N,) dB of the pixels trained on; NaN where it is not known.
        losses: {name: (N,)}, weighted as they were added up, `total` first; NaN where a loss was off.
        damaged: numbers of the lines, from 1, that are no rows.
    """

    steps: np.ndarray
    seconds: np.ndarray
    psnr: np.ndarray
    losses: dict[str, np.ndarray]
    damaged: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.steps)


def read_course(path: Path) -> Course:
    """What a metrics.jsonl says; nothing if there is none."""
    rows: list[dict[str, Any]] = []
    damaged = []
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for number, line in enumerate(text.splitlines(), 1):
        row = as_row(line)
        if row is None or (rows and row["step"] <= rows[-1]["step"]):
            damaged.append(number)
        else:
            rows.append(row)
    steps = np.array([row["step"] for row in rows], float)
    speed = np.array([row["steps_per_second"] for row in rows], float)
    names = dict.fromkeys(name for row in rows for name in row["losses"])
    losses = {"total": values(rows, "loss")} | {
        name: values([r["losses"] for r in rows], name) for name in names
    }
    return Course(
        steps=steps,
        seconds=np.cumsum(np.diff(steps, prepend=0) / speed),
        psnr=values(rows, "psnr"),
        losses=losses,
        damaged=tuple(damaged),
    )


def as_row(line: str) -> dict[str, Any] | None:
    """A line as a row with a step, a speed and losses; None if it is something else."""
    row = row_of(line)
    if row is None or not isinstance(row.get("losses", {}), dict):
        return None
    step, speed = number(row.get("step")), number(row.get("steps_per_second"))
    if step is None or speed is None or step <= 0 or speed <= 0:
        return None
    return {**row, "step": step, "steps_per_second": speed, "losses": row.get("losses", {})}


def number(value: Any) -> float | None:
    """A finite number of JSON; None for anything else."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and abs(value) < 1e300 and math.isfinite(value) else None


def values(rows: Sequence[dict[str, Any]], key: str) -> np.ndarray:
    """(N,) NaN where a row has none."""
    found = [number(row.get(key)) for row in rows]
    return np.array([math.nan if value is None else value for value in found], float)


def thinned(x: np.ndarray, y: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most about `most` points (x, y): means over as many neighbours as that takes; what is NaN is left out."""
    known = np.isfinite(y)
    x, y = x[known], y[known]
    starts = np.arange(0, len(x), max(1, -(-len(x) // most)))
    if not len(starts):
        return x, y
    counts = np.diff(starts, append=len(x))
    return np.add.reduceat(x, starts) / counts, np.add.reduceat(y, starts) / counts
