"""How bodies move in the end: a stray one that was united with another goes where that goes."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
from moving_parts import ShiftJudge, at, turned

from wim_fast.posing.bodies.sequence import find_bodies
from wim_fast.posing.bodies.structure import BodyStructure
from wim_fast.posing.bodies.tracking import SurfaceTracker
from wim_fast.posing.ellipsoids import surface_metric
from wim_fast.posing.rigid import inverse

FRAMES = 40
TIME = np.linspace(0, 2 * np.pi, FRAMES)
SEMI_AXES = np.array(
    [[0.3, 0.1, 0.1], [0.2, 0.06, 0.06], [0.05, 0.04, 0.06], [0.1, 0.1, 0.1], [0.1, 0.1, 0.1]]
)


class SomeLost:
    """In place of a `SurfaceTracker`: nothing moves, and the body of a part is lost to that of the first."""

    def tracked(self, poses: np.ndarray, bodies: BodyStructure) -> np.ndarray:
        return poses

    def lost(self, bodies: BodyStructure) -> tuple[int, int] | None:
        return (2, 0) if bodies.count == 3 else None


def test_a_lost_body_moves_as_what_takes_its_surface_along() -> None:
    trunk = turned((0.0, 0.0, 1.0), 0.3 * np.sin(TIME))
    leg = trunk @ at(0.3) @ turned((0.0, 1.0, 0.0), np.sin(2 * TIME)) @ at(0.2)
    stray = trunk @ at(-0.3) @ turned((1.0, 0.0, 0.0), 0.8 * np.sin(3 * TIME))
    poses = np.stack([trunk, leg, stray, trunk @ at(0.1), trunk @ at(-0.1)], axis=1)
    judge = ShiftJudge(poses, 100 * surface_metric(SEMI_AXES))
    sequence = find_bodies(poses, SEMI_AXES, judge, tracker=cast(SurfaceTracker, SomeLost()))
    bodies = sequence.at()
    assert bodies.body_of_part.tolist() == [0, 1, 0, 0, 0]
    moved = inverse(trunk) @ bodies.motion[:, 0]
    np.testing.assert_allclose(moved, np.tile(moved[0], (FRAMES, 1, 1)), atol=1e-4)
    as_learned = replace(sequence, mended=None).at()
    assert np.abs(inverse(trunk) @ as_learned.motion[:, 0] - moved).max() > 0.01
    assert bodies.learned is not None
    np.testing.assert_array_equal(bodies.learned, as_learned.motion)
    np.testing.assert_array_equal(bodies.edges, as_learned.edges)
