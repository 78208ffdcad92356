"""Means of metrics: over views, over the runs of a subject (its seeds), over subjects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

VIEW_METRICS = ("psnr", "psnr_box", "ssim", "ssim_box", "ssim_paper", "lpips", "iou")
"""What is measured of a view; see `metrics.image_metrics`."""


def means(rows: Iterable[Mapping[str, float]], metrics: Iterable[str]) -> dict[str, float]:
    """Mean over rows of each metric that any row has; rows where it is undefined are left out."""
    rows, found = list(rows), {}
    for key in metrics:
        values = [row[key] for row in rows if key in row and math.isfinite(row[key])]
        if values:
            found[key] = float(np.mean(values))
    return found


def summarize(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Means over views of each metric, and `images`, their number."""
    rows = list(rows)
    return {**means(rows, VIEW_METRICS), "images": len(rows)}


class Value(NamedTuple):
    """Mean of the runs, and their sample standard deviation (n - 1); None of one run."""

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Line:
    """A row of a protocol's table: a subject, or the mean of all."""

    name: str
    values: dict[str, Value]
    runs: int
    marked: bool  # not all of it was trained as the protocol says


def subject_line(name: str, runs: Sequence[Mapping[str, float]], marked: bool) -> Line:
    """Mean and standard deviation over the runs of one subject (its seeds), given the means of each."""
    values = {}
    for key in dict.fromkeys(key for run in runs for key in run):
        of = [run[key] for run in runs if key in run]
        values[key] = Value(float(np.mean(of)), float(np.std(of, ddof=1)) if len(of) > 1 else None)
    return Line(name, values, len(runs), marked)


def mean_line(lines: Sequence[Line]) -> Line | None:
    """Mean over subjects, every one counting once however many runs it has; None of a single subject."""
    if len(lines) < 2:
        return None
    keys = dict.fromkeys(key for line in lines for key in line.values)
    of = means(({key: value.mean for key, value in line.values.items()} for line in lines), keys)
    values = {key: Value(mean, None) for key, mean in of.items()}
    return Line("mean", values, sum(line.runs for line in lines), any(line.marked for line in lines))
