"""Undistortion, crop and resizing of a camera's images as one linear map, and their masks with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wim_fast.scene.footage import BACKGROUND, OBJECT, UNRELIABLE

NO_DISTORTION = (0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Window:
    """What of an (undistorted) image is kept, in its pixels: edges, so that x1 - x0 is a width."""

    x0: float
    y0: float
    x1: float
    y1: float


def distort(points: NDArray[np.float64], coefficients: tuple[float, ...]) -> NDArray[np.float64]:
    """Ideal image points (..., 2), x / z and y / z, to where the lens draws them.

    The model of Brown that OpenCV uses, with coefficients k1, k2 (radial), p1, p2 (tangential) and k3 (radial), or
    its rational one with k4, k5, k6 (radial, in the denominator) as well.
    """
    _, _, p1, p2 = coefficients[:4]
    x, y = points[..., 0], points[..., 1]
    r2 = x * x + y * y
    radial = _radial(r2, coefficients)
    return np.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ],
        axis=-1,
    )


def _radial(r2: NDArray[np.float64], coefficients: tuple[float, ...]) -> NDArray[np.float64]:
    """By how much a lens stretches an ideal point at squared radius r2 from the centre."""
    k1, k2, _, _, k3, *more = coefficients
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    if any(more):
        k4, k5, k6 = more
        with np.errstate(divide="ignore", invalid="ignore"):
            radial = radial / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return radial


def lens_reach(coefficients: tuple[float, ...], largest: float) -> float:
    """The ideal radius up to which a lens draws outer points further out, at most `largest`.

    Beyond it the polynomial folds back onto the image: it says nothing there.
    """
    radius = np.linspace(0, largest, 4096)
    drawn = radius * _radial(radius**2, coefficients)
    folds = np.flatnonzero(~(np.diff(drawn) > 0))
    return float(radius[folds[0]]) if len(folds) else np.inf


def window_intrinsics(K: NDArray[np.float64], window: Window, size: tuple[int, int]) -> NDArray[np.float64]:
    """K (3, 3) of an image's window that is resized to (height, width)."""
    sx, sy = size[1] / (window.x1 - window.x0), size[0] / (window.y1 - window.y0)
    shift = np.array([[sx, 0, -sx * window.x0], [0, sy, -sy * window.y0], [0, 0, 1.0]])
    return shift @ K


