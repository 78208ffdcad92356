"""Cameras out of step. Where little moves, most tangents stay and the shift that fits most of them does not tell; the
mean over all tangents does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from wim_fast.importing.checks.agreement import Silhouettes, tangents_about
from wim_fast.importing.checks.epipolar import FEWEST_TANGENTS, Calibration, Tangents
from wim_fast.importing.checks.mistakes import MOST_LAG

STANDS_OUT = 1.5  # times the median of all cameras
MENDED = 0.6  # of the mean distance at most is left when a camera is put into step


class Late(NamedTuple):
    """A camera out of step: its images come `lag` frames after those of the others, and are off by so many pixels."""

    lag: int
    pixels: float


def late_cameras(
    silhouettes: Silhouettes,
    calibrations: Mapping[int, Calibration],
    tangents: Tangents,
    trusted: Sequence[int],
) -> dict[int, Late]:
    """Of the cameras that otherwise agree, those that agree much better with their images of some frames later or
    earlier."""
    means = {v: _mean(tangents.about(v, trusted)) for v in trusted}
    usual = float(np.median([m for m in means.values() if np.isfinite(m)] or [np.inf]))
    kept, found = list(trusted), {}
    for v in sorted(means, key=lambda v: -means[v]):
        if not STANDS_OUT * usual < means[v] < np.inf or len(kept) < 3:
            continue
        others = {w: silhouettes.sights(w, calibrations[w]) for w in kept if w != v}

        def off(lag: int, v: int = v, others: Mapping = others) -> float:
            sights = silhouettes.sights(v, calibrations[v], lag)
            enough = 2 * len(sights) >= len(silhouettes.frames)
            return _mean(tangents_about(v, sights, others)) if enough else np.inf

        lags = [lag for k in silhouettes.lags(MOST_LAG) for lag in (k, -k)]
        offs = {lag: off(lag) for lag in lags}
        best = min(offs, key=lambda lag: offs[lag], default=0)
        if best and offs[best] <= min(MENDED * means[v], STANDS_OUT * usual):
            found[v] = Late(best, means[v])
            kept.remove(v)
    return found


def _mean(tangents: Tangents) -> float:
    """Mean distance, pixels; infinite for too few."""
    if len(tangents.distance) < FEWEST_TANGENTS:
        return np.inf
    return float(np.average(np.abs(tangents.distance), weights=tangents.weight))
