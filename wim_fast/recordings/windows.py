"""What of each camera's pictures is kept, and how pictures of several shapes become images of one size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_SQUARE = 512  # pixels
SQUARE_MARGIN = 0.05  # of the object's box, on every side

Size = tuple[int, int]  # (height, width)


@dataclass(frozen=True)
class Window:
    """A part of an (undistorted) picture, in its pixels: edges, so that x1 - x0 is a width. It may reach beyond."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def size(self) -> tuple[float, float]:
        """(height, width)."""
        return self.y1 - self.y0, self.x1 - self.x0


def whole_picture(size: Size) -> Window:
    return Window(0, 0, size[1], size[0])


def square_around(silhouettes: Iterable[NDArray[np.bool_]], size: Size) -> Window:
    """A square round the object in all silhouettes (height, width), with a margin for what lies between them.

    It is at least `LEAST_SQUARE` wide and lies in the picture, unless that is too small for it.
    """
    low, high = np.array([np.inf, np.inf]), np.array([-np.inf, -np.inf])
    for silhouette in silhouettes:
        y, x = np.nonzero(silhouette)
        if len(x):
            low = np.minimum(low, [x.min(), y.min()])
            high = np.maximum(high, [x.max() + 1, y.max() + 1])
    if not np.isfinite(low).all():
        low, high = np.zeros(2), np.array([size[1], size[0]], float)
    side = max(LEAST_SQUARE, float(np.ceil((high - low).max() * (1 + 2 * SQUARE_MARGIN))))
    corner = np.round((low + high - side) / 2)
    room = np.array([size[1], size[0]]) - side
    corner = np.where(room >= 0, np.clip(corner, 0, np.maximum(room, 0)), np.round(room / 2))
    return Window(corner[0], corner[1], corner[0] + side, corner[1] + side)


def resized_shape(size: tuple[float, float], longer: float | None) -> Size:
    """(height, width) with the longer side `longer`; None: as it is."""
    factor = 1.0 if longer is None else longer / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def common_size(windows: Sequence[Window], longer: int | None) -> tuple[Size, list[Window]]:
    """(height, width) of images for all, the longer side of each window `longer` (None: of the largest, as it is).

    Windows of several shapes are widened round their middles to one; that may reach beyond their pictures.
    """
    longer = longer or round(max(max(window.size) for window in windows))
    shapes = [resized_shape(window.size, longer) for window in windows]
    height, width = (max(s[k] for s in shapes) for k in (0, 1))
    widened = []
    for window, shape in zip(windows, shapes, strict=True):
        h, w = window.size[0] * height / shape[0], window.size[1] * width / shape[1]
        x, y = window.x0 + (window.size[1] - w) / 2, window.y0 + (window.size[0] - h) / 2
        widened.append(Window(x, y, x + w, y + h))
    return (height, width), widened


def window_intrinsics(K: NDArray[np.float64], window: Window, size: Size) -> NDArray[np.float64]:
    """K (3, 3) of a picture's window that is resized to (height, width)."""
    sx, sy = size[1] / (window.x1 - window.x0), size[0] / (window.y1 - window.y0)
    shift = np.array([[sx, 0, -sx * window.x0], [0, sy, -sy * window.y0], [0, 0, 1.0]])
    return shift @ K
