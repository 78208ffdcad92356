"""Re-posing: rotate a part and all that hangs from it about its joint to the parent (supplement A.8).

What turns are nodes of a tree: parts, or rigid bodies of parts, which then carry these along (`skeleton.Skeleton`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wim_fast.posing.tree import RootedTree, rooted

Axes = Literal["world", "part", "body"]
"""In which axes are given: the world, or the frame of the part or body itself."""


@dataclass(frozen=True)
class JointRotation:
    """Turn a part or body about its joint to the parent by |axis_angle| degrees about the axis of axis_angle (3,)."""

    node: int
    axis_angle: tuple[float, float, float]


def rotation_matrix(axis_angle: np.ndarray | Sequence[float]) -> np.ndarray:
    """Rodrigues' formula: (..., 3) axis-angle in degrees -> (..., 3, 3) rotation."""
    vector = np.radians(np.asarray(axis_angle, float))
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    skew = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    half = np.sinc(angle / (2.0 * np.pi))  # sin(angle / 2) / (angle / 2), 1 at zero
    return np.eye(3) + np.sinc(angle / np.pi) * skew + 0.5 * half**2 * (skew @ skew)


def repose(
    part_rotation: np.ndarray,
    part_translation: np.ndarray,
    joint_position: np.ndarray,
    edges: np.ndarray,
    root: int,
    rotations: Mapping[int, Sequence[float]],
    axes: Axes = "world",
    root_translation: Sequence[float] = (0.0, 0.0, 0.0),
) -> tuple[np.ndarray, np.ndarray]:
    """Pose of one frame with some joints turned (supplement A.8).

    Every rotation is read in the pose given: about the part's joint as it lies there, and about an axis
    in the world (`axes="world"`) or in the part's own frame (any other). The rotations of the
    ancestors then carry joint and axis along, so the result does not depend on the order in which parts
    are named. The root turns about its own centre and takes the whole object with it, as does
    `root_translation`.

    Args:
        part_rotation, part_translation: (P, 3, 3), (P, 3), part to world.
        joint_position: (P-1, 3) world, in the order of `edges`.
        edges: (P-1, 2).
        rotations: axis-angle in degrees for each part to turn.
        root_translation: (3,) world units.

    Returns:
        part_rotation (P, 3, 3), part_translation (P, 3).
    """
    tree = rooted(edges, root)
    turns = _identity(len(part_translation))
    for part, axis_angle in rotations.items():
        if not 0 <= part < len(turns):
            raise ValueError(f"part {part} is not a part (0..{len(turns) - 1})")
        turns[part] = rotation_matrix(axis_angle)
    return _apply(part_rotation, part_translation, joint_position, tree, turns, axes, root_translation)


def repose_sequence(
    part_rotation: np.ndarray,
    part_translation: np.ndarray,
    joint_position: np.ndarray,
    edges: np.ndarray,
    root: int,
    rotations: Sequence[JointRotation],
    num_frames: int,
    sequence: Literal["together", "one_after_another"] = "together",
    axes: Axes = "world",
    root_translation: Sequence[float] = (0.0, 0.0, 0.0),
) -> tuple[np.ndarray, np.ndarray]:
    """A motion from the given pose to the re-posed one, as `repose` defines it.

    Angles grow along a smooth step (0 at the first frame, full at the last): all at the same time, or one
    rotation after another in equal shares of the time. A part may be named several times; its rotations are
    applied in the order of the list. The root's translation runs over the whole motion.

    Returns:
        part_rotation (num_frames, P, 3, 3), part_translation (num_frames, P, 3).
    """
    tree = rooted(edges, root)
    num_parts, count = len(part_translation), max(len(rotations), 1)
    out_rotation = np.empty((num_frames, num_parts, 3, 3))
    out_translation = np.empty((num_frames, num_parts, 3))
    for frame, time in enumerate(np.linspace(0.0, 1.0, num_frames) if num_frames > 1 else [1.0]):
        turns = _identity(num_parts)
        for k, turn in enumerate(rotations):
            share = time if sequence == "together" else time * count - k
            angle = _smooth_step(share) * np.asarray(turn.axis_angle, float)
            turns[turn.node] = rotation_matrix(angle) @ turns[turn.node]
        shift = _smooth_step(time) * np.asarray(root_translation, float)
        out_rotation[frame], out_translation[frame] = _apply(
            part_rotation, part_translation, joint_position, tree, turns, axes, shift
        )
    return out_rotation, out_translation


def _apply(
    part_rotation: np.ndarray,
    part_translation: np.ndarray,
    joint_position: np.ndarray,
    tree: RootedTree,
    turns: np.ndarray,
    axes: Axes,
    root_translation: Sequence[float] | np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Carries the turns (P, 3, 3) from root to leaves: a part's motion is its parent's after its own turn."""
    old_rotation, old_translation = np.asarray(part_rotation, float), np.asarray(part_translation, float)
    joint_position = np.asarray(joint_position, float)
    if axes != "world":
        turns = old_rotation @ turns @ np.swapaxes(old_rotation, -1, -2)
    moved = _identity(len(turns))  # rigid motion x -> moved @ x + shift of each part
    shift = np.zeros((len(turns), 3))
    for part in tree.order:
        parent = tree.parent[part]
        pivot = old_translation[part] if parent < 0 else joint_position[tree.parent_edge[part]]
        own_shift = pivot - turns[part] @ pivot
        if parent < 0:
            moved[part], shift[part] = turns[part], own_shift + root_translation
        else:
            moved[part] = moved[parent] @ turns[part]
            shift[part] = moved[parent] @ own_shift + shift[parent]
    return moved @ old_rotation, (moved @ old_translation[..., None])[..., 0] + shift


def _smooth_step(x: float) -> float:
    x = min(max(float(x), 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


def _identity(count: int) -> np.ndarray:
    return np.tile(np.eye(3), (count, 1, 1))
