"""Links that hide in a joint: bodies that turn against each other about two axes have a third one between them.

The housing of a hip turns about an axis round which it looks the same, so that nothing is lost to the eye if it goes with
the trunk, or with the thigh. But the thigh tells: it turns about the hip's axis and about its own. So joints are taken
to be hinges. Where one that is fitted to the learned motion changes as much of what is seen as a body is worth, and two
hinges whose axes meet change little, there is a link between them, and the part nearest to where they meet is its.
A ball, or a spine that bends everywhere, is no pair of hinges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from wim_fast.posing.bodies import Judge, Moved, Union
from wim_fast.posing.body_structure import BodyStructure
from wim_fast.posing.joint_start import start_joint
from wim_fast.posing.mechanism import Joint, Kind, Mechanism, part_poses, stage_frames
from wim_fast.posing.mechanism_fit import fit_mechanism, over_the_film
from wim_fast.posing.rigid import inverse, mean_motion, moved
from wim_fast.posing.tree import rooted

LEFT = 0.25
"""Two hinges may leave so much of what one changes: a ball leaves more."""

LEAST_ANGLE = 30.0
"""Degrees between two axes. Nearly parallel ones meet anywhere, and are a hinge that slips."""

WORTH = 1.5
"""A link must save so many times what a body is worth: it is told by the errors of poses alone."""

SHOWN = 0.5
"""A part is the link's if it changes no more, as it moves with it, than such a share of what the link saves."""

REACH = 2.0
"""So many of its largest semi-axes from the joint, at most, is the middle of the part that is the link's."""


@dataclass(frozen=True)
class HiddenLink:
    """A link between two bodies. World frame and units.

    Attributes:
        part: all that is seen of it.
        between: a part of either body, those nearest to the joint; first of the body that `part` is of otherwise.
        poses: (T, 4, 4) of the part as the link moves it.
        joint: (T, 3) where the axes meet.
        saving: so much more of what is seen changes without it.
    """

    part: int
    between: tuple[int, int]
    poses: np.ndarray
    joint: np.ndarray
    saving: float


class _Pair(NamedTuple):
    """Two bodies and their joint (T, 3); `members` are their parts, `places` (n, 4, 4) where these are on them."""

    members: tuple[list[int], list[int]]
    places: tuple[np.ndarray, np.ndarray]
    motion: np.ndarray  # (T, 2, 4, 4)
    metric: np.ndarray  # (2, 6, 6)
    joint: np.ndarray

    def moved(self, motion: np.ndarray) -> Moved:
        """All their parts, as (T, 2, 4, 4) takes them along."""
        poses = [motion[:, [k]] @ place for k, place in enumerate(self.places)]
        return Moved([*self.members[0], *self.members[1]], np.concatenate(poses, axis=1))

    def fitted(self, kind: Kind, choice: int, some: Sequence[int]) -> tuple[Mechanism, float]:
        """The joint of a kind that is nearest to their motion in some frames, and how far off it is."""
        motion = self.motion[some]
        first, second = motion.swapaxes(0, 1)
        still, to_first = np.eye(4), inverse(first)
        start = start_joint(kind, to_first @ second, moved(to_first, self.joint[some]), still, choice)
        root = Joint("free", still, still, still, (first,))
        return fit_mechanism(Mechanism(rooted(np.array([[0, 1]]), 0), (root, start)), motion, self.metric)


def find_hidden_links(
    poses: np.ndarray,
    semi_axes: np.ndarray,
    bodies: BodyStructure,
    judge: Judge,
    some: Sequence[int],
    worth: float,
) -> list[HiddenLink]:
    """The links that hide in the joints of a tree, each with a part of its own.

    Args:
        poses: (T, P, 4, 4) part to world.
        semi_axes: (P, 3).
        judge: of parts in frames `some`.
        worth: a body more must save so much of what is seen.
    """
    pairs = list(_pairs(poses, bodies))
    together = np.empty_like(poses[some])
    for pair in pairs:
        parts, there = pair.moved(pair.motion[some])
        together[:, parts] = there
    if pairs:
        judge.take(judge.trials([Moved(list(range(poses.shape[1])), together)])[0])
    hinges = [part_poses(pair.fitted("revolute", 0, some)[0], len(some)) for pair in pairs]
    lost = [trial.cost for trial in judge.trials([p.moved(m) for p, m in zip(pairs, hinges, strict=True)])]
    found: list[HiddenLink] = []
    least = WORTH * worth
    for k in np.argsort(lost)[::-1].tolist():
        link = _link(pairs[k], lost[k], poses, semi_axes, found, judge, some) if lost[k] >= least else None
        if link is not None and link.saving >= least:
            found.append(link)
    return found


