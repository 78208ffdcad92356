"""First guesses of a joint from the motion of one part relative to another: where a fit starts (`mechanism_fit`)."""

from __future__ import annotations

import numpy as np

from wim_fast.posing.joints.mechanism import Joint, Kind
from wim_fast.posing.rigid import inverse, rigid


def turning_point(
    relative: np.ndarray, guess: np.ndarray, weight: float = 0.01
) -> tuple[np.ndarray, np.ndarray]:
    """The point that moves least, in the parent's frame (3,) and in the child's (3,).

    Least squares of R_t c + t_t = d over the frames; the directions that the motion leaves open (along the axis of a
    hinge) follow the guess.

    Args:
        relative: (T, 4, 4) child in the parent's frame.
        guess: (T, 3) the joint in the parent's frame as it was learned.
        weight: of the guess, as a share of the frames.
    """
    count = len(relative)
    rotation, translation = relative[:, :3, :3], relative[:, :3, 3]
    in_child = np.einsum("tji,tj->ti", rotation, guess - translation).mean(axis=0)
    left = np.concatenate([rotation, np.broadcast_to(-np.eye(3), (count, 3, 3))], axis=2).reshape(-1, 6)
    strength = np.sqrt(weight * count)
    rows = np.concatenate([left, strength * np.eye(6)])
    right = np.concatenate([-translation.ravel(), strength * np.concatenate([in_child, guess.mean(axis=0)])])
    found = np.linalg.lstsq(rows, right, rcond=None)[0]
    return found[3:], found[:3]


def start_joint(
    kind: Kind, relative: np.ndarray, guess: np.ndarray, parent_mount: np.ndarray, choice: int = 0
) -> Joint:
    """A joint of a kind that explains the relative motion in part.

    Args:
        relative: (T, 4, 4) child part in the parent part's frame.
        guess: (T, 3) the learned joint in the parent part's frame.
        parent_mount: (4, 4) of the parent part.
        choice: which of the principal axes of the motion the (first) axis is: 0, 1 or 2. Of a universal joint 0 or 1,
            and the second axis is the other.
    """
    from scipy.spatial.transform import Rotation

    in_parent, in_child = turning_point(relative, guess)
    mean = Rotation.from_matrix(relative[:, :3, :3]).mean().as_matrix()
    turns = Rotation.from_matrix(mean.T @ relative[:, :3, :3]).as_rotvec()  # (T, 3) in the child's mean frame
    offset = parent_mount @ rigid(mean, in_parent)
    mount = rigid(np.eye(3), -in_child)
    if kind == "fixed":
        return Joint(kind, np.eye(4), np.eye(4), offset @ mount, ())
    if kind == "prismatic":
        turns = (relative[:, :3, 3] - relative[:, :3, 3].mean(axis=0)) @ mean
        offset, mount = parent_mount @ rigid(mean, relative[:, :3, 3].mean(axis=0)), np.eye(4)
    return _along(kind, offset, mount, turns, choice)


def _along(kind: Kind, offset: np.ndarray, mount: np.ndarray, path: np.ndarray, choice: int) -> Joint:
    """A joint at `offset` whose axes are principal ones of a path of rotation vectors, or of shifts, (T, 3)."""
    axes = np.linalg.svd(path.T @ path)[2]
    axes = axes[[choice, 1 - choice if kind == "universal" else 0]]
    first, second = _z_to(axes[0]), _z_to(axes[1])
    along = path @ axes[:2].T
    if kind == "ball":
        return Joint(kind, offset, np.eye(4), mount, (_turned(path),))
    if kind == "universal":
        motion = tuple(_turned(np.array([0.0, 0.0, 1.0]) * along[:, [k]]) for k in range(2))
        return Joint(kind, offset @ first, inverse(first) @ second, inverse(second) @ mount, motion)
    up = np.array([0.0, 0.0, 1.0]) * along[:, [0]]
    moved = _turned(up) if kind == "revolute" else rigid(np.eye(3), up)
    return Joint(kind, offset @ first, np.eye(4), inverse(first) @ mount, (moved,))


def _turned(vectors: np.ndarray) -> np.ndarray:
    """Rotation vectors (T, 3) as (T, 4, 4)."""
    from scipy.spatial.transform import Rotation

    return rigid(Rotation.from_rotvec(vectors).as_matrix(), np.zeros(3))


def _z_to(axis: np.ndarray) -> np.ndarray:
    """(4, 4) a rotation that takes z to a unit axis (3,)."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.align_vectors(axis[None], np.array([[0.0, 0.0, 1.0]]))[0]
    return rigid(turn.as_matrix(), np.zeros(3))
