import numpy as np
import pytest
from tiny_scene import ring, view_matrix

from wim_fast.recordings.cameras import (
    Cameras,
    closest_to_rays,
    coverage,
    pixel_rays,
    project,
    turntable,
    up_axis,
)


def rig(eyes, target=(0.0, 0.0, 0.0), focal=100.0, width=128, height=96):
    """Cameras from the OpenGL matrices of the test writer, converted by hand."""
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    T = np.stack([flip @ view_matrix(np.asarray(e, float), np.asarray(target)).T for e in eyes])
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return Cameras(tuple(range(10, 10 + len(eyes))), np.tile(K, (len(eyes), 1, 1)), T, width, height)


def test_cube_projects_where_geometry_says():
    """From (4, 0, 0), z up: y points right, z up, and depth is 4 - x."""
    cube = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    (pixels,), (depth,) = project(rig([[4.0, 0, 0]]), cube)
    np.testing.assert_allclose(depth, 4 - cube[:, 0])
    np.testing.assert_allclose(pixels[:, 0], 64 + 100 * cube[:, 1] / depth)
    np.testing.assert_allclose(pixels[:, 1], 48 - 100 * cube[:, 2] / depth)


def test_shapes_and_centers():
    eyes = ring(5)
    cameras = rig(eyes)
    pixels, depth = project(cameras, np.zeros((2, 7, 3)))
    assert pixels.shape == (5, 2, 7, 2)
    assert depth.shape == (5, 2, 7)
    np.testing.assert_allclose(cameras.centers, eyes, atol=1e-12)
    np.testing.assert_allclose(pixels, np.broadcast_to([64, 48], pixels.shape))
    assert project(cameras, np.zeros((0, 3)))[0].shape == (5, 0, 2)


def test_rays_invert_projection():
    cameras = rig(ring(3))
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 3))
    pixels, _ = project(cameras, points)
    for v in range(3):
        origins, directions = pixel_rays(cameras.intrinsics[v], cameras.T_camera_world[v], pixels[v])
        np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
        offset = points - origins
        np.testing.assert_allclose(np.cross(offset, directions), 0, atol=1e-12)
        assert ((offset * directions).sum(1) > 0).all()


def test_resize_scale_select():
    cameras = rig(ring(4))
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (6, 3))
    pixels, depth = project(cameras, points)
    np.testing.assert_allclose(project(cameras.resized(64, 24), points)[0], pixels * [0.5, 0.25])
    far = cameras.scaled_world(10.0)
    np.testing.assert_allclose(project(far, points * 10)[0], pixels)
    np.testing.assert_allclose(project(far, points * 10)[1], depth * 10)
    some = cameras.select([3, 1])
    assert some.ids == (13, 11)
    assert len(some) == 2
    np.testing.assert_allclose(project(some, points)[0], pixels[[3, 1]])


def test_closest_point_to_rays():
    target = np.array([0.3, -0.2, 0.7])
    origins = ring(3)
    directions = target - origins
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    np.testing.assert_allclose(closest_to_rays(origins, directions), target, atol=1e-10)


@pytest.mark.parametrize("sector", [360, 85])
def test_up_axis_of_level_cameras(sector):
    np.testing.assert_allclose(up_axis(rig(ring(5, sector=sector))), [0, 0, 1], atol=1e-6)


def test_up_axis_of_one_camera_is_its_own():
    np.testing.assert_allclose(up_axis(rig([[4.0, 0, 0]])), [0, 0, 1], atol=1e-12)


def test_turntable_circles_and_looks_at_the_center():
    center = np.array([0.1, 0.2, 0.3])
    table = turntable(rig(ring(5, elevation=20) + center, target=center), center, 8)
    assert len(table) == 8
    np.testing.assert_allclose(np.linalg.norm(table.centers - center, axis=1), 4)
    np.testing.assert_allclose(table.centers[:, 2] - center[2], 4 * np.sin(np.radians(20)))
    (pixels, depth), (above, _) = project(table, center), project(table, center + np.array([0, 0, 0.1]))
    np.testing.assert_allclose(pixels, np.broadcast_to([64, 48], (8, 2)))
    np.testing.assert_allclose(depth, 4)
    np.testing.assert_allclose(above[:, 0], 64)
    assert (above[:, 1] < 48).all()
    R = table.T_camera_world[:, :3, :3]
    np.testing.assert_allclose(R @ R.transpose(0, 2, 1), np.tile(np.eye(3), (8, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(R), 1)
    assert len(np.unique(table.centers.round(6), axis=0)) == 8


def test_turntable_under_a_camera_overhead():
    table = turntable(rig([[0.01, 0, 4.0]]), np.zeros(3), 4)
    assert np.isfinite(table.T_camera_world).all()


def test_coverage():
    assert coverage(rig([[4.0, 0, 0]]), np.zeros(3)) == pytest.approx(0.25, abs=0.01)
    assert coverage(rig(ring(5, sector=85)), np.zeros(3)) < 0.5
    assert coverage(rig(ring(5)), np.zeros(3)) > 0.65
    six = np.concatenate([np.eye(3), -np.eye(3)]) * 3 + 1e-3
    assert coverage(rig(six), np.zeros(3)) == 1.0
