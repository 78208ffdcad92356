"""Undistortion, crop and resizing of a camera's pictures, and of their masks with them.

Colours are premultiplied: they are averaged weighted by alpha and divided by it afterwards, so that edges of the object
neither darken nor mix with what lies behind. (Libraries that resize straight alpha do one or the other.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wim_fast.recordings.lenses import NO_LENS, Lens
from wim_fast.recordings.masks import Alpha, Pixels, Unreliable, as_mask
from wim_fast.recordings.windows import Size, Window, silhouette_box, whole_picture

Planes = NDArray[np.float32]  # (C, h, w)
Part = tuple[slice, slice]  # rows and columns of a picture
BOX_GRID = 4  # pixels
TOUCHES = 1e-4  # share of a new pixel that is unreliable, from which on it is


class Resampling:
    """From one camera's pictures (h, w) as filmed to images (H, W) of an ideal camera.

    Without anything to undistort, a new pixel is the exact mean of the area that it covers. With a lens (or a skew), it
    is the mean of the samples that fall into it, each interpolated bilinearly in the picture. A new pixel is unreliable if
    any part of it is, or lies outside of what was filmed.

    Args:
        source, size: (height, width) before and after.
        window: what is kept; it may reach over the edges of the picture.
        K: (3, 3) of the picture, pixel centres at +0.5; only needed for a lens. A skew is undone like a lens.
        lens: see `lenses`.
    """

    def __init__(
        self,
        source: Size,
        size: Size,
        window: Window | None = None,
        K: NDArray[np.float64] | None = None,
        lens: Lens = NO_LENS,
    ) -> None:
        window = window or whole_picture(source)
        self.source, self.size = source, size
        bent = not lens.ideal or (K is not None and K[0, 1] != 0)
        self.same = source == size and window == whole_picture(source) and not bent
        self.mix: Callable[[Planes], Planes]  # planes of the picture to planes (C, H, W) of the image
        self.outside: Unreliable  # (H, W)
        self.needed: Part = (slice(None), slice(None))  # of the picture; `mix` takes only that
        if self.same:
            return
        if bent:
            assert K is not None
            self.mix, self.outside, self.needed = _sampled(source, size, window, K, lens)
        else:
            self.mix, self.outside, self.needed = _by_area(source, size, window)

    def __call__(self, rgb: Pixels, alpha: Alpha, unreliable: Unreliable) -> tuple[Pixels, Pixels]:
        """Straight-alpha RGBA (H, W, 4) and mask (H, W).

        Args:
            rgb: (h, w, 3).
            alpha: (h, w) in [0, 1].
            unreliable: (h, w).
        """
        if self.same:
            rgba = np.concatenate([rgb, np.rint(255 * alpha)[..., None].astype(np.uint8)], -1)
            return rgba, as_mask(rgba, unreliable)
        rgb, alpha, unreliable = rgb[self.needed], alpha[self.needed], unreliable[self.needed]
        planes = np.empty((4, *alpha.shape), np.float32)
        planes[:3] = rgb.transpose(2, 0, 1) * alpha
        planes[3] = 255 * alpha
        planes = self.mix(planes)
        planes[:3] *= 255 / np.maximum(planes[3], 0.255)
        rgba = np.clip(np.rint(planes), 0, 255).astype(np.uint8).transpose(1, 2, 0)
        unsure = self.outside
        if unreliable.any():
            unsure = unsure | (self.mix(unreliable[None].astype(np.float32))[0] > TOUCHES)
        return rgba, as_mask(rgba, unsure)


def area_weights(old: int, new: int, start: float = 0.0, stop: float | None = None) -> NDArray[np.float32]:
    """(new, old): the share of each new pixel that each old pixel covers; rows sum to 1 where there are any.

    The new pixels divide the stretch from `start` to `stop` (default: all) of the old ones.
    """
    stop = old if stop is None else stop
    edges = start + np.arange(new + 1) * ((stop - start) / new)
    left, right = edges[:-1, None], edges[1:, None]
    pixels = np.arange(old)[None]
    overlap = np.minimum(right, pixels + 1) - np.maximum(left, pixels)
    weights = np.clip(overlap, 0, None)
    total = weights.sum(axis=1, keepdims=True)
    return (weights / np.where(total > 0, total, 1.0)).astype(np.float32)


def _by_area(
    source: Size, size: Size, window: Window
) -> tuple[Callable[[Planes], Planes], NDArray[np.bool_], Part]:
    """Means over areas: rows and columns are separate."""
    rows = area_weights(source[0], size[0], window.y0, window.y1)
    columns = area_weights(source[1], size[1], window.x0, window.x1)
    above = _outside(source[0], size[0], window.y0, window.y1)
    beside = _outside(source[1], size[1], window.x0, window.x1)
    needed = _stretch(rows.max(0)), _stretch(columns.max(0))
    rows, columns = np.ascontiguousarray(rows[:, needed[0]]), np.ascontiguousarray(columns[:, needed[1]])
    return lambda planes: rows @ planes @ columns.T, above[:, None] | beside, needed


def _stretch(weights: NDArray[np.float32]) -> slice:
    """From the first to the last that has a weight (n,); the first alone if none has."""
    positions = np.flatnonzero(weights)
    return slice(int(positions[0]), int(positions[-1]) + 1) if len(positions) else slice(0, 1)


def _outside(old: int, new: int, start: float, stop: float) -> NDArray[np.bool_]:
    """(new,) which of the new pixels reach beyond the old ones."""
    edges = start + np.arange(new + 1) * ((stop - start) / new)
    return (edges[:-1] < -1e-6 * old) | (edges[1:] > old * (1 + 1e-6))


def _sampled(
    source: Size, size: Size, window: Window, K: NDArray[np.float64], lens: Lens
) -> tuple[Callable[[Planes], Planes], NDArray[np.bool_], Part]:
    """Means over samples, as one sparse matrix."""
    from scipy.sparse import csr_matrix

    h, w = source
    pixels, seen = _drawn(_samples(window, size), K, lens)  # (s, H * W, 2)
    inside = seen & ((pixels >= 0) & (pixels <= [w, h])).all(-1)
    rows, columns, weights = [], [], []
    position = np.clip(pixels - 0.5, 0, [w - 1, h - 1])
    corner = np.minimum(position.astype(np.int64), [max(w - 2, 0), max(h - 2, 0)])
    share = position - corner
    low = corner[inside].min(0) if inside.any() else np.zeros(2, np.int64)
    high = np.minimum(corner[inside].max(0) + 1, [w - 1, h - 1]) if inside.any() else low
    across, down = high - low + 1
    for dx in (0, 1):
        for dy in (0, 1):
            weight = np.where(dx, share[..., 0], 1 - share[..., 0]) * np.where(
                dy, share[..., 1], 1 - share[..., 1]
            )
            keep = inside & (weight > 1e-6)
            rows.append(np.nonzero(keep)[1])
            x, y = (np.minimum(corner[keep] + [dx, dy], [w - 1, h - 1]) - low).T
            columns.append(y * across + x)
            weights.append(weight[keep] / len(pixels))
    data = np.concatenate(weights).astype(np.float32)
    index = np.concatenate(rows), np.concatenate(columns)
    matrix = csr_matrix((data, index), shape=(size[0] * size[1], int(across * down)))

    def mix(planes: Planes) -> Planes:
        columns: NDArray[Any] = matrix @ np.ascontiguousarray(planes.reshape(len(planes), -1).T)
        return np.ascontiguousarray(columns.T).reshape(len(planes), *size)

    needed = slice(int(low[1]), int(high[1]) + 1), slice(int(low[0]), int(high[0]) + 1)
    return mix, ~inside.all(0).reshape(size), needed


def _drawn(
    pixels: NDArray[np.float64], K: NDArray[np.float64], lens: Lens
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Where pixels (..., 2) of the ideal picture are in the one that was filmed, and which (...) the lens draws."""
    ideal = (pixels - K[[0, 1], [2, 2]]) / K[[0, 1], [0, 1]]
    radius = np.linalg.norm(ideal, axis=-1)
    seen = radius < lens.reach(float(radius.max()))
    drawn = lens.distort(ideal)
    u = drawn[..., 0] * K[0, 0] + drawn[..., 1] * K[0, 1] + K[0, 2]
    v = drawn[..., 1] * K[1, 1] + K[1, 2]
    return np.where(seen[..., None], np.stack([u, v], -1), -1.0), seen


