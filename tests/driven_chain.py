"""A chain of hinges that swings, with points to drive it by."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from wim_fast.posing.regression import part_points


def swinging(num_frames: int, count: int, rng: np.random.Generator, amplitude: float) -> np.ndarray:
    """(T, count) smooth angles."""
    time = np.linspace(0, 1, num_frames)[:, None, None]
    wave = np.sin(2 * np.pi * (np.arange(1, 6) * time + rng.uniform(size=(count, 5))))
    return amplitude * (wave * rng.normal(size=(count, 5))).sum(-1) / np.sqrt(2.5)


def articulated(
    num_frames: int, seed: int, num_links: int = 7, travel: bool = False
) -> dict[str, np.ndarray]:
    """A chain of hinges, 1.2 units long: part poses, joints (T, L, 3) and 5 points on every link."""
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(num_links, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = swinging(num_frames, num_links, rng, 0.6)
    offset = rng.normal(size=(num_links, 3)) + np.array([0.0, 0.0, 2.0])
    offset *= 1.2 / num_links / np.linalg.norm(offset, axis=1, keepdims=True)
    rotation = np.tile(np.eye(3), (num_frames, num_links, 1, 1))
    joints = np.zeros((num_frames, num_links, 3))
    if travel:
        rotation[:, 0] = Rotation.from_rotvec(axes[0] * angles[:, :1]).as_matrix()
        joints[:, 0] = swinging(num_frames, 3, rng, 0.3)
    for k in range(1, num_links):
        hinge = Rotation.from_rotvec(axes[k] * angles[:, k : k + 1]).as_matrix()
        rotation[:, k] = rotation[:, k - 1] @ hinge
        joints[:, k] = joints[:, k - 1] + rotation[:, k - 1] @ offset[k]

    def on_links(count: int, spread: float) -> np.ndarray:
        local = rng.normal(size=(num_links, count, 3)) * spread
        return joints[:, :, None] + np.einsum("tlab,lnb->tlna", rotation, local)

    return {
        "rotation": rotation @ Rotation.random(num_links, random_state=seed).as_matrix(),
        "translation": on_links(1, 0.05)[:, :, 0],
        "semi_axes": rng.uniform(0.03, 0.12, size=(num_links, 3)),
        "joints": joints,
        "points": on_links(5, 0.06).reshape(num_frames, -1, 3),
    }


def moving_points(scene: dict) -> np.ndarray:
    """(T, 7 P, 3)"""
    return part_points(scene["rotation"], scene["translation"], scene["semi_axes"])
