"""The rigid bodies of learned motion, how they hang together, and what fewer or more of them would cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wim_fast.posing.bodies import Union, body_criterion, union_sequence, united
from wim_fast.posing.body_tree import body_tree
from wim_fast.posing.ellipsoids import part_contacts, surface_metric

NOISE = 0.5
"""By how many pixels at the object poses are off, as far as the sharpness of the learned surface follows the pixels.

On a robot's arm the true poses of its links differ from learned ones by 2 to 8 mm, a sixth to two thirds of a pixel."""

FRAMES = 60
"""From so many frames, spread over the film, structure is learned; poses then from every frame."""

LEAST_EXPOSED = 1e-3
"""Of the mean part's: so much surface counts of a part that others hide. It goes with what it moves with."""


@dataclass(frozen=True)
class BodyStructure:
    """B bodies of P parts in T frames. World frame and units.

    Attributes:
        body_of_part: (P,) 0..B-1, in the order of the bodies' first parts.
        edges: (B-1, 2) bodies that a joint joins, the tightest joint first.
        joints: (T, B-1, 3).
        motion: (T, B, 4, 4) body to world.
        steps: the whole sequence of unions of parts, down to one body.
        criterion: (P,) after 0, 1, ... of them; the least is proposed.
        noise: by which a step's cost is judged, world units.
    """

    body_of_part: np.ndarray
    edges: np.ndarray
    joints: np.ndarray
    motion: np.ndarray
    steps: list[Union]
    criterion: np.ndarray
    noise: float

    @property
    def count(self) -> int:
        return len(self.edges) + 1

    @property
    def proposed(self) -> int:
        """The number of bodies that the criterion prefers."""
        return len(self.criterion) - int(self.criterion.argmin())

    def parts(self) -> list[list[int]]:
        """Of each body."""
        return [np.flatnonzero(self.body_of_part == body).tolist() for body in range(self.count)]


def pose_noise(inv_s: float, inv_s_pixels: float) -> float:
    """By how far poses are off, see `NOISE`; world units.

    Args:
        inv_s: sharpness of the learned surface, 1 / world units.
        inv_s_pixels: the same in 1 / pixels, as the settings have it.
    """
    return NOISE * inv_s_pixels / inv_s


def some_frames(count: int) -> np.ndarray:
    """At most `FRAMES` positions of so many."""
    return np.unique(np.linspace(0, count - 1, min(count, FRAMES)).round().astype(int))


def find_bodies(
    poses: np.ndarray, semi_axes: np.ndarray, noise: float, count: int | None = None
) -> BodyStructure:
    """The bodies of parts that moved.

    Args:
        poses: (T, P, 4, 4) part to world.
        semi_axes: (P, 3).
        noise: see `body_criterion`.
        count: so many bodies, 1 to P; None: as the criterion proposes.
    """
    contacts = part_contacts(poses, semi_axes)
    seen = np.maximum(contacts.exposed / contacts.exposed.mean(), LEAST_EXPOSED)
    metric = surface_metric(semi_axes) * seen[:, None, None]
    some = some_frames(len(poses))
    steps = union_sequence(poses[some], metric, contacts.touching)
    criterion = body_criterion(steps, len(some), noise)
    taken = int(criterion.argmin()) if count is None else len(semi_axes) - count
    bodies = united(poses, metric, steps[:taken])
    edges, joints = body_tree(poses, contacts, bodies)
    return BodyStructure(bodies.body_of_part, edges, joints, bodies.motion, steps, criterion, noise)
