"""A pose made by hand: turns of the joints of one frame, and the pose file that says the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from wim_fast.model.motion import Motion, edges_of, joints_of, semi_axes_of
from wim_fast.posing.joints.motion import JointMotion, joint_motions
from wim_fast.posing.pose_file import PoseFile
from wim_fast.posing.repose import JointRotation, repose_sequence
from wim_fast.posing.tree import RootedTree, default_root, rooted
from wim_fast.viewer.inspect.snapshot import Snapshot

Vector = tuple[float, float, float]
LEAST = 1e-3  # degrees that are worth writing down


@dataclass(frozen=True)
class Turns:
    """How parts are turned about the joints to their parents, away from a frame's learned pose.

    Each part turns first by its angle about the joint's main axis, then by its free rotation; both are read in the world
    of the learned pose, and its ancestors carry both along (supplement A.8). The root takes all with it.
    """

    angles: Mapping[int, float] = field(default_factory=dict)  # degrees about the joint's main axis
    free: Mapping[int, Vector] = field(default_factory=dict)  # axis-angle in degrees
    shift: Vector = (0.0, 0.0, 0.0)  # of the root, world units

    @property
    def key(self) -> tuple:
        """For comparison."""
        angles = tuple(sorted((p, a) for p, a in self.angles.items() if abs(a) > LEAST))
        free = tuple(sorted((p, tuple(v)) for p, v in self.free.items() if np.abs(v).max() > LEAST))
        return angles, free, tuple(self.shift)

    @property
    def is_learned(self) -> bool:
        """Whether nothing is turned or moved."""
        return self.key == Turns().key


@dataclass(frozen=True)
class Articulation:
    """The tree of a model, and the axis that each part was seen to turn about, in one frame."""

    tree: RootedTree
    motions: Mapping[int, JointMotion]  # of every part but the root

    @classmethod
    def of(cls, snapshot: Snapshot, frame: int) -> Articulation:
        edges, motion = edges_of(snapshot.model), snapshot.motion
        root = default_root(edges, semi_axes_of(snapshot.model), motion.rotation, motion.translation)
        tree = rooted(edges, root)
        return cls(tree, joint_motions(motion.rotation, tree, frame))

    def axis(self, part: int) -> Vector:
        """World axis of the part's slider; the root's is z."""
        return self.motions[part].axis if part in self.motions else (0.0, 0.0, 1.0)

    def rotations(self, turns: Turns) -> tuple[JointRotation, ...]:
        """What a pose file lists."""
        angles, free, _ = turns.key
        out = []
        for part, angle in angles:
            x, y, z = self.axis(part)
            out.append(JointRotation(part, (angle * x, angle * y, angle * z)))
        return (*out, *(JointRotation(part, vector) for part, vector in free))


def posed_by_hand(snapshot: Snapshot, frame: int, turns: Turns, articulation: Articulation) -> Motion:
    """The pose (T = 1) of a frame with some joints turned."""
    start = snapshot.motion.at([frame])
    if turns.is_learned:
        return start
    rotation, translation = repose_sequence(
        start.rotation[0],
        start.translation[0],
        joints_of(snapshot.model, start)[0],
        edges_of(snapshot.model),
        articulation.tree.root,
        articulation.rotations(turns),
        num_frames=1,
        root_translation=turns.shift,
    )
    return Motion(rotation, translation)


def pose_file(frame: int, turns: Turns, articulation: Articulation, scale: float) -> PoseFile:
    """The file that `wim-fast render-novel-pose --pose` renders to the same pose.

    scale: units of the recording's files per world unit.
    """

    def rounded(vector: Vector) -> Vector:
        x, y, z = (round(float(v), 4) for v in vector)
        return x, y, z

    rotations = tuple(JointRotation(r.node, rounded(r.axis_angle)) for r in articulation.rotations(turns))
    x, y, z = (scale * component for component in rounded(turns.shift))
    return PoseFile(rotations, articulation.tree.root, frame, root_translation=(x, y, z))


def gizmo_rotation(
    snapshot: Snapshot, frame: int, turns: Turns, articulation: Articulation, part: int
) -> np.ndarray:
    """(3, 3) orientation of a gizmo at the part's joint: its parent's motion, then the part's free rotation."""
    free = Rotation.from_rotvec(turns.free.get(part, (0.0, 0.0, 0.0)), degrees=True).as_matrix()
    return _carried(snapshot, frame, turns, articulation, part) @ free


def free_turn(
    snapshot: Snapshot, frame: int, turns: Turns, articulation: Articulation, part: int, gizmo: np.ndarray
) -> Vector:
    """The free rotation, axis-angle in degrees, that turns the part's gizmo to the orientation `gizmo` (3, 3)."""
    free = _carried(snapshot, frame, turns, articulation, part).T @ gizmo
    x, y, z = Rotation.from_matrix(free).as_rotvec(degrees=True).tolist()
    return x, y, z


def _carried(
    snapshot: Snapshot, frame: int, turns: Turns, articulation: Articulation, part: int
) -> np.ndarray:
    """How the ancestors' turns have turned the part's parent, (3, 3); no rotation for the root."""
    parent = int(articulation.tree.parent[part])
    if parent < 0:
        return np.eye(3)
    now = posed_by_hand(snapshot, frame, turns, articulation).rotation[0, parent]
    return now @ snapshot.motion.rotation[frame, parent].T
