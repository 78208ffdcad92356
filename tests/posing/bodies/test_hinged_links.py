"""A link that hardly shows how it turns goes where hinges to its neighbours say, unless that would be seen."""

from __future__ import annotations

import numpy as np
import pytest
from moving_parts import ShiftJudge, at, turned

from wim_fast.posing.bodies.hinged_links import hinged
from wim_fast.posing.bodies.structure import BodyStructure
from wim_fast.posing.ellipsoids import surface_metric
from wim_fast.posing.rigid import inverse

FRAMES = 40
TIME = np.linspace(0, 2 * np.pi, FRAMES)
DRIFT = turned((0.2, 0.3, 0.9), 0.3 * np.sin(TIME))
ROLL = 0.4 * np.sin(TIME)
PITCH = turned((0.0, 1.0, 0.0), 0.6 * np.sin(2 * TIME + 0.3))
PARALLEL = turned((1.0, 0.0, 0.0), 0.6 * np.sin(2 * TIME + 0.3))
OFFSETS = {"axes meet": (0.0, 0.0, 0.0), "axes pass by each other": (0.02, 0.0, 0.06)}
WORTH = 0.01


def rolled(share: float) -> np.ndarray:
    return DRIFT @ at(0.3, 0.0, -0.1) @ turned((1.0, 0.0, 0.0), share * ROLL)


def told(
    share: float, next_joint: np.ndarray, turn: np.ndarray, counts: float
) -> tuple[np.ndarray, np.ndarray]:
    """Poses (T, 3, 4, 4) of trunk, housing and thigh as they were learned, and as hinges tell.

    Args:
        share: the housing was learned to roll by so much of what it did.
        counts: how much of the housing is seen.
    """
    thigh = rolled(1.0) @ next_joint @ turn
    poses = np.stack([DRIFT, rolled(share), thigh @ at(0, 0, -0.2)], axis=1)
    joints = np.stack([rolled(1.0)[:, :3, 3], thigh[:, :3, 3]], axis=1)
    axes = np.array([[0.3, 0.1, 0.1], [0.06, 0.04, 0.05], [0.05, 0.05, 0.2]])
    metric = surface_metric(axes) * np.array([1.0, counts, 1.0])[:, None, None]
    bodies = BodyStructure(np.arange(3), np.array([[0, 1], [1, 2]]), joints, poses, metric)
    return poses, hinged(poses, bodies, ShiftJudge(poses, 100 * metric), range(FRAMES), WORTH)


def roll_of(poses: np.ndarray) -> np.ndarray:
    """(T,) by which angle the housing turned against the trunk since the first frame."""
    turn = inverse(poses[:, 0]) @ poses[:, 1]
    turn = turn @ inverse(turn[:1])
    return np.arctan2(turn[:, 2, 1], turn[:, 1, 1])


@pytest.mark.parametrize("offset", OFFSETS.values(), ids=OFFSETS.keys())
def test_a_housing_that_was_learned_to_stay(offset: tuple[float, float, float]) -> None:
    poses, after = told(0.3, at(*offset), PITCH, counts=0.02)
    np.testing.assert_array_equal(after[:, [0, 2]], poses[:, [0, 2]])
    before_error, error = (np.abs(roll_of(p) - (ROLL - ROLL[0])).max() for p in (poses, after))
    assert before_error > 0.25
    assert error < 0.08


def test_a_housing_that_is_seen_to_stay() -> None:
    poses, after = told(0.3, at(0, 0, 0), PITCH, counts=10.0)
    np.testing.assert_array_equal(after, poses)


@pytest.mark.parametrize("turn", [PITCH, PARALLEL], ids=["across", "parallel axes"])
def test_a_link_that_is_right_stays(turn: np.ndarray) -> None:
    poses, after = told(1.0, at(0.0, 0.0, -0.1), turn, counts=1.0)
    np.testing.assert_allclose(after, poses, atol=2e-3)
