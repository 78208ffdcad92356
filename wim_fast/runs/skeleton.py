"""What of a run can be posed: its parts as the trained tree joins them, or its rigid bodies."""

from __future__ import annotations

import numpy as np

from wim_fast.model.motion import Motion
from wim_fast.posing.bodies.unions import body_centers, body_origins
from wim_fast.posing.skeleton import PartsFound, Skeleton
from wim_fast.posing.tree import RootedTree, default_root, rooted
from wim_fast.runs.bodies import bodies_of
from wim_fast.runs.trained_model import TrainedModel


def tree_of(run: TrainedModel) -> RootedTree:
    """The kinematic tree of the parts, from a base that hardly moves, else from its middle."""
    motion = run.motion
    return rooted(run.edges, default_root(run.edges, run.semi_axes, motion.rotation, motion.translation))


def skeleton_of(run: TrainedModel, parts_found: PartsFound = None) -> Skeleton:
    """The skeleton of a run, over the frames trained on. UserError for a number of bodies that cannot be."""
    motion, root = run.motion, tree_of(run).root
    if parts_found is None:
        nodes = np.arange(len(run.semi_axes))
        return Skeleton("part", nodes, run.edges, run.joints_in(motion), motion, root)
    bodies = bodies_of(run, None if parts_found == "auto" else parts_found)
    centers = body_centers(bodies.body_of_part, motion.translation, run.semi_axes)

    def to_world(poses: np.ndarray) -> Motion:
        return Motion(poses[..., :3, :3], body_origins(poses, centers))

    learned = None if bodies.learned is None else to_world(bodies.learned)
    root = int(bodies.body_of_part[root])
    return Skeleton(
        "body", bodies.body_of_part, bodies.edges, bodies.joints, to_world(bodies.motion), root, learned
    )
