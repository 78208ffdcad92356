"""A part that is the wrong way round in some frames gives itself away where these begin and end."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from wim_fast.evaluation.abrupt_turns import AbruptTurns, abrupt_turns
from wim_fast.runs.evaluation_table import turn_notes

IDS = tuple(range(100, 140))
NONE = AbruptTurns((), ())


def swinging(parts: int = 3) -> np.ndarray:
    """(40, parts, 3, 3): to and fro about z by 60 degrees, 9 degrees a frame at most."""
    angle = 60 * np.sin(np.linspace(0, 2 * np.pi, len(IDS)))
    turned = Rotation.from_euler("z", angle[:, None], degrees=True).as_matrix()
    return np.repeat(turned[:, None], parts, axis=1)


def turned_over(rotation: np.ndarray, part: int, frames: slice, degrees: float = 180) -> np.ndarray:
    """The same with a part turned about its own x in some frames."""
    rotation = rotation.copy()
    rotation[frames, part] = rotation[frames, part] @ Rotation.from_euler("x", degrees, True).as_matrix()
    return rotation


def test_a_motion_without_any_is_quiet():
    assert abrupt_turns(swinging(), IDS) == NONE
    assert abrupt_turns(np.tile(np.eye(3), (40, 3, 1, 1)), IDS) == NONE


def test_a_part_that_is_turned_over_for_a_while_is_found():
    found = abrupt_turns(turned_over(swinging(), 1, slice(14, 30)), IDS)
    assert found.parts == (1,)
    assert [abs(frame - wanted) <= 1 for frame, wanted in zip(found.frames, (114, 130), strict=True)]


def test_one_that_stays_so_until_the_end_is_found_too():
    rotation = turned_over(turned_over(swinging(), 2, slice(20, 40)), 0, slice(20, 40), 90)
    found = abrupt_turns(rotation, IDS)
    assert found.parts == (0, 2)
    assert len(found.frames) == 1


@pytest.mark.parametrize("degrees", [2, 5])
def test_jitter_is_not(degrees: float):
    assert abrupt_turns(turned_over(swinging(), 1, slice(14, 30), degrees), IDS) == NONE


@pytest.mark.parametrize("frames", [1, 2])
def test_too_few_frames_tell_nothing(frames: int):
    assert abrupt_turns(swinging()[:frames], IDS[:frames]) == NONE


def test_they_are_told():
    assert turn_notes(None) == turn_notes(NONE) == []
    (one,) = turn_notes(AbruptTurns((4,), (114,)))
    assert "part 4 turns much faster than anything else about frame 114;" in one
    (several,) = turn_notes(AbruptTurns((0, 5, 9), (113, 131)))
    assert "parts 0, 5 and 9 turn much faster than anything else about frames 113 and 131;" in several
    (many,) = turn_notes(AbruptTurns(tuple(range(20)), (113,)))
    assert "parts 0, 1, 2, 3, 4, 5, 6, 7 and 12 more turn" in many
