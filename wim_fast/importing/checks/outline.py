"""The outline of a silhouette, to a fraction of a pixel where the images' alpha tells it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wim_fast.recordings.cameras import Array
from wim_fast.recordings.masks import BACKGROUND, OBJECT, UNRELIABLE
from wim_fast.scene.scene import Scene

LEAST_PIXELS = 12  # a silhouette of fewer says nothing
SPECK = 0.005  # connected pieces below this share of the silhouette are taken for noise of the mask


@dataclass(frozen=True)
class Outline:
    """Of one image.

    Attributes:
        corners: (N, 2) pixels, the corners of the silhouette's convex hull: all that can be touched by a tangent.
        cut: (M, 2) pixels where the silhouette ends at the image's border or at unreliable pixels, so that the
            object may go on.
        inside: (N', 2) pixels, centres of the silhouette's outermost pixels.
        area: (N'', 2) pixels, centres of pixels spread over the silhouette.
        possible: (H, W), where the object is or, at unreliable pixels, may be.
        closed: whether the silhouette lies wholly in the image.
    """

    corners: Array
    cut: Array
    inside: Array
    area: Array
    possible: NDArray[np.bool_]
    closed: bool

    @cached_property
    def distance(self) -> NDArray[np.float32]:
        """(H, W) pixels to `possible`, 0 in it."""
        from scipy.ndimage import distance_transform_edt

        return np.maximum(distance_transform_edt(~self.possible) - 0.5, 0).astype(np.float32)


def find_outline(scene: Scene, camera: int, frame: int, samples: int = 64) -> Outline | None:
    """Of the image of the camera and the frame at these positions; None where there is no silhouette, or nothing else.

    Args:
        samples: how many of the outermost and of all pixels to keep, evenly.
    """
    from scipy.ndimage import binary_erosion

    mask = np.asarray(scene.mask[camera, frame])
    inside = without_specks(mask == OBJECT)
    if inside.sum() < LEAST_PIXELS or not (mask == BACKGROUND).any():
        return None
    crossings, is_cut = _crossings(_coverage(scene.rgba[camera, frame], mask, inside), inside, mask)
    possible = inside | (mask == UNRELIABLE)
    return Outline(
        corners=_convex_hull(crossings),
        cut=crossings[is_cut],
        inside=_some(inside & ~binary_erosion(inside, border_value=1), samples),
        area=_some(inside, samples),
        possible=possible,
        closed=not any(edge.any() for edge in (possible[0], possible[-1], possible[:, 0], possible[:, -1])),
    )


def without_specks(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask (H, W) without pieces that are much smaller than the rest."""
    from scipy.ndimage import label

    pieces, count = label(inside, structure=np.ones((3, 3)))
    if count < 2:
        return inside
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return (sizes >= max(4.0, SPECK * sizes.sum()))[pieces] & inside


def _coverage(
    rgba: NDArray[np.uint8], mask: NDArray[np.uint8], inside: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How much of each pixel (H, W) the object covers, in [0, 1], above a half just where the mask has it."""
    alpha = np.asarray(rgba[..., 3])
    reliable = mask != UNRELIABLE
    if ((alpha > 127) != (mask == OBJECT))[reliable].mean() > 1e-3:  # the mask does not come from alpha
        return inside.astype(np.float64)
    soft = alpha / 255.0
    return np.where(inside, np.maximum(soft, 0.502), np.minimum(soft, 0.498))


def _crossings(
    coverage: NDArray[np.float64], inside: NDArray[np.bool_], mask: NDArray[np.uint8]
) -> tuple[Array, NDArray[np.bool_]]:
    """Where the outline crosses each row and column first and last, (N, 2) pixels, and whether it is cut off there."""
    points, cut = [], []
    for axis in (0, 1):
        for side in (1, -1):
            a, m, s = (np.moveaxis(image, axis, 0)[:, ::side] for image in (coverage, inside, mask))
            lines = np.flatnonzero(m.any(1))
            first = m[lines].argmax(1)
            before = np.maximum(first - 1, 0)
            high, low = a[lines, first], a[lines, before]
            at = np.where(first > 0, first + 0.5 - (high - 0.5) / np.maximum(high - low, 1e-6), 0.0)
            along = at if side > 0 else m.shape[1] - at
            points.append(np.stack([along, lines + 0.5], 1)[:, :: 1 if axis == 0 else -1])
            cut.append((first == 0) | (s[lines, before] == UNRELIABLE))
    return np.concatenate(points), np.concatenate(cut)


def _convex_hull(points: Array) -> Array:
    from scipy.spatial import ConvexHull, QhullError

    try:
        return points[ConvexHull(points).vertices]
    except QhullError:  # all on a line
        return points


def _some(chosen: NDArray[np.bool_], count: int) -> Array:
    """Centres (<= count, 2) of some of these pixels, evenly."""
    y, x = np.nonzero(chosen)
    keep = np.linspace(0, len(x) - 1, min(count, len(x))).round().astype(int)
    return np.stack([x[keep], y[keep]], 1) + 0.5
