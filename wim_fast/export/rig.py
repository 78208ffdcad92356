"""The rig: a bone for every part, or for every rigid body of parts, and how the film moves them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wim_fast.export.binding import INFLUENCES, bind_to_bodies, dense, rigid_motions
from wim_fast.export.surface import Surface
from wim_fast.model.motion import Motion
from wim_fast.posing.bodies.unions import largest_parts
from wim_fast.posing.skeleton import PartsFound
from wim_fast.posing.tree import RootedTree
from wim_fast.runs.skeleton import skeleton_of
from wim_fast.runs.trained_model import TrainedModel


@dataclass(frozen=True)
class Rig:
    """B bones of P parts: a tree of joints at rest, and T poses. World frame and units, or those of a file.

    Attributes:
        tree: which bone hangs from which.
        names: of the bones; they say part (or body) and parent.
        bone_of_part: (P,).
        heads: (B, 3) at rest, the joint to the parent; the root's is its centre.
        tips: {bone: (3,)} at rest, the far end of each bone that nothing hangs from.
        moves: how every bone moves from the rest frame to each of the T frames: x -> rotation x + translation.
        times: (T,) seconds since the first frame.
    """

    tree: RootedTree
    names: list[str]
    bone_of_part: np.ndarray
    heads: np.ndarray
    tips: dict[int, np.ndarray]
    moves: Motion
    times: np.ndarray

    @property
    def bones(self) -> int:
        return len(self.names)

    def local_moves(self) -> Motion:
        """Each bone's joint as its parent sees it: rotation (T, B, 3, 3), translation (T, B, 3).

        A joint stands at the head of its bone with axes as the world's at rest; the root's parent is the world.
        """
        rotation, parent = self.moves.rotation, self.tree.parent
        place = np.einsum("tbij,bj->tbi", rotation, self.heads) + self.moves.translation
        base, origin = rotation[:, parent].copy(), place[:, parent].copy()
        base[:, self.tree.root], origin[:, self.tree.root] = np.eye(3), 0.0
        back = base.swapaxes(-1, -2)
        return Motion(back @ rotation, (back @ (place - origin)[..., None])[..., 0])


def make_rig(run: TrainedModel, rest: int, parts_found: PartsFound = None, fps: float = 30.0) -> Rig:
    """The rig of a run.

    Args:
        rest: the rest frame, a position among the frames trained on.
        parts_found: a bone for each of so many bodies, which moves as the body does, or for each part
            (`skeleton.PartsFound`).
        fps: frames of the recording per second.
    """
    skeleton = skeleton_of(run, parts_found)
    tree, motion = skeleton.tree, skeleton.motion
    heads, hangs = motion.translation[rest].copy(), tree.parent_edge >= 0
    heads[hangs] = skeleton.joints[rest][tree.parent_edge[hangs]]
    leading = largest_parts(skeleton.node_of_part, run.semi_axes)
    return Rig(
        tree,
        bone_names(tree, skeleton.what),
        skeleton.node_of_part,
        heads,
        _tips(tree, heads, run.motion.at([rest]), run.semi_axes, leading),
        rigid_motions(motion, motion.at([rest])),
        (np.array(run.frame_ids) - run.frame_ids[0]) / fps,
    )


def bone_names(tree: RootedTree, what: str) -> list[str]:
    """Of all bones: part_03_on_12, part_12_root."""
    digits = len(str(len(tree.parent) - 1))
    return [
        f"{what}_{bone:0{digits}d}_" + (f"on_{parent:0{digits}d}" if parent >= 0 else "root")
        for bone, parent in enumerate(tree.parent.tolist())
    ]


def bone_weights(
    run: TrainedModel, surface: Surface, parts_found: PartsFound = None
) -> tuple[np.ndarray, np.ndarray]:
    """Bones (V, 4) and weights (V, 4) of a surface in the world: each bone once, the largest first; 0 of bone 0 if none.

    parts_found: what the bones are, see `make_rig`.
    """
    skeleton = skeleton_of(run, parts_found)
    ids, weights = surface.part_ids, surface.part_weights
    if parts_found is not None:
        mesh = surface.vertices, surface.faces, surface.colors
        ids, weights = bind_to_bodies(run, skeleton, surface.frame, *mesh)
    return once_each(ids, weights, skeleton.count)


def once_each(ids: np.ndarray, weights: np.ndarray, bones: int) -> tuple[np.ndarray, np.ndarray]:
    """The same weights (V, 4) of bones (V, 4), repeated bones added up: falling; where there is none left, bone 0."""
    whole = dense(ids, weights, bones)
    order = np.argsort(-whole, axis=1, kind="stable")[:, :INFLUENCES]
    largest = np.take_along_axis(whole, order, axis=1)
    largest = (largest / largest.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.where(largest > 0, order, 0).astype(np.int32), largest


def _tips(
    tree: RootedTree, heads: np.ndarray, rest: Motion, semi_axes: np.ndarray, leading: np.ndarray
) -> dict[int, np.ndarray]:
    """The far end of each leaf bone: of the ends of its largest part's axes the one farthest from the joint."""
    tips = {}
    for bone in sorted(set(range(len(heads))) - set(tree.parent.tolist())):
        part = leading[bone]
        arms = (rest.rotation[0, part] * semi_axes[part]).T  # (axis, 3)
        ends = rest.translation[0, part] + np.concatenate([arms, -arms])
        tips[bone] = ends[np.linalg.norm(ends - heads[bone], axis=1).argmax()]
    return tips
