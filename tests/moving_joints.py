"""Two bodies and a joint of each kind between them, moving: the truth that fits are held against."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from wim_fast.posing.ellipsoids import surface_metric
from wim_fast.posing.joints.choice import Poses
from wim_fast.posing.joints.mechanism import Kind
from wim_fast.posing.rigid import exponential, rigid
from wim_fast.posing.tree import RootedTree, rooted

SEMI_AXES = np.array([[0.1, 0.15, 0.3], [0.08, 0.12, 0.25], [0.1, 0.06, 0.2], [0.05, 0.1, 0.2]])


def unit(rng: np.random.Generator) -> np.ndarray:
    """A random direction (3,)."""
    vector = rng.normal(size=3)
    return vector / np.linalg.norm(vector)


def wave(rng: np.random.Generator, frames: int, size: float) -> np.ndarray:
    """(T,) a smooth motion of about this amplitude."""
    t = np.linspace(0, 2 * np.pi, frames)
    return size * (np.sin(rng.uniform(1, 2) * t + rng.uniform(0, 6)) + 0.3 * np.sin(2.7 * t))


def joint_motion(kind: Kind, rng: np.random.Generator, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, 4, 4) in the joint's frame, and its axes there (T, n, 3)."""
    first, second = unit(rng), unit(rng)
    second = np.cross(first, second) / np.linalg.norm(np.cross(first, second))
    still = np.zeros((frames, 3))
    if kind == "prismatic":
        along = np.broadcast_to(first, (frames, 1, 3))
        return rigid(np.eye(3), wave(rng, frames, 0.15)[:, None] * first), along
    turns = [wave(rng, frames, 0.5)[:, None] * axis for axis in (first, second)]
    if kind == "ball":
        turns = [np.stack([wave(rng, frames, 0.4) for _ in range(3)], axis=1)]
    rotation = {"fixed": turns[:0], "revolute": turns[:1]}.get(kind, turns)
    out, axes = np.tile(np.eye(3), (frames, 1, 1)), []
    for turn, axis in zip(rotation, (first, second), strict=False):
        axes.append(out @ axis)
        out = out @ Rotation.from_rotvec(turn).as_matrix()
    seen = np.stack(axes, axis=1) if kind in ("revolute", "universal") else np.zeros((frames, 0, 3))
    return rigid(out, still), seen


def chain(
    kinds: list[Kind], seed: int, frames: int = 40, noise: float = 0.0
) -> tuple[Poses, RootedTree, list[np.ndarray]]:
    """A chain of parts from a base that stands still; the noise is rms of translation, and of turns in radians / 3.

    Returns the poses, their tree, and for each joint its axes in the world at every frame (T, n, 3).
    """
    rng = np.random.default_rng(seed)
    count = len(kinds) + 1
    poses = [
        np.tile(rigid(Rotation.random(random_state=seed).as_matrix(), rng.normal(size=3)), (frames, 1, 1))
    ]
    joints, axes = [], []
    for kind in kinds:
        place = rigid(Rotation.from_rotvec(rng.normal(size=3)).as_matrix(), np.array([0.0, 0.0, 0.25]))
        motion, along = joint_motion(kind, rng, frames)
        frame = poses[-1] @ place
        joints.append(frame[:, :3, 3])
        axes.append(np.einsum("tij,tnj->tni", frame[:, :3, :3], along))
        poses.append(frame @ motion @ rigid(np.eye(3), np.array([0.0, 0.03, 0.22])))
    parts = np.stack(poses, axis=1)
    errors = noise * rng.normal(size=(frames, count, 6)) * np.array([1, 1, 1, 3, 3, 3])
    edges = np.stack([np.arange(count - 1), np.arange(1, count)], axis=1)
    known = Poses(
        parts @ exponential(errors),
        np.reshape(joints, (count - 1, frames, 3)).swapaxes(0, 1),
        surface_metric(SEMI_AXES[:count]),
        max(noise, 1e-3),
    )
    return known, rooted(edges, 0), axes