def undistorted_box(silhouette: NDArray[np.bool_], K: NDArray[np.float64], lens: Lens) -> Window | None:
    """The box, in the undistorted picture, round the pixels that are set (h, w); None if it shows none of them.

    With a lens (or a skew) it is up to `BOX_GRID` pixels too wide, and is looked for in a picture twice as large.
    """
    from scipy.ndimage import maximum_filter

    if lens.ideal and K[0, 1] == 0:
        return silhouette_box(silhouette)
    h, w = silhouette.shape
    near = maximum_filter(silhouette, 2 * BOX_GRID + 1)
    y, x = np.mgrid[-h // 2 : h + h // 2 : BOX_GRID, -w // 2 : w + w // 2 : BOX_GRID].astype(float)
    drawn, seen = _drawn(np.stack([x, y], -1), K, lens)
    inside = seen & ((drawn >= 0) & (drawn < [w, h])).all(-1)
    column, row = np.where(inside[..., None], drawn, 0).astype(np.int64).transpose(2, 0, 1)
    hit = inside & near[row, column]
    if not hit.any():
        return None
    return Window(float(x[hit].min()), float(y[hit].min()), float(x[hit].max()), float(y[hit].max()))


def _samples(window: Window, size: Size) -> NDArray[np.float64]:
    """Where each new pixel is sampled (s, H * W, 2): evenly, at least once per pixel of the window."""
    H, W = size
    step = np.array([(window.x1 - window.x0) / W, (window.y1 - window.y0) / H])
    count = np.maximum(1, np.ceil(step - 1e-6)).astype(int)
    y, x = np.mgrid[:H, :W]
    corner = np.array([window.x0, window.y0]) + np.stack([x, y], -1).reshape(-1, 2) * step
    within = [((i + 0.5) / count[0], (j + 0.5) / count[1]) for j in range(count[1]) for i in range(count[0])]
    return corner + np.array(within)[:, None] * step
