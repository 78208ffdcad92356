"""Bodies that are no links but where the object bends: what lies between two links and follows the joint between them.

A part across a joint moves halfway. If the bodies on either side of it turn against each other about one axis, and it
only follows that turn, there is one hinge between the two, and not two about the same axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wim_fast.posing.bodies import Judge, Moved
from wim_fast.posing.body_pairs import BodyPair, places_on, take_bodies
from wim_fast.posing.body_structure import BodyStructure
from wim_fast.posing.mechanism import part_poses
from wim_fast.posing.rigid import exponential, inverse, logarithm, mean_motion

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
    between = [(body, here) for body in range(bodies.count) if len(here := _joints_of(bodies, body)) == 2]
    trials = judge.trials([_led(poses, bodies, body, here, some) for body, here in between])
    costs = [trial.cost for trial in trials]
    if not costs or min(costs) > CHANGES * worth:
        return None
    body, here = between[int(np.argmin(costs))]
    own, ends = bodies.parts()[body], (bodies.edges[here].sum(axis=1) - body).tolist()
    with_ends = []
    for motion in bodies.motion[:, ends].swapaxes(0, 1):
        with_ends.append(Moved(own, motion[some, None] @ places_on(motion, poses[:, own])))
    end = ends[int(np.argmin([trial.cost for trial in judge.trials(with_ends)]))]
    return Straddler((own[0], bodies.parts()[end][0]), max(min(costs), 0.0))


def _joints_of(bodies: BodyStructure, body: int) -> np.ndarray:
    """Rows of the edges."""
    return np.flatnonzero((bodies.edges == body).any(axis=1))


def _led(
    poses: np.ndarray, bodies: BodyStructure, body: int, joints: np.ndarray, some: Sequence[int]
) -> Moved:
    """A body that follows the hinge between the two that its joints lead to, and these."""
    first, second = (bodies.edges[joints].sum(axis=1) - body).tolist()
    pair = BodyPair.of(poses, bodies, first, second, bodies.joints[:, joints].mean(axis=1))
    hinge = pair.fitted("revolute", 0, some)[0]
    ends = part_poses(hinge, len(some))
    motion, own = bodies.motion[:, body], bodies.parts()[body]
    led = _following(ends[:, 0], motion[some], hinge.joints[1].values()[:, 0])
    moved = pair.moved(ends)
    own_poses = led[:, None] @ places_on(motion, poses[:, own])
    return Moved([*moved.parts, *own], np.concatenate([moved.poses, own_poses], axis=1))


def _following(first: np.ndarray, body: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """A body's motion (T, 4, 4) as a polynomial of an angle (T,), by least squares, in the frame of another (T, 4, 4)."""
    relative = inverse(first) @ body
    mean = mean_motion(relative)
    turn = (angle - angle.mean()) / max(angle.std(), 1e-9)
    powers = np.stack([turn**k for k in range(POWERS + 1)], axis=1)
    twists = logarithm(inverse(mean) @ relative)
    return first @ mean @ exponential(powers @ np.linalg.lstsq(powers, twists, rcond=None)[0])
