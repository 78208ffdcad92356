"""A mechanism: rigid bodies on a tree of joints, each of one kind, and the values that the joints take over time.

Every part hangs from its parent by a joint (the root from the world). From the parent's link frame a constant `offset`
leads to the joint's frame, the joint moves that to the link's own frame, and a constant `mount` leads on to the part:

    link = parent's link * offset * motion[0] (* between * motion[1]),    part = link * mount

A revolute joint turns about z of its frame, a prismatic one slides along it, a universal one is two revolute joints
whose axes meet at a point at any angle (`between` turns the one into the other), a ball turns freely about a point. A
fixed joint makes one body of two parts: its link is the parent's (the root's, fixed to the world, has an offset).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from wim_fast.posing.rigid import exponential, inverse, rigid
from wim_fast.posing.tree import RootedTree

Kind = Literal["fixed", "revolute", "prismatic", "universal", "ball", "free"]
Hold = Literal["", "perpendicular", "parallel"]
AXIAL: tuple[Kind, ...] = ("revolute", "prismatic", "universal")

ALONG_Z, ABOUT_Z = np.eye(6)[:, 2:3], np.eye(6)[:, 5:6]
TURNS = np.eye(6)[:, 3:]
STAGES: dict[Kind, tuple[np.ndarray, ...]] = {
    "fixed": (),
    "revolute": (ABOUT_Z,),
    "prismatic": (ALONG_Z,),
    "universal": (ABOUT_Z, ABOUT_Z),
    "ball": (TURNS,),
    "free": (np.eye(6),),
}
"""For each kind the twists (6, n) that it admits, stage by stage, in the frame that the stage moves."""

CONSTANTS: dict[Kind, int] = {
    "fixed": 6,
    "revolute": 10,
    "prismatic": 8,
    "universal": 12,
    "ball": 9,
    "free": 6,
}
"""Numbers that do not change over time, how the two parts lie to each other included: without the ones that cannot be
told apart, such as a shift of a revolute joint's frame along its axis."""

DIMENSIONS = 3.0
"""Of the six ways in which a part can be off, so many show (`ellipsoids.surface_metric`): the noise is spread over these."""

HELD: dict[Hold, int] = {"": 0, "perpendicular": 1, "parallel": 2}
"""How many numbers it saves to hold an axis at an angle."""


def free(motion: np.ndarray) -> Joint:
    """A root's joint to the world that lets it move as it does, (T, 4, 4)."""
    still = np.eye(4)
    return Joint("free", still, still, still, (motion,))


def freedoms(kind: Kind) -> int:
    """How many values a joint has in a frame."""
    return sum(stage.shape[1] for stage in STAGES[kind])


@dataclass(frozen=True)
class Joint:
    """The joint between a part and its parent over T frames; see the module for how they compose.

    Attributes:
        offset, between, mount: (4, 4).
        motion: (T, 4, 4) for each stage of the kind.
        hold: how its axis is held to the one of the joint that moves its parent (`axis_above`).
    """

    kind: Kind
    offset: np.ndarray
    between: np.ndarray
    mount: np.ndarray
    motion: tuple[np.ndarray, ...]
    hold: Hold = ""

    @property
    def constants(self) -> int:
        """Numbers that do not change over time."""
        return CONSTANTS[self.kind] - HELD[self.hold]

    def values(self) -> np.ndarray:
        """(T, n) radians, or world units: angles (unwrapped over time), a distance, or a ball's rotation vector."""
        from scipy.spatial.transform import Rotation

        if self.kind == "ball":
            return Rotation.from_matrix(self.motion[0][:, :3, :3]).as_rotvec()
        if self.kind == "prismatic":
            return self.motion[0][:, 2, 3:]
        if self.kind in ("fixed", "free"):
            return np.zeros((len(self.motion[0]) if self.motion else 0, 0))
        return np.unwrap(np.stack([np.arctan2(x[:, 1, 0], x[:, 0, 0]) for x in self.motion], axis=1), axis=0)


@dataclass(frozen=True)
class Mechanism:
    """A joint for every part: `joints[part]` is the one to its parent, or to the world for the root."""

    tree: RootedTree
    joints: tuple[Joint, ...]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Of each part's joint."""
        return tuple(joint.kind for joint in self.joints)

    def replaced(self, part: int, joint: Joint) -> Mechanism:
        """With another joint of a part; what hangs from it keeps its place on the part itself."""
        joints = list(self.joints)
        moved = joint.mount @ inverse(joints[part].mount)
        joints[part] = joint
        for child in self.tree.children(part):
            old = joints[child]
            if old.kind == "fixed":
                joints[child] = replace(old, mount=moved @ old.mount)
            else:
                joints[child] = replace(old, offset=held_offset(moved @ old.offset, old.hold))
        return Mechanism(self.tree, tuple(joints))


def zeroed(mechanism: Mechanism, frame: int) -> Mechanism:
    """The same motion with every joint's values 0 in a frame; a free root's place stays."""
    joints = []
    for joint in mechanism.joints:
        if joint.kind != "free":
            starts = [motion[frame] for motion in joint.motion]
            motion = tuple(inverse(start) @ m for start, m in zip(starts, joint.motion, strict=True))
            offset = joint.offset @ starts[0] if starts else joint.offset
            between = joint.between @ starts[1] if len(starts) == 2 else joint.between
            joint = replace(joint, offset=offset, between=between, motion=motion)
        joints.append(joint)
    return Mechanism(mechanism.tree, tuple(joints))


