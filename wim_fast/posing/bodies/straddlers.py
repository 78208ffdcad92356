"""Bodies that are no links but where the object bends: what lies between two links and follows the joint between them.

A part across a joint moves halfway. If the bodies on either side of it turn against each other about one axis, and it
only follows that turn, there is one hinge between the two, and not two about the same axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wim_fast.posing.bodies.pairs import BodyPair, take_bodies
from wim_fast.posing.bodies.structure import BodyStructure
from wim_fast.posing.bodies.unions import Judge, Moved
from wim_fast.posing.joints.mechanism import part_poses
from wim_fast.posing.rigid import carried, exponential, inverse, logarithm, mean_motion, mean_places

CHANGES = 0.5
"""So much may change if it follows, of what a body is worth. Most links that turn by themselves change all of it."""

POWERS = 2  # of the hinge's angle: what follows it moves by a polynomial


class Straddler(NamedTuple):
    """A body between two others: `parts` are one of it and one of that which it goes with; `cost` is what changes."""

    parts: tuple[int, int]
    cost: float


def find_straddler(
    poses: np.ndarray, bodies: BodyStructure, judge: Judge, some: Sequence[int], worth: float
) -> Straddler | None:
    """That of the bodies between two others which changes least of what is seen if it follows them.

    Args:
        poses: (T, P, 4, 4) part to world.
        judge: of parts in frames `some`.
        worth: a body must save so much of what is seen.
    """
    take_bodies(judge, poses, bodies, some)
    between = bodies.between_two()
    led = [
        _led(poses, bodies, body, ends, bodies.joints[:, rows].mean(axis=1), some)
        for body, rows, ends in between
    ]
    costs = [trial.cost for trial in judge.trials(led)]
    if not costs or min(costs) > CHANGES * worth:
        return None
    least = int(np.argmin(costs))
    body, _, ends = between[least]
    own = bodies.parts()[body]
    with_end = [Moved(own, carried(bodies.motion[:, [end]], poses[:, own])[some]) for end in ends]
    goes = ends[int(np.argmin([trial.cost for trial in judge.trials(with_end)]))]
    return Straddler((own[0], bodies.parts()[goes][0]), max(costs[least], 0.0))


def _led(
    poses: np.ndarray,
    bodies: BodyStructure,
    body: int,
    ends: list[int],
    joint: np.ndarray,
    some: Sequence[int],
) -> Moved:
    """A body that follows the hinge between two others, which is about at `joint` (T, 3), and these."""
    first, second = ends
    pair = BodyPair.of(poses, bodies, first, second, joint)
    hinge = pair.fitted("revolute", 0, some)[0]
    motion, own = bodies.motion[:, [body]], bodies.parts()[body]
    there = part_poses(hinge, len(some))
    led = _following(there[:, 0], motion[some, 0], hinge.joints[1].values()[:, 0])
    moved = pair.moved(there)
    own_poses = led[:, None] @ mean_places(motion, poses[:, own])
    return Moved([*moved.parts, *own], np.concatenate([moved.poses, own_poses], axis=1))


def _following(first: np.ndarray, body: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """A body's motion (T, 4, 4) as a polynomial of an angle (T,), by least squares, in the frame of another (T, 4, 4)."""
    relative = inverse(first) @ body
    mean = mean_motion(relative)
    turn = (angle - angle.mean()) / max(angle.std(), 1e-9)
    powers = np.stack([turn**k for k in range(POWERS + 1)], axis=1)
    twists = logarithm(inverse(mean) @ relative)
    return first @ mean @ exponential(powers @ np.linalg.lstsq(powers, twists, rcond=None)[0])
