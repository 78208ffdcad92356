"""A part across a knee moves halfway: it is no link of its own. A link that turns by itself is."""

from __future__ import annotations

import numpy as np
import pytest
from moving_parts import at, bodies_of, turned

FRAMES = 40
TIME = np.linspace(0, 2 * np.pi, FRAMES)
KNEE = np.sin(TIME)
SEMI_AXES = np.tile([0.16, 0.05, 0.05], (5, 1))


def leg(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Poses (T, 5, 4, 4): two parts of a thigh, what is between, two of a shank; the turns are before and after it."""
    drift = turned((0.2, 0.3, 0.9), 0.3 * np.sin(TIME))
    between = drift @ upper
    shank = between @ at(0.12) @ lower
    return np.stack(
        [drift @ at(-0.48), drift @ at(-0.24), between, shank @ at(0.24), shank @ at(0.48)],
        axis=1,
    )


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_what_follows_the_knee(share: float) -> None:
    poses = leg(turned((0, 1, 0), share * KNEE), turned((0, 1, 0), (1 - share) * KNEE))
    sequence = bodies_of(poses, SEMI_AXES)
    bodies = sequence.at()
    assert bodies.body_of_part.tolist() in ([0, 0, 0, 1, 1], [0, 0, 1, 1, 1])
    assert [len(steps.pair) for steps in sequence.steps] == [2] * 4
    assert sequence.at(3).body_of_part.tolist() in ([0, 0, 1, 2, 2], [0, 0, 0, 1, 2], [0, 1, 1, 2, 2])


@pytest.mark.parametrize(
    ("upper", "lower"),
    [
        (turned((0, 1, 0), KNEE), turned((0, 1, 0), 0.5 * np.sin(3 * TIME + 0.4))),
        (turned((0, 1, 0), 0.5 * np.sin(2 * TIME)), turned((0, 0, 1), 0.5 * KNEE)),
    ],
    ids=["the same axis", "another axis"],
)
def test_a_link_between_two_hinges(upper: np.ndarray, lower: np.ndarray) -> None:
    bodies = bodies_of(leg(upper, lower), SEMI_AXES).at()
    assert bodies.body_of_part.tolist() == [0, 0, 1, 2, 2]
    assert {frozenset(edge) for edge in bodies.edges.tolist()} == {frozenset((0, 1)), frozenset((1, 2))}
