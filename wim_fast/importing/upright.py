"""What is up, where cameras are not held level: from the cameras and from how the object stands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wim_fast.recordings.cameras import Array, Cameras, up_axis

HELD_LEVEL = 3.0  # degrees: cameras that are tilted less say best what is up
LEAN = 5.0  # degrees: how far a standing thing may lean all the time
FARTHEST = 45.0  # degrees from the cameras' up: what is long that way does not stand
SLENDER = 1.5  # times as long as wide: a plumper thing has no direction


def tilts(cameras: Cameras, up: Array) -> Array:
    """Degrees (V,) by which the cameras' horizontal axes rise above the horizon of an up axis (3,)."""
    return np.degrees(np.arcsin(np.clip(cameras.T_camera_world[:, 0, :3] @ up, -1, 1)))


def upright_axis(cameras: Cameras, hulls: Sequence[Array]) -> Array | None:
    """The up axis (3,), unit, that cameras and a standing object agree on best; None if the object does not help.

    Every camera says that up is perpendicular to its right axis, every frame that it is the object's long axis. Both
    are wrong by some angle, and the squares of the errors are summed, each over the variance of its kind: for cameras
    as they disagree with each other, for the object as it sways, and as it may lean in all frames.

    Args:
        hulls: points (M, 3) that fill the object, one array a frame, world.

    The object helps if the cameras disagree by more than `HELD_LEVEL`, and if it is slender and stands in most frames.
    """
    first = up_axis(cameras)
    free = max(1, len(cameras) - 2)  # two cameras determine the axis, whatever they say
    camera_variance = float((np.radians(tilts(cameras, first)) ** 2).sum()) / free
    long = [axis for points in hulls for axis in _long_axis(points)]
    if camera_variance < np.radians(HELD_LEVEL) ** 2 or 2 * len(long) <= len(hulls):
        return None
    axes = np.array([axis if axis @ first >= 0 else -axis for axis in long])
    mean = axes.mean(axis=0) / np.linalg.norm(axes.mean(axis=0))
    if mean @ first < np.cos(np.radians(FARTHEST)):
        return None
    sway = float((1 - (axes @ mean) ** 2).sum()) / max(1, len(axes) - 1)
    object_variance = sway / len(axes) + np.radians(LEAN) ** 2
    right = cameras.T_camera_world[:, 0, :3]
    across = np.eye(3) - axes.T @ axes / len(axes)  # its quadratic form: sin^2 of the angle to the axes, mean
    axis: Array = np.linalg.eigh(right.T @ right / camera_variance + across / object_variance)[1][:, 0]
    return axis if axis @ first >= 0 else -axis


def _long_axis(points: Array) -> list[Array]:
    """The longest principal axis (3,) of a solid's points (M, 3); none if it is not slender."""
    if len(points) < 8:
        return []
    variance, axes = np.linalg.eigh(np.cov(points.T))
    return [axes[:, 2]] if variance[2] >= SLENDER**2 * variance[1] else []
