"""Whether what a model shows from new sides is what the training cameras saw: points of its surface against their masks.

Where a camera saw nothing, nothing told training what is there: what hangs in the air from other sides is made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from wim_fast.recordings.cameras import Array, Cameras, pixel_rays, project
from wim_fast.recordings.masks import OBJECT
from wim_fast.rendering.image import Image

LEAST_OPACITY = 1 / 255  # of a pixel that shows anything
SURFACE_OPACITY = 0.5  # from which on a pixel hides what is behind it
THICKNESS = 2.0  # pixels: points so little behind a surface that is seen belong to it


class Unconfirmed(NamedTuple):
    """Shares in [0, 1] of the opacity of some pictures that no training camera confirms."""

    unseen: (
        float  # no camera has that point on a reliable pixel of the object: streaks and patches in the air
    )
    hidden: float  # some have, but each of them behind the model's own surface: sides that nobody filmed


def surface_of(image: Image, cameras: Cameras, index: int) -> tuple[Array, Array]:
    """World points (N, 3) that a picture of camera number `index` shows, and the opacities (N,) of their pixels."""
    y, x = np.nonzero(image.opacity > LEAST_OPACITY)
    pixels = np.stack([x, y], -1).astype(np.float64) + 0.5
    origins, directions = pixel_rays(cameras.intrinsics[index], cameras.T_camera_world[index], pixels)
    return origins + image.depth[y, x, None] * directions, image.opacity[y, x].astype(np.float64)


def witnesses(
    points: Array, cameras: Cameras, masks: NDArray[np.uint8], images: Sequence[Image]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For points (N, 3) of the surface at one moment: which some camera has on the object, and which some confirms.

    Args:
        cameras, masks: V of them and what they saw then (V, H, W), with three values.
        images: what the model shows in each of these cameras, H x W.

    Pixels are taken with their neighbours, for points lie on outlines too, and depths to within `THICKNESS`.
    """
    seen, confirmed = np.zeros((2, len(points)), dtype=bool)
    for v, (pixels, depth) in enumerate(zip(*project(cameras, points), strict=True)):
        height, width = masks[v].shape
        column, row = np.where((depth > 0)[:, None], pixels, -1).clip(-1, max(height, width)).astype(int).T
        inside = np.flatnonzero((depth > 0) & (pixels >= 0).all(-1) & (column < width) & (row < height))
        row, column = row[inside], column[inside]
        on_object = maximum_filter(masks[v] == OBJECT, size=3)[row, column]
        hides = np.where(images[v].opacity > SURFACE_OPACITY, images[v].depth, np.inf)
        farthest = maximum_filter(hides, size=3)[row, column]
        distance = np.linalg.norm(points[inside] - cameras.centers[v], axis=-1)
        seen[inside] |= on_object
        tolerance = THICKNESS / cameras.intrinsics[v, 0, 0]
        confirmed[inside] |= on_object & (distance * (1 - tolerance) <= farthest)
    return seen, confirmed


def unconfirmed(seen: NDArray[np.bool_], confirmed: NDArray[np.bool_], opacity: Array) -> Unconfirmed:
    """The shares of points (N,) with these opacities; 0 where nothing is shown."""
    total = max(float(opacity.sum()), 1e-9)
    return Unconfirmed(float(opacity[~seen].sum()) / total, float(opacity[seen & ~confirmed].sum()) / total)
