"""Where a lens draws what an ideal camera would see: the model of Brown that OpenCV and COLMAP use.

Coefficients are k1, k2 (radial), p1, p2 (tangential), k3 (radial), or with k4, k5, k6 (radial, in the denominator) OpenCV's
rational model. A lens of another kind (fisheye) would be a second model here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wim_fast.errors import UserError

Lens = tuple[float, ...]

NO_LENS: Lens = (0.0, 0.0, 0.0, 0.0, 0.0)


def lens_of(where: str | Path, what: str, values: ArrayLike | None) -> Lens:
    """The lens of 0, 4, 5 or 8 numbers in OpenCV's order (more, if they are 0); UserError for other models."""
    numbers = np.asarray([] if values is None else values, float).reshape(-1)
    if not len(numbers):
        return NO_LENS
    if len(numbers) < 4 or numbers[8:].any() or not np.isfinite(numbers).all():
        remedy = "k1, k2, p1, p2, k3 and k4, k5, k6 are understood"
        raise UserError(where, f"{what} holds {len(numbers)} numbers", remedy)
    count = 8 if numbers[5:8].any() else 5
    return tuple(float(n) for n in [*numbers, 0.0][:count])


def distort(points: NDArray[np.float64], lens: Lens) -> NDArray[np.float64]:
    """Ideal image points (..., 2), x / z and y / z, to where the lens draws them."""
    _, _, p1, p2 = lens[:4]
    x, y = points[..., 0], points[..., 1]
    r2 = x * x + y * y
    radial = _radial(r2, lens)
    return np.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ],
        axis=-1,
    )


def _radial(r2: NDArray[np.float64], lens: Lens) -> NDArray[np.float64]:
    """By how much a lens stretches an ideal point at squared radius r2 from the centre."""
    k1, k2, _, _, k3, *more = lens
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    if any(more):
        k4, k5, k6 = more
        with np.errstate(divide="ignore", invalid="ignore"):
            radial = radial / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return radial


def lens_reach(lens: Lens, largest: float) -> float:
    """The ideal radius up to which a lens draws outer points further out, at most `largest`.

    Beyond it the polynomial folds back onto the image: it says nothing there.
    """
    radius = np.linspace(0, largest, 4096)
    drawn = radius * _radial(radius**2, lens)
    folds = np.flatnonzero(~(np.diff(drawn) > 0))
    return float(radius[folds[0]]) if len(folds) else np.inf
