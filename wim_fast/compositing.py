"""Pictures with alpha over a grey background."""

from __future__ import annotations

import numpy as np


def over(rgba: np.ndarray, grey: float) -> np.ndarray:
    """(..., 4) uint8 straight alpha -> (..., 3) float32 in [0, 1] on a background of this grey in [0, 1]."""
    color = rgba.astype(np.float32) / 255.0
    alpha = color[..., 3:]
    return alpha * color[..., :3] + (1.0 - alpha) * np.float32(grey)


def over_uint8(picture: np.ndarray, grey: float) -> np.ndarray:
    """`over` as (..., 3) uint8; a picture without alpha, (..., 3), stays as it is."""
    return picture if picture.shape[-1] == 3 else to_uint8(over(picture, grey))


def to_uint8(image: np.ndarray) -> np.ndarray:
    """[0, 1] -> uint8."""
    return np.round(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)