def spread(mechanism: Mechanism, nearest: np.ndarray) -> Mechanism:
    """With other frames, each as the frame `nearest` (T,) of this one."""
    joints = (replace(j, motion=tuple(m[nearest] for m in j.motion)) for j in mechanism.joints)
    return Mechanism(mechanism.tree, tuple(joints))


def bodies(mechanism: Mechanism) -> np.ndarray:
    """(P,) for each part the first part of the rigid body it belongs to: that whose joint is not fixed."""
    first = np.arange(len(mechanism.joints))
    for part in mechanism.tree.order[1:].tolist():
        if mechanism.joints[part].kind == "fixed":
            first[part] = first[mechanism.tree.parent[part]]
    return first


def stage_frames(mechanism: Mechanism, num_frames: int) -> list[list[np.ndarray]]:
    """For every part the frames (T, 4, 4) in the world: after its offset, then after each stage; the last is its link."""
    found: list[list[np.ndarray]] = [[] for _ in mechanism.joints]
    for part in mechanism.tree.order.tolist():
        joint, parent = mechanism.joints[part], mechanism.tree.parent[part]
        base = np.tile(np.eye(4), (num_frames, 1, 1)) if parent < 0 else found[parent][-1]
        found[part].append(base @ joint.offset)
        for k, motion in enumerate(joint.motion):
            start = found[part][-1] @ joint.between if k else found[part][-1]
            found[part].append(start @ motion)
    return found


def part_poses(mechanism: Mechanism, num_frames: int) -> np.ndarray:
    """(T, P, 4, 4) part to world: forward kinematics."""
    frames = stage_frames(mechanism, num_frames)
    return np.stack([f[-1] @ j.mount for f, j in zip(frames, mechanism.joints, strict=True)], axis=1)


def neighbourhood(tree: RootedTree, part: int, reach: int = 2) -> np.ndarray:
    """Sorted parts at most `reach` joints away from a part or from its parent."""
    found = {part, int(tree.parent[part])} - {-1}
    for _ in range(reach):
        near = {int(tree.parent[p]) for p in found} | {child for p in found for child in tree.children(p)}
        found |= near - {-1}
    return np.array(sorted(found))


def part_of(mechanism: Mechanism, around: np.ndarray, num_frames: int) -> Mechanism:
    """Some parts that hang together, as a mechanism of their own: its root is free, unless it is the whole's."""
    tree = mechanism.tree
    position = {part: k for k, part in enumerate(around.tolist())}
    parent = np.array([position.get(int(tree.parent[part]), -1) for part in around])
    order = np.array([position[part] for part in tree.order.tolist() if part in position])
    edge = np.where(parent < 0, -1, np.cumsum(parent >= 0) - 1)
    joints = [mechanism.joints[part] for part in around]
    root = int(order[0])
    if tree.parent[around[root]] >= 0:
        links = stage_frames(mechanism, num_frames)[int(around[root])][-1]
        still = np.eye(4)
        joints[root] = Joint("free", still, still, joints[root].mount, (links,))
    return Mechanism(RootedTree(root, parent, edge, order), tuple(joints))


def put_back(mechanism: Mechanism, window: Mechanism, around: np.ndarray) -> Mechanism:
    """The whole with the joints of `part_of` as they are now; where its root is, others say."""
    for k in window.tree.order.tolist():  # parents first: their children's places on them follow
        part, joint = int(around[k]), window.joints[k]
        if k == window.tree.root and mechanism.tree.parent[part] >= 0:
            old = mechanism.joints[part]
            joint = replace(old, mount=joint.mount)
        mechanism = mechanism.replaced(part, joint)
    return mechanism


def axis_above(mechanism: Mechanism, part: int) -> bool:
    """Whether the z axis of the link that a part's joint starts from is the axis of a joint."""
    parent = int(mechanism.tree.parent[part])
    while parent >= 0 and mechanism.joints[parent].kind == "fixed":
        parent = int(mechanism.tree.parent[parent])
    return parent >= 0 and mechanism.joints[parent].kind in AXIAL


def held_offset(offset: np.ndarray, hold: Hold) -> np.ndarray:
    """An offset (4, 4) turned by the least that holds its z axis at the angle to the z axis it starts from."""
    if not hold:
        return offset
    axis, above = offset[:3, 2], np.array([0.0, 0.0, 1.0])
    if hold == "perpendicular":
        wanted = axis - (axis @ above) * above
    else:
        wanted = np.sign(axis @ above) * above
    wanted = wanted / np.linalg.norm(wanted)
    normal = np.cross(axis, wanted)
    sine = np.linalg.norm(normal)
    if sine < 1e-12:
        return offset
    turn = exponential(np.concatenate([np.zeros(3), normal / sine * np.arctan2(sine, axis @ wanted)]))
    return rigid(turn[:3, :3] @ offset[:3, :3], offset[:3, 3])
