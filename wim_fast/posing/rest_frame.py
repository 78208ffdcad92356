"""The rest frame: the frame trained on in which the parts overlap least, so that limbs which meet later are apart."""

from __future__ import annotations

import numpy as np

from wim_fast.model.motion import Motion

POINTS = 64  # in each part
NEAR = 0.03  # world units, by which ellipsoids are inflated: surfaces closer than that flow together


def least_overlapping(motion: Motion, semi_axes: np.ndarray) -> int:
    """Position of the frame whose parts (P, 3) overlap least; the first of equals."""
    return int(np.argmin([overlap(motion.at([frame]), semi_axes) for frame in range(len(motion))]))


def overlap(pose: Motion, semi_axes: np.ndarray) -> float:
    """Volume that parts share in one pose (T = 1), once for each other part, over the volume of all of them.

    Counted by the same points of every part, spread evenly, in every pose.
    """
    rotation, center, axes = pose.rotation[0], pose.translation[0], semi_axes + NEAR
    points = center[:, None] + (_ball() * axes[:, None]) @ rotation.swapaxes(-1, -2)
    local = np.einsum("inpa,pab->inpb", points[:, :, None] - center, rotation)
    others = (np.square(local / axes).sum(-1) < 1).sum(-1) - 1  # (P, N) that hold the point
    volume = axes.prod(axis=1)
    return float(others.mean(axis=1) @ volume / volume.sum())


def _ball() -> np.ndarray:
    """(N, 3) points in the unit ball."""
    random = np.random.default_rng(0)
    direction = random.normal(size=(POINTS, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return direction * (np.arange(0.5, POINTS) / POINTS)[:, None] ** (1 / 3)
