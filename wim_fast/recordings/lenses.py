"""Where a lens draws what an ideal camera would see: one formula for OpenCV's and COLMAP's lenses.

A lens first bends the distance r from the centre (`PROJECTIONS`), then stretches and shifts what comes out: Brown's
model. OpenCV's lens is "straight"; OpenCV's and COLMAP's fisheyes are "equidistant".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wim_fast.errors import UserError

Points = NDArray[np.float64]

# What becomes of r, the tangent of the angle from the axis: itself; the angle; COLMAP's FOV.
PROJECTIONS = ("straight", "equidistant", "fov")


@dataclass(frozen=True)
class Lens:
    """A lens by its coefficients; without any it is ideal.

    Attributes:
        radial: k1, k2, ...: stretches by 1 + k1 r^2 + k2 r^4 + ...
        divisor: k4, k5, k6 of OpenCV's rational model: that divided by 1 + k4 r^2 + ...
        tangential: p1, p2.
        prism: sx, sy: shifts by (sx, sy) r^2.
        projection: one of `PROJECTIONS`.
        omega: the angle of "fov", radians.
    """

    radial: tuple[float, ...] = ()
    divisor: tuple[float, ...] = ()
    tangential: tuple[float, float] = (0.0, 0.0)
    prism: tuple[float, float] = (0.0, 0.0)
    projection: str = "straight"
    omega: float = 0.0

    @property
    def ideal(self) -> bool:
        """Whether there is nothing to undo."""
        numbers = (*self.radial, *self.divisor, *self.tangential, *self.prism)
        return self.projection == "straight" and not any(numbers)

    def distort(self, points: Points) -> Points:
        """Ideal image points (..., 2), x / z and y / z, to where the lens draws them."""
        (p1, p2), (sx, sy) = self.tangential, self.prism
        r = np.linalg.norm(points, axis=-1)
        bent = points * np.divide(self._projected(r), r, out=np.ones_like(r), where=r > 1e-9)[..., None]
        x, y = bent[..., 0], bent[..., 1]
        r2 = x * x + y * y
        stretch = self._stretch(r2)
        return np.stack(
            [
                x * stretch + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) + sx * r2,
                y * stretch + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y + sy * r2,
            ],
            axis=-1,
        )

    def reach(self, largest: float) -> float:
        """The ideal radius, up to `largest`, up to which the lens draws outer points further out; inf: everywhere.

        Beyond it the polynomial folds back onto the image: it says nothing there.
        """
        radius = np.tan(np.linspace(0, np.arctan(largest), 4096))
        bent = self._projected(radius)
        folds = np.flatnonzero(~(np.diff(bent * self._stretch(bent**2)) > 0))
        return float(radius[folds[0]]) if len(folds) else np.inf

    def _projected(self, r: Points) -> Points:
        """The distance from the centre that is stretched, of the ideal one."""
        if self.projection == "equidistant":
            return np.arctan(r)
        if self.projection == "fov":
            return np.arctan(2 * r * np.tan(self.omega / 2)) / self.omega
        return r

    def _stretch(self, r2: Points) -> Points:
        """By how much a point at squared distance r2 is stretched."""
        stretch = _even_polynomial(self.radial, r2)
        if any(self.divisor):
            with np.errstate(divide="ignore", invalid="ignore"):
                stretch = stretch / _even_polynomial(self.divisor, r2)
        return stretch


NO_LENS = Lens()


def brown(where: str | Path, what: str, values: ArrayLike | None) -> Lens:
    """The lens of 0, 4, 5 or 8 numbers in OpenCV's order (more, if they are 0); UserError for other models."""
    numbers = _finite(where, what, values, "k1, k2, p1, p2, k3 and k4, k5, k6 are understood")
    if not len(numbers):
        return NO_LENS
    if len(numbers) < 4 or any(numbers[8:]):
        remedy = "k1, k2, p1, p2, k3 and k4, k5, k6 are understood"
        raise UserError(where, f"{what} holds {len(numbers)} numbers", remedy)
    k1, k2, p1, p2, k3, *divisor = [*numbers, 0.0][: 8 if any(numbers[5:8]) else 5]
    return Lens((k1, k2, k3), tuple(divisor), (p1, p2))


def fisheye(where: str | Path, what: str, values: ArrayLike | None) -> Lens:
    """OpenCV's fisheye, cv2.fisheye, of k1 to k4, or fewer; UserError for other models."""
    remedy = "a fisheye lens has k1, k2, k3, k4"
    numbers = _finite(where, what, values, remedy)
    if len(numbers) > 4:
        raise UserError(where, f"{what} holds {len(numbers)} numbers", remedy)
    return Lens(tuple(numbers), projection="equidistant")


def _finite(where: str | Path, what: str, values: ArrayLike | None, remedy: str) -> list[float]:
    numbers = np.asarray([] if values is None else values, float).reshape(-1)
    if not np.isfinite(numbers).all():
        raise UserError(where, f"{what} holds {len(numbers)} numbers, not all of them finite", remedy)
    return [float(number) for number in numbers]


def _even_polynomial(coefficients: tuple[float, ...], r2: Points) -> Points:
    """1 + k1 r^2 + k2 r^4 + ..."""
    total = np.zeros_like(r2)
    for k in reversed(coefficients):
        total = (total + k) * r2
    return 1 + total
