"""Where the world is put when film is as it is: cameras rolled, lenses bent so much that pictures' edges are unknown."""

import json

import numpy as np
import pytest
from filmed_scene import Film, write_easymocap
from tiny_scene import ring, trace, view_matrix

from wim_fast.cli import main
from wim_fast.importing.placement import BY_CAMERAS, BY_OBJECT, GIVEN, LEVEL, place
from wim_fast.importing.upright import FARTHEST, upright_axis
from wim_fast.recordings.cameras import Cameras, pixel_rays, up_axis

TALL, PLUMP, LYING = (0.15, 0.15, 0.6), (0.3, 0.3, 0.3), (0.6, 0.15, 0.15)
ROLLS = (13.0, -2.0, -2.0, -25.0)  # degrees
SWAY = (0.0, 12.0, 8.0, -12.0, -8.0)


def turn(axis, degrees):
    a, (i, j) = np.radians(degrees), [(1, 2), (2, 0), (0, 1)][axis]
    R = np.eye(3)
    R[i, i] = R[j, j] = np.cos(a)
    R[j, i], R[i, j] = np.sin(a), -np.sin(a)
    return R


def rolled_rig(rolls, elevation=15.0):
    eyes = ring(len(rolls), elevation=elevation)
    T = np.stack([np.diag([1.0, -1.0, -1.0, 1.0]) @ view_matrix(e, np.zeros(3)).T for e in eyes])
    for v, roll in enumerate(rolls):
        T[v, :3] = turn(2, roll) @ T[v, :3]
    K = np.array([[110.0, 0, 48], [0, 110.0, 48], [0, 0, 1]])
    return Cameras(tuple(range(len(eyes))), np.tile(K, (len(eyes), 1, 1)), T, 96, 96)


def filmed(cameras, half, sway=SWAY):
    """Masks (V, H, W) of an ellipsoid that sways about the x axis, by frame."""
    y, x = np.mgrid[: cameras.height, : cameras.width] + 0.5
    frames = []
    for angle in sway:
        R = turn(0, angle)  # object to world
        masks = []
        for K, T in zip(cameras.intrinsics, cameras.T_camera_world, strict=True):
            origins, rays = pixel_rays(K, T, np.stack([x, y], -1))
            masks.append(trace(origins[0, 0] @ R, rays @ R, np.zeros(3), np.array(half), "ellipsoid"))
        frames.append(np.stack(masks).astype(np.uint8))
    return frames


def degrees_off(axis, other=(0, 0, 1)):
    return np.degrees(np.arccos(np.clip(np.dot(axis, other), -1, 1)))


def test_a_standing_object_says_with_rolled_cameras_what_is_up():
    cameras = rolled_rig(ROLLS)
    placement = place(cameras, filmed(cameras, TALL))
    assert degrees_off(up_axis(cameras)) > 12
    assert degrees_off(placement.up) < 5
    assert placement.up_from == BY_OBJECT
    assert LEVEL < placement.tilt < 15


@pytest.mark.parametrize("half", [PLUMP, LYING])
def test_an_object_that_does_not_stand_says_nothing(half):
    cameras = rolled_rig(ROLLS)
    placement = place(cameras, filmed(cameras, half))
    np.testing.assert_array_equal(placement.up, up_axis(cameras))
    assert placement.up_from == BY_CAMERAS


@pytest.mark.parametrize("rolls", [(0, 0, 0, 0), (1.5, -1.0, 0.5, -1.5)])
def test_level_cameras_say_it_alone(rolls):
    cameras = rolled_rig(rolls)
    leaning = filmed(cameras, TALL, sway=(20.0,) * 5)
    np.testing.assert_array_equal(place(cameras, leaning).up, up_axis(cameras))


def test_what_leans_too_far_or_is_not_there_says_nothing():
    cameras = rolled_rig(ROLLS)
    rng = np.random.default_rng(0)
    solid = rng.normal(size=(500, 3)) * [0.1, 0.1, 0.4]
    first = up_axis(cameras)
    away = np.cross(first, [1.0, 0, 0])
    long = np.cos(np.radians(FARTHEST + 5)) * first + np.sin(
        np.radians(FARTHEST + 5)
    ) * away / np.linalg.norm(away)
    leaning = rng.normal(size=(500, 3)) * 0.1 + rng.normal(size=(500, 1)) * 0.4 * long
    assert upright_axis(cameras, [leaning] * 5) is None
    assert upright_axis(cameras, [np.zeros((0, 3))] * 3 + [solid] * 2) is None
    assert upright_axis(cameras, [solid] * 3 + [np.zeros((0, 3))] * 2) is not None


def test_a_given_axis_is_taken():
    cameras = rolled_rig(ROLLS)
    placement = place(cameras, filmed(cameras, TALL), "-y")
    np.testing.assert_array_equal(placement.up, [0, -1, 0])
    assert placement.up_from == GIVEN


def imported(path, film):
    write_easymocap(path / "film", film)
    assert main(["import", str(path / "film"), "--output", str(path / "scene")]) == 0
    return json.loads((path / "scene" / "import.json").read_text())


def test_a_strong_pincushion_lens_does_not_change_the_scale(tmp_path):
    """Undone, it leaves wide edges that the film does not show: they are no object."""
    eyes = ring(5, elevation=25.0)
    straight, bent = (Film(eyes=eyes, frames=2, lens=lens) for lens in ((0.0,) * 5, (1.2, 0, 0, 0, 0)))
    expected = imported(tmp_path / "straight", straight)
    found = imported(tmp_path / "bent", bent)
    assert (tmp_path / "bent" / "scene" / "mask_00000_cam_001.png").is_file()
    assert found["scale"] == pytest.approx(expected["scale"], rel=0.05)
    assert found["up_from"] == BY_CAMERAS
