"""How bodies hang together: the joint that each two would have, and the least spanning tree of them.

The joint of two bodies is the point of either that stay together best over time, near where their surfaces do: least
squares, in which the directions that the motion leaves open follow the place of contact (`joints.start.turning_point`).
A quarter of the frames need not agree (least trimmed squares): limbs that cross are learned as each other for a while.
Nothing of the tree that was trained is asked: the joint loss pulls the parts of its edges together, right or wrong.
"""

from __future__ import annotations

import numpy as np

from wim_fast.model.structure import CENTER_WEIGHT, cheapest_tree
from wim_fast.posing.bodies.unions import Bodies
from wim_fast.posing.ellipsoids import Contacts
from wim_fast.posing.joints.start import turning_point
from wim_fast.posing.rigid import inverse, moved

KEPT = 0.75  # of the frames, those in which a joint gapes least
ROUNDS = 5  # of choosing them


def body_tree(poses: np.ndarray, contacts: Contacts, bodies: Bodies) -> np.ndarray:
    """The tree whose joints are the tightest: edges (B-1, 2), bodies i < j, in increasing cost.

    Args:
        poses: (T, P, 4, 4) part to world, in the frames of the bodies' motion.
    """
    first, second = np.triu_indices(bodies.count, 1)
    pairs = np.stack([first, second], axis=1)
    costs = np.array([_joint(poses, contacts, bodies, i, j)[0] for i, j in pairs.tolist()])
    return pairs[cheapest_tree(first, second, costs)]


def body_joints(poses: np.ndarray, contacts: Contacts, bodies: Bodies, edges: np.ndarray) -> np.ndarray:
    """The joints (T, E, 3) of the edges (E, 2) in the world; else as for `body_tree`."""
    joints = [_joint(poses, contacts, bodies, i, j)[1] for i, j in edges.tolist()]
    return np.array(joints).reshape(len(edges), len(poses), 3).swapaxes(0, 1)


def _joint(
    poses: np.ndarray, contacts: Contacts, bodies: Bodies, first: int, second: int
) -> tuple[float, np.ndarray]:
    """What holds two bodies together: the mean squared gape and its distance from the contact; (T, 3) in the world."""
    of_first, of_second = (np.flatnonzero(bodies.body_of_part == body) for body in (first, second))
    gap = contacts.gap[np.ix_(of_first, of_second)]
    at = np.unravel_index(gap.argmin(), gap.shape)
    i, j = of_first[at[0]], of_second[at[1]]
    contact = 0.5 * (moved(poses[:, i], contacts.nearest[i, j]) + moved(poses[:, j], contacts.nearest[j, i]))
    motion = bodies.motion[:, first], bodies.motion[:, second]
    in_first, in_second = (moved(inverse(m), contact) for m in motion)
    relative, kept = inverse(motion[0]) @ motion[1], np.arange(len(poses))
    for _ in range(ROUNDS):
        points = turning_point(relative[kept], in_first[kept], CENTER_WEIGHT)
        ends = [moved(m, point) for m, point in zip(motion, points, strict=True)]
        gape = ((ends[0] - ends[1]) ** 2).sum(axis=1)
        kept = gape.argsort()[: max(round(KEPT * len(gape)), 1)]
    away = sum(
        ((p - there[kept].mean(axis=0)) ** 2).sum()
        for p, there in zip(points, (in_first, in_second), strict=True)
    )
    cost = gape[kept].mean() + CENTER_WEIGHT * (away + max(gap.min(), 0.0) ** 2)
    return float(cost), 0.5 * (ends[0] + ends[1])
