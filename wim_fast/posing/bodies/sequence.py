"""The rigid bodies of learned motion, how they hang together, and what fewer or more of them would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.motion import Motion, semi_axes_of
from wim_fast.ops.backend import Backend
from wim_fast.posing.bodies.hidden_links import HiddenLink, find_hidden_links
from wim_fast.posing.bodies.hinged_links import hinged
from wim_fast.posing.bodies.seams import Seams, find_seams
from wim_fast.posing.bodies.seen_judge import SeenJudge
from wim_fast.posing.bodies.straddlers import find_straddler
from wim_fast.posing.bodies.structure import BodyStructure
from wim_fast.posing.bodies.tracking import SurfaceTracker
from wim_fast.posing.bodies.tree import body_joints, body_tree
from wim_fast.posing.bodies.union_order import brought_forward, set_apart
from wim_fast.posing.bodies.unions import Bodies, Judge, Union, union_sequence, united
from wim_fast.posing.ellipsoids import Contacts, part_contacts, surface_metric
from wim_fast.posing.rigid import carried, rigid
from wim_fast.recordings.selection import evenly

SEEN = 0.007
"""So much of what rays see changes, see `SeenJudge`, where bodies stop that turn against each other: more or less."""

LEAST_SEEN = 1e-4
"""Less is no body's motion, however little others are off."""

FRAMES = 60
"""From so many frames, spread over the film, structure is learned; poses then from every frame."""

LEAST_EXPOSED = 1e-3
"""Of a part that others hide so much counts, as a share of one with the mean surface. It goes with what it moves with."""


@dataclass(frozen=True)
class BodySequence:
    """Bodies of P parts by their number, from P to 1.

    Attributes:
        poses: (T, P, 4, 4) of the parts, part to world: as learned, but for how their bodies were tracked; those of
            links as the links move them.
        metric: (P, 6, 6).
        contacts: between the parts.
        steps: P - 1 unions.
        links: that hide in joints, and are bodies until their part is united with others.
        mended: (T, P, 4, 4) as `poses`, in which parts move as what carries their surface does, and links as hinges
            tell; None: as `poses`. How bodies hang together is told by `poses`, how they move by these.
    """

    poses: np.ndarray
    metric: np.ndarray
    contacts: Contacts
    steps: list[Union]
    links: tuple[HiddenLink, ...] = ()
    mended: np.ndarray | None = None

    @cached_property
    def worth(self) -> float:
        """A body more must save so much of what is seen: between what unions within bodies cost and others do.

        Half of the unions are within bodies, or more, so that their median tells how far learned poses are off. The
        geometric mean with `SEEN`. Chosen on 13 robots with 40 parts, of which it finds 9 within one body; 8 without the
        median.
        """
        costs = [step.cost for step in self.steps]
        return max(float(np.sqrt(SEEN * max(np.median(costs), 0.0))) if costs else 0.0, LEAST_SEEN)

    @cached_property
    def criterion(self) -> np.ndarray:
        """(P,) after 0, 1, ... of the steps: bodies that are left, and those that would be worth as much as was lost."""
        lost = np.concatenate([[0.0], np.cumsum([step.cost for step in self.steps])])
        return np.arange(len(lost), 0, -1) + lost / self.worth

    @property
    def proposed(self) -> int:
        """The number of bodies that the criterion prefers."""
        return len(self.criterion) - int(self.criterion.argmin())

    def at(self, count: int | None = None) -> BodyStructure:
        """So many bodies, 1 to P; None: as many as are proposed. Found once for each number."""
        count = self.proposed if count is None else count
        if count not in self._found:
            self._found[count] = self._structure(self.steps[: len(self.metric) - count])
        return self._found[count]

    def _structure(self, steps: list[Union]) -> BodyStructure:
        """Their tree (`tree.body_tree`); a link that is a body is put into the joint that it was found in."""
        mended = self.poses if self.mended is None else self.mended
        bodies, moving = (united(poses, self.metric, steps) for poses in (self.poses, mended))
        of_part = bodies.body_of_part
        size = np.bincount(of_part)
        links = [link for link in self.links if size[of_part[link.part]] == 1]
        without = of_part.copy()  # as if the links' parts were of the bodies that they were taken from
        for link in links:
            without[link.part] = of_part[link.between[0]]
        others, number = np.unique(without, return_inverse=True)
        rest, rest_moving = (Bodies(number, b.motion[:, others], b.metric[others]) for b in (bodies, moving))
        edges = body_tree(self.poses, self.contacts, rest)
        joints, edges = body_joints(mended, self.contacts, rest_moving, edges), others[edges]
        for link in links:
            edges, joints = _with_link(edges, joints, link, of_part)
        ends = {int(of_part[link.part]): sorted(of_part[list(link.between)].tolist()) for link in links}
        hidden = {body: (first, second) for body, (first, second) in ends.items() if first < second}
        return BodyStructure(of_part, edges, joints, moving.motion, moving.metric, hidden, bodies.motion)

    @cached_property
    def _found(self) -> dict[int, BodyStructure]:
        return {}


