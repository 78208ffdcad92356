"""How each joint was seen to turn: its main axis and the angles it took. Tells a person what can be posed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wim_fast.posing.tree import RootedTree


@dataclass(frozen=True)
class JointMotion:
    """The turning of the joint between a part and its parent over a video.

    Attributes:
        axis: (3,) unit, world frame of the reference frame: the main axis the part turns about.
        least, greatest: degrees about `axis` relative to the reference frame; least <= 0 <= greatest.
    """

    axis: tuple[float, float, float]
    least: float
    greatest: float

    @property
    def span(self) -> float:
        """Degrees between the extremes."""
        return self.greatest - self.least


def joint_motions(part_rotation: np.ndarray, tree: RootedTree, frame: int) -> dict[int, JointMotion]:
    """The motion of every part but the root relative to its parent, {part: motion}.

    The rotations relative to the reference frame as rotation vectors in the parent's frame; their first
    principal axis is the joint's. The axis points such that its largest component is positive.

    Args:
        part_rotation: (T, P, 3, 3), part to world.
        frame: reference frame, a position in 0..T-1.
    """
    from scipy.spatial.transform import Rotation

    rotation = np.asarray(part_rotation, float)
    motions = {}
    for part in tree.order[1:].tolist():
        parent = rotation[:, tree.parent[part]]
        relative = np.swapaxes(parent, -1, -2) @ rotation[:, part]
        turns = Rotation.from_matrix(relative @ relative[frame].T).as_rotvec(degrees=True)  # (T, 3)
        main = np.linalg.svd(turns, full_matrices=False)[2][0]
        axis = parent[frame] @ main
        sign = 1.0 if axis[np.abs(axis).argmax()] > 0 else -1.0
        angles = sign * turns @ main
        x, y, z = (sign * axis).tolist()
        motions[part] = JointMotion((x, y, z), min(float(angles.min()), 0.0), max(float(angles.max()), 0.0))
    return motions
