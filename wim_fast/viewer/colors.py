"""Colours of what is shown: cells by part or occupancy, signed distances, differences. (N, 3) uint8."""

from __future__ import annotations

import numpy as np

from wim_fast.drawing.annotate import part_palette

NOBODY = np.array([150, 150, 150], np.uint8)
# viridis, five of its colours (CC0)
_LOW_TO_HIGH = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], float)
_INSIDE = np.array([[178, 24, 43], [244, 165, 130], [247, 247, 247], [146, 197, 222], [33, 102, 172]], float)


def part_colors(part: np.ndarray, count: int) -> np.ndarray:
    """Of part numbers (N,); grey for -1."""
    return np.vstack([part_palette(count), NOBODY])[np.where(part < 0, count, part)]


def occupancy_colors(occupancy: np.ndarray) -> np.ndarray:
    """[0, 1] from violet (empty) to yellow (opaque)."""
    return _between(_LOW_TO_HIGH, occupancy)


def sdf_colors(sdf: np.ndarray, reach: float) -> np.ndarray:
    """From red (-reach or deeper, inside) over white (the surface) to blue (reach or farther, outside)."""
    return _between(_INSIDE, 0.5 + 0.5 * np.clip(sdf / reach, -1, 1))


def _between(anchors: np.ndarray, share: np.ndarray) -> np.ndarray:
    x = np.clip(np.nan_to_num(np.asarray(share, float)), 0, 1) * (len(anchors) - 1)
    first = np.minimum(x.astype(int), len(anchors) - 2)
    rest = (x - first)[..., None]
    return ((1 - rest) * anchors[first] + rest * anchors[first + 1]).round().astype(np.uint8)