def _with_link(
    edges: np.ndarray, joints: np.ndarray, link: HiddenLink, body_of_part: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A tree in which a link is put between two bodies that hang on each other, or on the one if they do not."""
    first, second, own = body_of_part[[*link.between, link.part]].tolist()
    here = np.flatnonzero((np.sort(edges, axis=1) == sorted((first, second))).all(axis=1))
    at, ends = (int(here[0]), (first, second)) if len(here) else (len(edges), (first,))
    new = np.array([sorted((own, end)) for end in ends])
    joint = np.repeat(link.joint[:, None], len(ends), axis=1)
    return (
        np.concatenate([edges[:at], new, edges[at + 1 :]]),
        np.concatenate([joints[:, :at], joint, joints[:, at + 1 :]], axis=1),
    )


def pose_noise(inv_s: float, inv_s_pixels: float, pixels: float) -> float:
    """By how far poses are off that are off by so many `pixels`; world units.

    Args:
        inv_s: sharpness of the learned surface, 1 / world units.
        inv_s_pixels: the same in 1 / pixels, as the settings have it.
    """
    return pixels * inv_s_pixels / inv_s


def some_frames(count: int) -> list[int]:
    """At most `FRAMES` positions of so many."""
    return evenly(range(count), FRAMES)


def bodies_of_model(model: ArticulatedModel, motion: Motion, inv_s: float, backend: Backend) -> BodySequence:
    """The bodies of a trained model in the frames of its motion. `inv_s`: sharpness of its surface, 1 / world units."""
    poses = rigid(motion.rotation, motion.translation)
    seams = find_seams(model, motion, backend)
    judge = SeenJudge(model, poses[some_frames(len(poses))], inv_s, backend)
    tracker = SurfaceTracker(model, motion, inv_s, backend)
    return find_bodies(poses, semi_axes_of(model), judge, seams, tracker)


def find_bodies(
    poses: np.ndarray,
    semi_axes: np.ndarray,
    judge: Judge,
    seams: Seams | None = None,
    tracker: SurfaceTracker | None = None,
) -> BodySequence:
    """The bodies of parts that moved.

    Args:
        poses: (T, P, 4, 4) part to world.
        semi_axes: (P, 3).
        judge: of parts in `some_frames`.
        seams: where the bodies' joints may be; None: where ellipsoids are near each other.
        tracker: of the bodies' surface; None: bodies move as their parts do.
    """
    contacts = part_contacts(poses, semi_axes)
    seen = np.clip(contacts.exposed / contacts.exposed.mean(), LEAST_EXPOSED, 1.0)
    metric, some = surface_metric(semi_axes) * seen[:, None, None], some_frames(len(poses))
    steps = union_sequence(poses[some], metric, contacts.touching, judge)
    sequence = BodySequence(poses, metric, seams.instead(contacts) if seams else contacts, steps)
    sequence = _without_straddlers(sequence, judge)
    taken: list[_Taken] = []
    if tracker is not None:
        sequence = replace(sequence, poses=tracker.tracked(poses, sequence.at()))
        sequence, taken = _without_lost(sequence, tracker)
    return _mended(_with_hidden_links(sequence, semi_axes, judge), taken, judge)


class _Taken(NamedTuple):
    parts: list[int]
    poses: np.ndarray  # (T, n, 4, 4) as the body moves that took them along


def _without_straddlers(sequence: BodySequence, judge: Judge) -> BodySequence:
    """The sequence with what straddles a joint united early."""
    poses, some = sequence.poses, some_frames(len(sequence.poses))
    for _ in sequence.metric:
        found = find_straddler(poses, sequence.at(), judge, some, sequence.worth)
        if found is None:
            break
        sequence = _united_early(sequence, found.parts, found.cost)
    return sequence


def _without_lost(sequence: BodySequence, tracker: SurfaceTracker) -> tuple[BodySequence, list[_Taken]]:
    """The sequence with bodies of which no surface is left united early, and how their parts are taken along."""
    taken = []
    for _ in sequence.metric:
        bodies = sequence.at()
        pair = tracker.lost(bodies)
        if pair is None:
            break
        lost, taker = bodies.body_of_part[[*pair]]
        own, motion = bodies.parts()[lost], bodies.motion[:, [taker]]
        taken.append(_Taken(own, carried(motion, sequence.poses[:, own])))
        sequence = _united_early(sequence, pair, 0.0)
    return sequence, taken


def _united_early(sequence: BodySequence, parts: tuple[int, int], cost: float) -> BodySequence:
    """The sequence with two of the bodies that it proposes united; `parts`: one of either."""
    taken = len(sequence.metric) - sequence.proposed
    return replace(sequence, steps=brought_forward(sequence.steps, parts, cost, taken=taken))


def _mended(sequence: BodySequence, taken: Sequence[_Taken], judge: Judge) -> BodySequence:
    """The sequence with `mended` poses."""
    poses, some = sequence.poses.copy(), some_frames(len(sequence.poses))
    for parts, along in taken:
        poses[:, parts] = along
    poses = _with_poses(poses, sequence.links)
    sequence = replace(sequence, mended=poses)
    return replace(sequence, mended=hinged(poses, sequence.at(), judge, some, sequence.worth))


def _with_hidden_links(sequence: BodySequence, semi_axes: np.ndarray, judge: Judge) -> BodySequence:
    """The sequence with the links between the bodies that it proposes."""
    bodies, some = sequence.at(), some_frames(len(sequence.poses))
    links = find_hidden_links(sequence.poses, semi_axes, bodies, judge, some, sequence.worth)
    poses = _with_poses(sequence.poses, links)
    alone = [(link.part, link.between[0], link.saving) for link in links]
    steps = set_apart(sequence.steps, alone, len(semi_axes) - bodies.count)
    return replace(sequence, poses=poses, steps=steps, links=tuple(links))


def _with_poses(poses: np.ndarray, links: Sequence[HiddenLink]) -> np.ndarray:
    """The poses (T, P, 4, 4), those of links as the links have them."""
    poses = poses.copy()
    for link in links:
        poses[:, link.part] = link.poses
    return poses
