"""Picture sheets: images in rows and columns, with captions. The images' pixels are copied; matplotlib writes the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wim_fast.drawing.figure import drawn, new_figure, points

CAPTION_COLOR = "#282828"
LEAST = 1.0  # points: the smallest text that matplotlib knows


class Caption(NamedTuple):
    """A line of text and the room that it has, in pixels of the sheet."""

    text: str
    left: float
    baseline: float
    room: float  # to the right of `left`
    align: str  # "left" or "center"


def side_by_side(images: Sequence[np.ndarray], captions: Sequence[str] = ()) -> np.ndarray:
    """Images in a row, captions above them."""
    return grid([images], captions)


def grid(
    rows: Sequence[Sequence[np.ndarray]],
    column_captions: Sequence[str] = (),
    row_captions: Sequence[str] = (),
) -> np.ndarray:
    """Images (h, w, 3) uint8 in rows and columns on white; cells take the size of the largest, rows may be short.

    Captions are shrunk to the width they have: above the columns, and above each row's first image.

    Returns:
        (H, W, 3) uint8.
    """
    images = [image for row in rows for image in row]
    if not images:
        raise ValueError("grid: no images")
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    gap = max(2, min(height, width) // 48)
    size = float(np.clip(0.06 * min(height, width), 11.0, 28.0))
    line = round(1.6 * size)
    top = line if column_captions else 0
    above = line if row_captions else 0
    lefts = [gap + c * (width + gap) for c in range(max(len(row) for row in rows))]
    tops = [top + gap + r * (above + height + gap) for r in range(len(rows))]
    sheet_width, sheet_height = lefts[-1] + width + gap, tops[-1] + above + height + gap
    baseline = 0.5 * line + 0.35 * size  # of a line's text, from its top: capitals stand in the middle
    captions = [
        Caption(text, left, 0.5 * gap + baseline, width, "center")
        for text, left in zip(column_captions, lefts, strict=False)
    ] + [
        Caption(text, gap, y + baseline, sheet_width - 2 * gap, "left")
        for text, y in zip(row_captions, tops, strict=False)
    ]
    sheet = _written(sheet_width, sheet_height, captions, size)
    for y, row in zip(tops, rows, strict=True):
        for x, image in zip(lefts, row, strict=False):
            sheet[y + above : y + above + image.shape[0], x : x + image.shape[1]] = image
    return sheet


def _written(width: int, height: int, captions: Sequence[Caption], size: float) -> np.ndarray:
    """White paper (H, W, 3) uint8 with captions, of `size` pixels where they have the room."""
    if not captions:
        return np.full((height, width, 3), 255, np.uint8)
    figure = new_figure(width, height)
    for text, left, baseline, room, align in captions:
        x = left + (0.5 * room if align == "center" else 0.0)
        line = figure.text(
            x / width, 1 - baseline / height, text, fontsize=points(size), horizontalalignment=align,
            verticalalignment="baseline", color=CAPTION_COLOR, parse_math=False,
        )  # fmt: skip
        fitted = points(size)
        while (wanted := line.get_window_extent().width) > room and fitted > LEAST:
            fitted = max(LEAST, 0.99 * fitted * room / wanted)
            line.set_fontsize(fitted)
    return drawn(figure)
