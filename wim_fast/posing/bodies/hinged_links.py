"""Links between two hinges move as these tell.

The housing of a hip hardly shows how it turns, so that it is learned to turn with what is beside it. But the trunk and
the thigh show how they move, and two hinges between them say where the link must be. A body with two neighbours is put
there if little of what is seen changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wim_fast.posing.bodies.pairs import BodyPair, take_bodies
from wim_fast.posing.bodies.structure import BodyStructure
from wim_fast.posing.bodies.unions import Judge, Moved
from wim_fast.posing.joints.fit import fit_mechanism, over_the_film
from wim_fast.posing.joints.mechanism import Joint, Mechanism, free, part_poses, stage_frames
from wim_fast.posing.joints.start import start_joint
from wim_fast.posing.rigid import carried, inverse, mean_places, moved
from wim_fast.posing.tree import rooted

CHANGES = 0.5
"""So much of what is seen may change, of what a body is worth."""

OWN = 0.1
"""A link's own motion counts so much where it is told by its neighbours': its errors are what is to be mended."""


def hinged(
    poses: np.ndarray, bodies: BodyStructure, judge: Judge, some: Sequence[int], worth: float
) -> np.ndarray:
    """The poses (T, P, 4, 4) of parts, those of links between two hinges as these tell.

    Args:
        poses: (T, P, 4, 4) part to world.
        judge: of parts in frames `some`.
        worth: a body must save so much of what is seen.
    """
    take_bodies(judge, poses, bodies, some)
    told = poses.copy()
    parts = bodies.parts()
    for body, rows, ends in bodies.between_two():
        own = parts[body]
        motions = _ways(poses, bodies, (ends[0], body, ends[1]), bodies.joints[:, rows], some)
        ways = [carried(motion[:, None], poses[:, own]) for motion in motions]
        costs = [trial.cost for trial in judge.trials([Moved(own, way[some]) for way in ways])]
        least = int(np.argmin(costs))
        if costs[least] <= CHANGES * worth:
            told[:, own] = ways[least]
    return told


def _ways(
    poses: np.ndarray,
    bodies: BodyStructure,
    chain: tuple[int, int, int],
    joints: np.ndarray,
    some: Sequence[int],
) -> list[np.ndarray]:
    """How the middle of three bodies may move, (T, 4, 4) each; joints (T, 2, 3) about where they are.

    By its neighbours alone, with axes that meet; and by its own motion too.
    """
    pair = BodyPair.of(poses, bodies, chain[0], chain[2], joints.mean(axis=1))
    universal = pair.universal(some)
    motion = bodies.motion[:, chain]
    metric = bodies.metric[[*chain]] * np.array([1.0, OWN, 1.0])[:, None, None]
    starts = _from_universal(universal, motion[some]), _from_joints(motion[some], joints[some])
    fits = [fit_mechanism(start, motion[some], metric) for start in starts]
    hinges = over_the_film(min(fits, key=lambda fit: fit[1])[0], motion, metric, some)
    return [pair.link_between(universal, some), part_poses(hinges, len(motion))[:, 1]]


def _from_universal(universal: Mechanism, motion: np.ndarray) -> Mechanism:
    """Two hinges as a universal joint has them; motion (T, 3, 4, 4) of neighbour, link, neighbour."""
    joint, still = universal.joints[1], np.eye(4)
    link = stage_frames(universal, len(motion))[1][1]
    mount = mean_places(link[:, None], motion[:, [1]])[0]
    one = Joint("revolute", joint.offset, still, mount, joint.motion[:1])
    other = Joint("revolute", joint.between, still, joint.mount, joint.motion[1:])
    return _chain(motion, one, other)


def _from_joints(motion: np.ndarray, joints: np.ndarray) -> Mechanism:
    """Two hinges, each by itself; joints (T, 2, 3) about where they are."""
    first, body, last = motion.swapaxes(0, 1)
    one = start_joint("revolute", inverse(first) @ body, moved(inverse(first), joints[:, 0]), np.eye(4))
    other = start_joint("revolute", inverse(body) @ last, moved(inverse(body), joints[:, 1]), one.mount)
    return _chain(motion, one, other)


def _chain(motion: np.ndarray, one: Joint, other: Joint) -> Mechanism:
    return Mechanism(rooted(np.array([[0, 1], [1, 2]]), 0), (free(motion[:, 0]), one, other))
