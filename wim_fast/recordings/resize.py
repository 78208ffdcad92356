"""Images resized by area, colours weighted by alpha so that edges do not darken."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def area_weights(old: int, new: int) -> NDArray[np.float32]:
    """(new, old): the share of each new pixel that each old pixel covers; rows sum to 1."""
    edges = np.arange(new + 1) * (old / new)
    left, right = edges[:-1, None], edges[1:, None]
    pixels = np.arange(old)[None]
    overlap = np.minimum(right, pixels + 1) - np.maximum(left, pixels)
    weights = np.clip(overlap, 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def resize_rgba(
    rgba: NDArray[np.uint8], rows: NDArray[np.float32], columns: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Straight-alpha RGBA (H, W, 4) resized with the `area_weights` of its rows and columns."""
    planes = np.ascontiguousarray(rgba.transpose(2, 0, 1)).astype(np.float32)
    planes[:3] *= planes[3] / 255
    planes = rows @ planes @ columns.T
    planes[:3] *= 255 / np.maximum(planes[3], 1e-3)
    return np.clip(np.rint(planes), 0, 255).astype(np.uint8).transpose(1, 2, 0)
