"""Cameras out of step, found by the hull that the others carve."""

import numpy as np
import pytest
from arm_scene import arm_scene
from tiny_scene import ring, write_scene

from wim_fast.recordings.masks import UNRELIABLE
from wim_fast.scene.lateness import late_frames
from wim_fast.scene.load import load_scene


@pytest.fixture(scope="module")
def scene():
    return arm_scene(size=48, frames=24, oversampling=1)


def test_cameras_in_step_stay_so(scene):
    assert late_frames(scene).tolist() == [0] * 6


def test_a_hull_that_is_too_large_makes_no_camera_late(tmp_path):
    """From one side an ellipsoid on its way has a fat hull, which fits the masks of other frames better."""
    write_scene(tmp_path / "tiny", frames=14, eyes=ring(6), width=24, solid="ellipsoid")
    assert late_frames(load_scene(tmp_path / "tiny", cameras=[0, 1, 2, 3], frames="0:10")).tolist() == [0] * 4


@pytest.mark.parametrize("lag", [2, -3])
def test_a_late_camera_is_found(scene, lag):
    """A picture of frame f shows what the others show at f + lag."""
    late = np.zeros(6, int)
    late[2] = lag
    assert late_frames(scene.in_step(-late)).tolist() == late.tolist()


def test_two_cameras_cannot_tell(scene):
    assert late_frames(scene.select([0, 1])).tolist() == [0, 0]


def test_in_step(scene):
    late = np.array([0, 2, -3, 0, 0, 0])
    moved = scene.in_step(late)
    np.testing.assert_array_equal(moved.rgba[0], scene.rgba[0])
    np.testing.assert_array_equal(moved.rgba[1, 2:], scene.rgba[1, :-2])
    np.testing.assert_array_equal(moved.mask[2, :-3], scene.mask[2, 3:])
    assert (moved.mask[1, :2] == UNRELIABLE).all()
    assert (moved.mask[2, -3:] == UNRELIABLE).all()
    assert not moved.sees_object[1, :2].any()
    assert scene.in_step(np.zeros(6, int)) is scene
