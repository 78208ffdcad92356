"""The rigid bodies of learned motion, how they hang together, and what fewer or more of them would cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.motion import Motion, semi_axes_of
from wim_fast.ops.backend import Backend
from wim_fast.posing.bodies import Judge, Union, union_sequence, united
from wim_fast.posing.body_tree import body_tree
from wim_fast.posing.ellipsoids import Contacts, part_contacts, surface_metric
from wim_fast.posing.rigid import rigid
from wim_fast.posing.seams import Seams, find_seams
from wim_fast.posing.seen_judge import SeenJudge
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
class BodyStructure:
    """B bodies of P parts in T frames. World frame and units.

    Attributes:
        body_of_part: (P,) 0..B-1, in the order of the bodies' first parts.
        edges: (B-1, 2) bodies that a joint joins, the tightest joint first.
        joints: (T, B-1, 3).
        motion: (T, B, 4, 4) body to world.
        metric: (B, 6, 6) see `bodies.Bodies`.
    """

    body_of_part: np.ndarray
    edges: np.ndarray
    joints: np.ndarray
    motion: np.ndarray
    metric: np.ndarray

    @property
    def count(self) -> int:
        return len(self.edges) + 1

    def parts(self) -> list[list[int]]:
        """Of each body."""
        return [np.flatnonzero(self.body_of_part == body).tolist() for body in range(self.count)]

    def arrays(self, scale: float) -> dict[str, np.ndarray]:
        """What files hold of it: body_of_part (P,), body_edges (B-1, 2) and body_joint_position (T, B-1, 3).

        scale: units of the file per world unit.
        """
        return {
            "body_of_part": self.body_of_part,
            "body_edges": self.edges,
            "body_joint_position": (self.joints * scale).astype(np.float32),
        }


@dataclass(frozen=True)
class BodySequence:
    """Bodies of P parts by their number, from P to 1.

    Attributes:
        poses: (T, P, 4, 4) of the parts, part to world.
        metric: (P, 6, 6).
        contacts: between the parts.
        steps: P - 1 unions.
    """

    poses: np.ndarray
    metric: np.ndarray
    contacts: Contacts
    steps: list[Union]

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
            bodies = united(self.poses, self.metric, self.steps[: len(self.metric) - count])
            tree = body_tree(self.poses, self.contacts, bodies)
            self._found[count] = BodyStructure(bodies.body_of_part, *tree, bodies.motion, bodies.metric)
        return self._found[count]

    @cached_property
    def _found(self) -> dict[int, BodyStructure]:
        return {}


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
    return find_bodies(poses, semi_axes_of(model), judge, seams)


def find_bodies(
    poses: np.ndarray, semi_axes: np.ndarray, judge: Judge, seams: Seams | None = None
) -> BodySequence:
    """The bodies of parts that moved.

    Args:
        poses: (T, P, 4, 4) part to world.
        semi_axes: (P, 3).
        judge: of parts in `some_frames`.
        seams: where the bodies' joints may be; None: where ellipsoids are near each other.
    """
    contacts = part_contacts(poses, semi_axes)
    seen = np.clip(contacts.exposed / contacts.exposed.mean(), LEAST_EXPOSED, 1.0)
    metric = surface_metric(semi_axes) * seen[:, None, None]
    steps = union_sequence(poses[some_frames(len(poses))], metric, contacts.touching, judge)
    return BodySequence(poses, metric, seams.instead(contacts) if seams else contacts, steps)