def _pairs(poses: np.ndarray, bodies: BodyStructure) -> Iterator[_Pair]:
    members = [np.flatnonzero(bodies.body_of_part == body).tolist() for body in range(bodies.count)]
    places = [_places(poses[:, parts], bodies.motion[:, [body]]) for body, parts in enumerate(members)]
    for (a, b), joint in zip(bodies.edges.tolist(), bodies.joints.swapaxes(0, 1), strict=True):
        own = (members[a], members[b]), (places[a], places[b])
        yield _Pair(*own, bodies.motion[:, [a, b]], bodies.metric[[a, b]], joint)


def _places(poses: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """(n, 4, 4) where parts in (T, n, 4, 4) are on what moves by (T, 1, 4, 4), on average."""
    return mean_motion(np.swapaxes(inverse(motion) @ poses, 0, 1))


def _link(
    pair: _Pair,
    lost: float,
    poses: np.ndarray,
    semi_axes: np.ndarray,
    others: Sequence[HiddenLink],
    judge: Judge,
    some: Sequence[int],
) -> HiddenLink | None:
    """The link between two bodies of which a hinge has `lost` so much of what is seen; `others` keep what they have."""
    fits = [pair.fitted("universal", choice, some) for choice in (0, 1)]
    mechanism = min(fits, key=lambda fit: fit[1])[0]
    saving = lost - judge.trials([pair.moved(part_poses(mechanism, len(some)))])[0].cost
    angle = np.degrees(np.arccos(np.clip(mechanism.joints[1].between[2, 2], -1.0, 1.0)))
    taken = {link.part for link in others}
    kept = {part for link in others for part in link.between}
    members = [[part for part in own if part not in taken] for own in pair.members]
    parts = [part for own in members if len(own) > 1 for part in own if part not in kept]
    if saving < (1 - LEFT) * lost or not LEAST_ANGLE <= angle <= 180.0 - LEAST_ANGLE or not parts:
        return None
    whole = over_the_film(mechanism, pair.motion, pair.metric, some)
    motion = stage_frames(whole, len(poses))[1][1]  # about the first axis, not yet about the second
    joint = motion[:, :3, 3]
    with_link = motion[:, None] @ _places(poses[:, parts], motion[:, None])
    changes = judge.trials([Moved([part], with_link[some, [k]][:, None]) for k, part in enumerate(parts)])
    away = np.linalg.norm(poses[:, :, :3, 3] - joint[:, None], axis=2).mean(axis=0)
    near = [
        (away[part], k)
        for k, (part, change) in enumerate(zip(parts, changes, strict=True))
        if change.cost <= SHOWN * saving and away[part] <= REACH * semi_axes[part].max()
    ]
    if not near:
        return None
    at = min(near)[1]
    members.sort(key=lambda own: parts[at] not in own)
    own, other = (min((p for p in parts_of if p != parts[at]), key=away.__getitem__) for parts_of in members)
    return HiddenLink(parts[at], (own, other), with_link[:, at], joint, saving)


def set_apart(steps: Sequence[Union], links: Sequence[HiddenLink], taken: int) -> list[Union]:
    """A `union_sequence` in which the links' parts are bodies of their own, until a union costs more than they save.

    taken: so many steps lead to the bodies between which the links are.
    """
    apart = {link.part for link in links}
    bodies = {part: {part} for step in steps for part in step.pair}
    pairs, done = [], 0  # any part of either body, and the cost
    for k, step in enumerate(steps):
        first, second = (bodies[part] - apart for part in step.pair)
        bodies[step.pair[0]] |= bodies.pop(step.pair[1])
        if first and second:
            pairs.append((min(first), min(second), step.cost))
            done += k < taken
    for link in sorted(links, key=lambda link: link.saving):
        while done < len(pairs) and pairs[done][2] <= link.saving:
            done += 1
        pairs.insert(done, (link.between[0], link.part, link.saving))
        done += 1
    return _named(pairs)


def _named(pairs: Sequence[tuple[int, int, float]]) -> list[Union]:
    """Unions of the bodies that two parts belong to, by the bodies' first parts."""
    first = {part: part for a, b, _ in pairs for part in (a, b)}
    steps = []
    for a, b, cost in pairs:
        kept, gone = sorted((first[a], first[b]))
        first |= {part: kept for part, body in first.items() if body == gone}
        steps.append(Union((kept, gone), cost))
    return steps
