"""What of each camera's pictures is kept, and how pictures of several shapes become images of one size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_SQUARE = 512  # pixels
MARGIN = 0.05  # of the object's box, on every side
LEAST_MARGIN = 8  # pixels

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


def silhouette_box(silhouette: NDArray[np.bool_]) -> Window | None:
    """The box round the pixels that are set (height, width); None without any."""
    rows, columns = np.flatnonzero(silhouette.any(1)), np.flatnonzero(silhouette.any(0))
    if not len(rows):
        return None
    return Window(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def with_margin(box: Window, picture: Size) -> Window:
    """A box grown by `MARGIN` on every side to whole pixels, but not over the edges of its picture (height, width)."""
    low, high = np.array([box.x0, box.y0]), np.array([box.x1, box.y1])
    margin = np.maximum(LEAST_MARGIN, MARGIN * (high - low))
    first = np.floor(np.maximum(low - margin, np.minimum(low, 0)))
    last = np.ceil(np.minimum(high + margin, np.maximum(high, picture[::-1])))
    return Window(*first.tolist(), *last.tolist())


def square_around(silhouettes: Iterable[NDArray[np.bool_]], size: Size) -> Window:
    """A square round the object in all silhouettes (height, width), with a margin for what lies between them.

    It is at least `LEAST_SQUARE` wide and lies in the picture, unless that is too small for it.
    """
    union = np.zeros(size, bool)
    for silhouette in silhouettes:
        union |= silhouette
    box = silhouette_box(union) or whole_picture(size)
    side = max(LEAST_SQUARE, float(np.ceil(max(box.size) * (1 + 2 * MARGIN))))
    return widened(box, (side, side), size)


def widened(window: Window, shape: tuple[float, float], picture: Size) -> Window:
    """A window of another (height, width), round the same middle or moved so that it lies in the picture, if that is
    large enough; its corner is a pixel's. Where the window reaches beyond the picture, so may the new one."""
    low, high, side = (
        np.array([window.x0, window.y0]),
        np.array([window.x1, window.y1]),
        np.array(shape[::-1]),
    )
    first, last = np.minimum(low, 0), np.maximum(high, picture[::-1])
    corner = np.clip((low + high - side) / 2, first, np.maximum(first, last - side))
    corner = np.round(np.where(last - first >= side, corner, (first + last - side) / 2))
    return Window(*corner.tolist(), *(corner + side).tolist())


def resized_shape(size: tuple[float, float], factor: float) -> Size:
    """(height, width) times a factor, in whole pixels."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def common_size(
    windows: Sequence[Window], factors: Sequence[float], pictures: Sequence[Size]
) -> tuple[Size, list[Window]]:
    """(height, width) of images for all, each window resized by its factor.

    Windows of several shapes are widened to one, within their pictures where that is possible (see `widened`).
    """
    shapes = [resized_shape(window.size, factor) for window, factor in zip(windows, factors, strict=True)]
    height, width = (max(s[k] for s in shapes) for k in (0, 1))
    found = []
    for window, shape, picture in zip(windows, shapes, pictures, strict=True):
        h, w = window.size[0] * height / shape[0], window.size[1] * width / shape[1]
        found.append(window if (h, w) == window.size else widened(window, (h, w), picture))
    return (height, width), found


def window_intrinsics(K: NDArray[np.float64], window: Window, size: Size) -> NDArray[np.float64]:
    """K (3, 3) of a picture's window that is resized to (height, width)."""
    sx, sy = size[1] / (window.x1 - window.x0), size[0] / (window.y1 - window.y0)
    shift = np.array([[sx, 0, -sx * window.x0], [0, sy, -sy * window.y0], [0, 0, 1.0]])
    return shift @ K
