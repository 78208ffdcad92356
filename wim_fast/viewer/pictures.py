"""Small pictures made with PIL: marks on images, and plots."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PLOT_SIZE = (720, 360)
_MARGIN = (70, 34, 20, 46)  # left, top, right, bottom


def enlarge_to(image: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) uint8 with the longer side `size`; pixels stay visible when enlarged."""
    factor = size / max(image.shape[:2])
    shape = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    how = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(image).resize(shape, how))


def marked_pixel(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """A cross at the shares x, y of width and height."""
    canvas = Image.fromarray(image).convert("RGB")
    draw, (width, height) = ImageDraw.Draw(canvas), canvas.size
    at_x, at_y = x * width, y * height
    for color, thick in (((255, 255, 255), 3), ((220, 0, 0), 1)):
        draw.line([at_x, 0, at_x, height], fill=color, width=thick)
        draw.line([0, at_y, width, at_y], fill=color, width=thick)
    return np.asarray(canvas)


def line_plot(
    x: np.ndarray,
    curves: Sequence[tuple[str, np.ndarray, tuple[int, int, int]]],
    title: str,
    x_label: str,
    y_label: str,
    marked: np.ndarray | None = None,
) -> np.ndarray:
    """(H, W, 3) uint8: curves (name, values (N,), colour) over x (N,); NaN leaves gaps.

    `marked`: (N,) bool, x that get a dot on the axis.
    """
    width, height = PLOT_SIZE
    left, top, right, bottom = _MARGIN
    canvas = Image.new("RGB", PLOT_SIZE, (255, 255, 255))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    all_y = np.concatenate([np.asarray(y, float) for _, y, _ in curves])
    finite = all_y[np.isfinite(all_y)]
    low, high = (min(0.0, finite.min()), max(0.0, finite.max())) if len(finite) else (0.0, 1.0)
    if high - low < 1e-9:
        high = low + 1.0
    x_low, x_high = (float(x[0]), float(x[-1])) if len(x) > 1 else (0.0, 1.0)

    def at(a: float, b: float) -> tuple[float, float]:
        share_x, share_y = (a - x_low) / max(x_high - x_low, 1e-12), (b - low) / (high - low)
        return left + share_x * (width - left - right), height - bottom - share_y * (height - top - bottom)

    for k in range(5):
        value, place = low + k / 4 * (high - low), x_low + k / 4 * (x_high - x_low)
        draw.line([at(x_low, value), at(x_high, value)], fill=(225, 225, 225))
        draw.text((left - 6, at(x_low, value)[1]), f"{value:.3g}", (60, 60, 60), font, anchor="rm")
        draw.text((at(place, low)[0], height - bottom + 6), f"{place:.3g}", (60, 60, 60), font, anchor="mt")
    draw.line([at(x_low, 0), at(x_high, 0)], fill=(120, 120, 120))
    for _, y, color in curves:
        points = [at(a, b) if np.isfinite(b) else None for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        for p, q in pairwise(points):
            if p is not None and q is not None:
                draw.line([p, q], fill=color, width=2)
    for a in x[marked].tolist() if marked is not None else ():
        px, py = at(a, 0)
        draw.ellipse([px - 2, py - 2, px + 2, py + 2], fill=(0, 0, 0))
    draw.text((width / 2, 8), title, (0, 0, 0), font, anchor="mt")
    draw.text((width / 2, height - 6), x_label, (60, 60, 60), font, anchor="mb")
    draw.text((6, 8), y_label, (60, 60, 60), font, anchor="lt")
    for k, (name, _, color) in enumerate(curves if len(curves) > 1 else ()):
        draw.text((width - right - 6, top + 4 + 16 * k), name, color, font, anchor="rt")
    return np.asarray(canvas)