class Resampling:
    """From one camera's images (h, w) as filmed to the images (H, W) of a scene.

    Every new pixel is the mean of the samples that fall into it, each interpolated bilinearly in the source; with
    nothing to undistort and a whole-numbered factor it is the mean of the pixels it covers. Colours are weighted
    by the mask, so that edges do not mix with what lies behind. A new pixel is unreliable if any part of it is,
    or lies outside of what was filmed.

    Args:
        source, size: (height, width) before and after.
        window: what is kept; it may reach over the edges of the image.
        K: (3, 3) of the source, pixel centres at +0.5; only needed for a distortion.
        distortion: k1, k2, p1, p2, k3, see `distort`.
    """

    def __init__(
        self,
        source: tuple[int, int],
        size: tuple[int, int],
        window: Window | None = None,
        K: NDArray[np.float64] | None = None,
        distortion: tuple[float, ...] = NO_DISTORTION,
    ) -> None:
        h, w = source
        window = window or Window(0, 0, w, h)
        self.source, self.size = source, size
        self.same = source == size and window == Window(0, 0, w, h) and not any(distortion)
        if self.same:
            return
        from scipy.sparse import csr_matrix

        pixels = _samples(window, size)  # (s, H * W, 2) in the undistorted image
        seen = np.ones(pixels.shape[:2], dtype=bool)
        if any(distortion):
            assert K is not None
            center, focal = K[[0, 1], [2, 2]], K[[0, 1], [0, 1]]
            ideal = (pixels - center) / focal
            radius = np.linalg.norm(ideal, axis=-1)
            seen = radius < lens_reach(distortion, float(radius.max()))
            pixels = np.where(seen[..., None], distort(ideal, distortion) * focal + center, -1.0)
        inside = seen & ((pixels >= 0) & (pixels <= [w, h])).all(-1)
        rows, columns, weights = [], [], []
        position = np.clip(pixels - 0.5, 0, [w - 1, h - 1])
        corner = np.minimum(position.astype(np.int64), [max(w - 2, 0), max(h - 2, 0)])
        share = position - corner
        for dx in (0, 1):
            for dy in (0, 1):
                weight = np.where(dx, share[..., 0], 1 - share[..., 0]) * np.where(
                    dy, share[..., 1], 1 - share[..., 1]
                )
                keep = inside & (weight > 1e-6)
                rows.append(np.nonzero(keep)[1])
                x, y = np.minimum(corner[keep] + [dx, dy], [w - 1, h - 1]).T
                columns.append(y * w + x)
                weights.append(weight[keep] / len(pixels))
        data = np.concatenate(weights).astype(np.float32)
        index = np.concatenate(rows), np.concatenate(columns)
        self.matrix = csr_matrix((data, index), shape=(size[0] * size[1], h * w))
        self.outside = ~inside.all(0)  # (H * W,)

    def __call__(
        self, rgb: NDArray[np.uint8], mask: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Straight-alpha RGBA (H, W, 4) and mask (H, W) from colours (h, w, 3) and mask (h, w)."""
        return self.blend(rgb, (mask == OBJECT).astype(np.float32), mask == UNRELIABLE)

    def blend(
        self, rgb: NDArray[np.uint8], alpha: NDArray[np.float32], unsure: NDArray[np.bool_]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The same from a soft mask: alpha (h, w) in [0, 1] and which pixels (h, w) are unreliable."""
        if self.same:
            rgba = np.concatenate([rgb, np.rint(255 * alpha)[..., None].astype(np.uint8)], -1)
            mask = np.where(rgba[..., 3] > 127, OBJECT, BACKGROUND).astype(np.uint8)
            mask[unsure] = UNRELIABLE
            return rgba, mask
        has_unsure = bool(unsure.any())
        planes = np.empty((rgb.shape[0] * rgb.shape[1], 4 + has_unsure), np.float32)
        planes[:, :3] = (rgb * alpha[..., None]).reshape(-1, 3)
        planes[:, 3] = alpha.reshape(-1)
        if has_unsure:
            planes[:, 4] = unsure.reshape(-1)
        mixed: NDArray[Any] = self.matrix @ planes
        rgba = np.concatenate([mixed[:, :3] / np.maximum(mixed[:, 3:4], 1e-3), 255 * mixed[:, 3:4]], -1)
        rgba = np.clip(np.rint(rgba), 0, 255).astype(np.uint8)
        new = np.where(rgba[:, 3] > 127, OBJECT, BACKGROUND).astype(np.uint8)
        new[self.outside] = UNRELIABLE
        if has_unsure:
            new[mixed[:, 4] > 1e-4] = UNRELIABLE
        return rgba.reshape(*self.size, 4), new.reshape(self.size)


def _samples(window: Window, size: tuple[int, int]) -> NDArray[np.float64]:
    """Where each new pixel is sampled (s, H * W, 2): evenly, at least once per pixel of the window."""
    H, W = size
    step = np.array([(window.x1 - window.x0) / W, (window.y1 - window.y0) / H])
    count = np.maximum(1, np.ceil(step - 1e-6)).astype(int)
    y, x = np.mgrid[:H, :W]
    corner = np.array([window.x0, window.y0]) + np.stack([x, y], -1).reshape(-1, 2) * step
    within = [((i + 0.5) / count[0], (j + 0.5) / count[1]) for j in range(count[1]) for i in range(count[0])]
    return corner + np.array(within)[:, None] * step
