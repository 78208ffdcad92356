"""Two bodies, and what joint between them would explain how they move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wim_fast.posing.bodies.structure import BodyStructure
from wim_fast.posing.bodies.unions import Judge, Moved
from wim_fast.posing.joints.fit import fit_mechanism, over_the_film
from wim_fast.posing.joints.mechanism import Kind, Mechanism, free, stage_frames
from wim_fast.posing.joints.start import start_joint
from wim_fast.posing.rigid import carried, inverse, mean_places, moved
from wim_fast.posing.tree import rooted


class BodyPair(NamedTuple):
    """Two bodies of n and m parts that may be joined, in T frames. World frame and units.

    Attributes:
        parts: of either body.
        places: (n, 4, 4) and (m, 4, 4) where these are on it, on average.
        motion: (T, 2, 4, 4) of the bodies.
        metric: (2, 6, 6) see `unions.Bodies`.
        joint: (T, 3) about where it may be.
    """

    parts: tuple[list[int], list[int]]
    places: tuple[np.ndarray, np.ndarray]
    motion: np.ndarray
    metric: np.ndarray
    joint: np.ndarray

    @classmethod
    def of(
        cls, poses: np.ndarray, bodies: BodyStructure, first: int, second: int, joint: np.ndarray
    ) -> BodyPair:
        """Two of the bodies; poses (T, P, 4, 4) part to world."""
        parts, pair = bodies.parts(), [first, second]
        places = [mean_places(bodies.motion[:, [body]], poses[:, parts[body]]) for body in pair]
        own = (parts[first], parts[second]), (places[0], places[1])
        return cls(*own, bodies.motion[:, pair], bodies.metric[pair], joint)

    def moved(self, motion: np.ndarray) -> Moved:
        """All their parts, as (T, 2, 4, 4) takes them along."""
        poses = [motion[:, [k]] @ place for k, place in enumerate(self.places)]
        return Moved([*self.parts[0], *self.parts[1]], np.concatenate(poses, axis=1))

    def fitted(self, kind: Kind, choice: int, some: Sequence[int]) -> tuple[Mechanism, float]:
        """The joint of a kind that is nearest to their motion in some frames, and how far off it is.

        choice: see `joints.start.start_joint`.
        """
        motion = self.motion[some]
        first, second = motion.swapaxes(0, 1)
        to_first = inverse(first)
        start = start_joint(kind, to_first @ second, moved(to_first, self.joint[some]), np.eye(4), choice)
        tree = rooted(np.array([[0, 1]]), 0)
        return fit_mechanism(Mechanism(tree, (free(first), start)), motion, self.metric)

    def universal(self, some: Sequence[int]) -> Mechanism:
        """Two hinges whose axes meet, as `fitted`: that which turns about the larger principal axis first, or the other."""
        return min((self.fitted("universal", choice, some) for choice in (0, 1)), key=lambda fit: fit[1])[0]

    def link_between(self, universal: Mechanism, some: Sequence[int]) -> np.ndarray:
        """What turns about the first of two hinges, and not yet about the second: (T, 4, 4) in all frames."""
        whole = over_the_film(universal, self.motion, self.metric, some)
        return stage_frames(whole, len(self.motion))[1][1]


def take_bodies(judge: Judge, poses: np.ndarray, bodies: BodyStructure, some: Sequence[int]) -> None:
    """From now on the judge, of frames `some`, has all parts move with their bodies; poses (T, P, 4, 4)."""
    together = np.empty_like(poses[some])
    for body, parts in enumerate(bodies.parts()):
        motion = bodies.motion[:, [body]]
        together[:, parts] = carried(motion, poses[:, parts])[some]
    judge.take(judge.trials([Moved(list(range(poses.shape[1])), together)])[0])
