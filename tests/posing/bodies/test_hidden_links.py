"""A hip whose housing was learned to turn with the thigh: found, where it is, by what the thigh does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from moving_parts import at, bodies_of, turned

from wim_fast.posing.bodies.sequence import BodySequence
from wim_fast.posing.rigid import inverse, moved

FRAMES = 40
TIME = np.linspace(0, 2 * np.pi, FRAMES)
JOINT = np.array([0.3, 0.0, -0.1])  # on the trunk
HOUSING = 1  # which of the parts
SEMI_AXES = np.array(
    [[0.16, 0.06, 0.06], [0.05, 0.05, 0.05], [0.16, 0.06, 0.06], [0.04, 0.04, 0.15], [0.05, 0.04, 0.15]]
)


ROLL, PITCH, YAW = (
    turned(axis, size * np.sin(speed * TIME + phase))
    for axis, size, speed, phase in (
        ((1.0, 0.0, 0.0), 0.4, 1, 0.0),
        ((0.0, 1.0, 0.0), 0.6, 2, 0.3),
        ((0.0, 0.0, 1.0), 0.5, 3, 0.7),
    )
)
DRIFT = turned((0.2, 0.3, 0.9), 0.3 * np.sin(TIME))


def leg(*turns: np.ndarray) -> np.ndarray:
    """Poses (T, 5, 4, 4): the housing and two parts of a trunk and of the thigh that the turns lead to."""
    hip = DRIFT @ at(*JOINT)
    thigh = hip
    for turn in turns:
        thigh = thigh @ turn
    places = (
        DRIFT @ at(-0.15, 0, 0),
        thigh,
        DRIFT @ at(0.15, 0, 0),
        thigh @ at(0, 0, -0.13),
        thigh @ at(0, 0, -0.4),
    )
    return np.stack(places, axis=1)


def found(*turns: np.ndarray) -> BodySequence:
    return bodies_of(leg(*turns), SEMI_AXES)


def test_a_hip_between_trunk_and_thigh() -> None:
    sequence = found(ROLL, PITCH)
    bodies = sequence.at()
    assert bodies.body_of_part.tolist() == [0, 1, 0, 2, 2]
    assert {frozenset(edge) for edge in bodies.edges.tolist()} == {frozenset((0, 1)), frozenset((1, 2))}
    assert bodies.hidden == {1: (0, 2)}
    true = DRIFT @ at(*JOINT)
    for joint in bodies.joints.swapaxes(0, 1):
        np.testing.assert_allclose(joint, true[:, :3, 3], atol=2e-3)
    learned = inverse(DRIFT) @ bodies.motion[:, 1]
    rolled = at(*JOINT) @ ROLL @ at(*-JOINT)
    np.testing.assert_allclose(learned @ inverse(learned[:1]) @ rolled[:1], rolled, atol=0.02)


def test_its_part_is_united_again_where_fewer_bodies_are_asked_for() -> None:
    sequence = found(ROLL, PITCH)
    (link,) = sequence.links
    assert (link.part, sequence.proposed) == (HOUSING, 3)
    assert [step.pair for step in sequence.steps[-2:]] == [(1, 3), (0, 1)]
    assert sequence.steps[-2].cost == link.saving
    assert sequence.at(2).body_of_part.tolist() == [0, 1, 0, 1, 1]
    assert not sequence.at(2).hidden
    for count in range(1, 6):
        bodies = sequence.at(count)
        assert (bodies.count, len(bodies.edges), bodies.joints.shape) == (
            count,
            count - 1,
            (FRAMES, count - 1, 3),
        )
        assert sorted(part for parts in bodies.parts() for part in parts) == list(range(5))
        of_link = bodies.body_of_part[HOUSING]
        assert count < 3 or sum(of_link in edge for edge in bodies.edges.tolist()) == 2


@pytest.mark.parametrize(
    "turns",
    [(PITCH,), (ROLL, PITCH, YAW), (PITCH, at(0.05, 0, 0), turned((0.0, 1.0, 0.1), 0.5 * np.sin(3 * TIME)))],
    ids=["hinge", "ball", "parallel axes"],
)
def test_no_link(turns: tuple[np.ndarray, ...]) -> None:
    sequence = found(*turns)
    assert not sequence.links
    assert sequence.at().body_of_part.tolist() == [0, 1, 0, 1, 1]


def test_no_link_without_a_part_at_the_joint() -> None:
    """Nor where it would be all that there is of a body."""
    poses, rest = leg(ROLL, PITCH), [0, 2, 4]
    far = bodies_of(poses[:, rest], SEMI_AXES[rest])
    assert far.at().body_of_part.tolist() == [0, 0, 1]
    assert not far.links


def test_joints_of_a_link_follow_it() -> None:
    sequence = found(ROLL, PITCH)
    (link,) = sequence.links
    on_trunk = moved(inverse(DRIFT), link.joint)
    np.testing.assert_allclose(on_trunk, np.tile(JOINT, (FRAMES, 1)), atol=2e-3)
    again = replace(sequence, links=(replace(link, between=(3, 4)),))
    bodies = again.at()
    assert (bodies.count, bodies.hidden) == (3, {})  # its ends are one body: it hangs on that
