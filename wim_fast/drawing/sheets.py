"""Picture sheets: images in rows and columns, with captions. The images' pixels are copied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from wim_fast.drawing.text import LEAST, font, text_width

CAPTION_COLOR = "#282828"
SCALE = 4  # at which captions are drawn


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
    sheet = Image.new("RGB", (width, height), "white")
    for caption in captions:
        mask, top = _caption_mask(caption, size)
        sheet.paste(CAPTION_COLOR, (round(caption.left), top), mask)
    return np.array(sheet)


def _caption_mask(caption: Caption, size: float) -> tuple[Image.Image, int]:
    """Where the text covers its room, drawn large and reduced, so that letters of few pixels keep their distances.

    Returns:
        The mask (as wide as the room), and its topmost row on the sheet.
    """
    text, _, baseline, room, align = caption
    while (wanted := text_width(text, size * SCALE) / SCALE) > room and size > LEAST:
        size = max(LEAST, 0.99 * size * room / wanted)
    top = math.floor(baseline - 1.2 * size)
    mask = Image.new("L", (SCALE * math.floor(room), SCALE * math.ceil(1.6 * size)))
    x, anchor = (0.5 * mask.width, "ms") if align == "center" else (0.0, "ls")
    place = x, SCALE * (baseline - top)
    ImageDraw.Draw(mask).text(place, text, fill=255, font=font(size * SCALE), anchor=anchor)
    return mask.reduce(SCALE), top
