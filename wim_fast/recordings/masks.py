"""What the values in a mask mean: every convention once.

A mask says of each pixel that it is BACKGROUND, OBJECT or UNRELIABLE (no loss looks there). Files say it in several ways;
each of the functions below understands one of them. They take the values (h, w) of a file and return alpha (h, w) in
[0, 1] and which pixels (h, w) are unreliable.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wim_fast.errors import UserError

BACKGROUND, OBJECT, UNRELIABLE = 0, 1, 2  # values of a mask
GREYS = (0, 255, 128)  # the same three in a file of greys
LEAST_PART = 8  # of 255, by which a pixel is covered in part

Pixels = NDArray[np.uint8]
Alpha = NDArray[np.float32]
Unreliable = NDArray[np.bool_]
Convention = Callable[[Pixels], tuple[Alpha, Unreliable]]


def body_parts(labels: Pixels) -> tuple[Alpha, Unreliable]:
    """Parts of a body (1, 2, ...) or 255 are the object, 0 the background."""
    return (labels > 0).astype(np.float32), np.zeros(labels.shape, bool)


def three_valued(labels: Pixels) -> tuple[Alpha, Unreliable]:
    """0, 1, 2 as they are; else grey levels: below 64 background, from 192 on object, unreliable between."""
    if labels.max(initial=0) <= UNRELIABLE:
        return (labels == OBJECT).astype(np.float32), labels == UNRELIABLE
    return (labels >= 192).astype(np.float32), (labels >= 64) & (labels < 192)


def soft(labels: Pixels) -> tuple[Alpha, Unreliable]:
    """What people give: 0, 1, 2 or 0, 255, 128 are background, object and unreliable; other small numbers are parts of a
    body; other greys are the coverage of an edge."""
    there = set(np.flatnonzero(np.bincount(labels.ravel(), minlength=256)))
    for background, thing, unsure in ((BACKGROUND, OBJECT, UNRELIABLE), GREYS):
        if there <= {background, thing, unsure}:
            return (labels == thing).astype(np.float32), labels == unsure
    if max(there) < 64:
        return body_parts(labels)
    return coverage(labels)


def compressed(labels: Pixels) -> tuple[Alpha, Unreliable]:
    """Of a video, whose greys mean nothing: above 127 is the object."""
    return (labels > 127).astype(np.float32), np.zeros(labels.shape, bool)


def coverage(alpha: Pixels) -> tuple[Alpha, Unreliable]:
    """The alpha channel of a picture."""
    return alpha.astype(np.float32) / np.float32(255), np.zeros(alpha.shape, bool)


def coverage_with_greys(alpha: Pixels, greys: Pixels, where: Path) -> tuple[Alpha, Unreliable]:
    """Alpha corrected by a mask beside its picture: 0 background, 255 object whatever alpha says, 128 unreliable."""
    if not np.isin(greys, GREYS).all():
        raise UserError(
            where, "the mask has other values than 0, 128 and 255", "write it as grey, without smoothing"
        )
    alpha = alpha.copy()
    alpha[(greys == GREYS[BACKGROUND]) & (alpha > 127)] = 0
    alpha[(greys == GREYS[OBJECT]) & (alpha <= 127)] = 255
    return coverage(alpha)[0], greys == GREYS[UNRELIABLE]


def as_mask(rgba: Pixels, unreliable: Unreliable) -> Pixels:
    """The mask (h, w) of an image (h, w, 4): alpha above 127 is the object."""
    mask = np.where(rgba[..., 3] > 127, OBJECT, BACKGROUND).astype(np.uint8)
    mask[unreliable] = UNRELIABLE
    return mask


def outline(mask: Pixels, alpha: Pixels) -> NDArray[np.bool_]:
    """Pixels (h, w) of object and background that share a side with one of the other, and those covered in part."""
    found = (mask != UNRELIABLE) & (alpha >= LEAST_PART) & (alpha <= 255 - LEAST_PART)
    for pixels, at in ((mask, found), (mask.T, found.T)):
        changes = ((pixels[1:] == OBJECT) & (pixels[:-1] == BACKGROUND)) | (
            (pixels[1:] == BACKGROUND) & (pixels[:-1] == OBJECT)
        )
        at[1:] |= changes
        at[:-1] |= changes
    return found


def as_greys(mask: Pixels) -> Pixels:
    """A mask as it is written to a file."""
    return np.array(GREYS, np.uint8)[mask]


def in_size_of(labels: Pixels, size: tuple[int, int], where: Path) -> Pixels:
    """A mask in the size (height, width) of its picture, the nearest pixels; UserError for one of another shape."""
    if labels.shape == size:
        return labels
    (h, w), (height, width) = labels.shape, size
    if abs(h * width - w * height) > 0.01 * h * width:
        problem = f"the mask is {w} x {h} pixels, its picture {width} x {height}"
        raise UserError(where, problem, "give both the same shape")
    return np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))
