"""Part centres that lie outside of the object (supplement A.11), by the masks of the cameras trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wim_fast.recordings.cameras import Array, Cameras, project
from wim_fast.recordings.masks import BACKGROUND


def centers_outside(centers: Array, cameras: Cameras, masks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which part centres some camera sees on background, at one moment.

    Args:
        centers: (P, 3) world.
        cameras, masks: V of them and what they saw then (V, H, W), with three values.

    Returns:
        (P,). What is unreliable says nothing, neither does a camera that has a centre behind it or beside its picture.
    """
    outside = np.zeros(len(centers), bool)
    for mask, pixels, depth in zip(masks, *project(cameras, centers), strict=True):
        height, width = mask.shape
        inside = (depth > 0) & (pixels >= 0).all(-1) & (pixels < [width, height]).all(-1)
        column, row = pixels[inside].astype(int).T
        outside[inside] |= mask[row, column] == BACKGROUND
    return outside
