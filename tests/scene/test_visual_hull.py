import dataclasses

import numpy as np
import pytest
from tiny_scene import ring, write_scene

from wim_fast.scene.load import load_scene
from wim_fast.scene.visual_hull import hull_bounds, look_at, visual_hull

SIX = np.concatenate([ring(6, elevation=10), ring(4, elevation=60)])


@pytest.mark.parametrize("solid", ["box", "ellipsoid"])
def test_hull_has_the_extent_of_the_solid(tmp_path, solid):
    tiny = write_scene(tmp_path, eyes=SIX, width=128, frames=2, solid=solid)
    scene = load_scene(tmp_path, coordinate_scale=1.0)
    masks = scene.mask[:, 0]
    points = visual_hull(scene.cameras, masks)
    low, high = tiny.centers[0] - tiny.half, tiny.centers[0] + tiny.half
    assert (points.min(0) > low - 0.1).all()  # the hull is never less, and with ten views not much more
    assert (points.max(0) < high + 0.1).all()
    assert (points.min(0) < low + 0.04).all()
    assert (points.max(0) > high - 0.04).all()
    bounds = hull_bounds(scene.cameras, masks)
    assert (bounds[0] <= points.min(0)).all()
    assert (bounds[1] >= points.max(0)).all()
    assert (bounds[1] - bounds[0] < 1.6 * 2 * tiny.half).all()
    np.testing.assert_allclose(look_at(scene.cameras, masks), tiny.centers[0], atol=0.05)


def test_every_voxel_is_in_every_mask_and_none_is_missed(tmp_path):
    """Against a loop over points that shares nothing with the implementation but the definition."""
    tiny = write_scene(tmp_path, width=48, frames=2)
    scene = load_scene(tmp_path, coordinate_scale=1.0)
    bounds = np.array([[-0.6, -0.6, -0.6], [0.8, 0.8, 1.0]])
    points = visual_hull(scene.cameras, scene.mask[:, 0], resolution=16, bounds=bounds)
    step = 1.6 / 16
    axes = [np.arange(a + step / 2, b, step) for a, b in bounds.T]
    kept = []
    for p in np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3):
        inside = True
        for v, eye in enumerate(tiny.eyes):
            back = eye / np.linalg.norm(eye)
            right = np.cross([0, 0, 1], back) / np.linalg.norm(np.cross([0, 0, 1], back))
            up, depth = np.cross(back, right), (eye - p) @ back
            x = 24 + tiny.focal * ((p - eye) @ right) / depth
            y = 24 - tiny.focal * ((p - eye) @ up) / depth
            inside &= 0 <= x < 48 and 0 <= y < 48 and bool(scene.rgba[v, 0, int(y), int(x), 3])
        if inside:
            kept.append(p)
    assert len(kept) > 50
    np.testing.assert_allclose(points, kept, atol=1e-9)


def test_cameras_in_a_sector_still_give_a_tight_box(tmp_path):
    tiny = write_scene(tmp_path, eyes=ring(5, sector=85), width=64, frames=2)
    scene = load_scene(tmp_path, coordinate_scale=1.0)
    bounds = hull_bounds(scene.cameras, scene.mask[:, 0])
    assert (bounds[1] - bounds[0] < 5 * tiny.half).all()


def test_empty_full_and_cut_off_masks(tmp_path):
    write_scene(tmp_path, eyes=ring(6), width=64, frames=2)
    scene = load_scene(tmp_path, coordinate_scale=1.0)
    masks = scene.mask[:, 0]
    whole = visual_hull(scene.cameras, masks)
    masks[0], masks[1] = 0, 1  # neither says anything
    assert len(visual_hull(scene.cameras, masks)) > 0
    np.testing.assert_allclose(visual_hull(scene.cameras, masks).mean(0), whole.mean(0), atol=0.1)
    assert visual_hull(scene.cameras, np.zeros_like(masks)).shape == (0, 3)
    assert hull_bounds(scene.cameras, np.ones_like(masks)) is None
    assert visual_hull(scene.cameras.select([2]), masks[[2]]).shape == (0, 3)


def test_a_camera_that_sees_only_half_of_it_does_not_cut_the_rest(tmp_path):
    tiny = write_scene(tmp_path, eyes=ring(6), width=64, frames=2)
    scene = load_scene(tmp_path, coordinate_scale=1.0)
    cameras, masks = scene.cameras, scene.mask[:, 0]
    whole = visual_hull(cameras, masks, bounds=np.array([[-1.0] * 3, [1.0] * 3]))
    K = cameras.intrinsics.copy()
    K[0, 0, 2] -= 32  # camera 0 now looks past: its left half is out of the image
    shifted = masks.copy()
    shifted[0] = 0
    shifted[0][:, :32] = masks[0][:, 32:]
    moved = dataclasses.replace(cameras, intrinsics=K)
    again = visual_hull(moved, shifted, bounds=np.array([[-1.0] * 3, [1.0] * 3]))
    assert len(again) >= len(whole)
    assert np.ptp(again, axis=0)[1] > 1.9 * tiny.half[1]


def test_masks_that_do_not_meet(tmp_path):
    write_scene(tmp_path, eyes=ring(4), width=32, frames=2)
    scene = load_scene(tmp_path, coordinate_scale=1.0)
    masks = np.zeros((4, 32, 32), np.uint8)
    masks[0, 2:4, 14:16] = 1
    masks[1:, 28:30, 14:16] = 1
    assert visual_hull(scene.cameras, masks).shape == (0, 3)


def test_of_large_masks_every_nth_pixel_is_looked_at(tmp_path):
    write_scene(tmp_path, eyes=SIX, width=128, frames=2)
    scene = load_scene(tmp_path, coordinate_scale=1.0)
    masks, box = scene.mask[:, 0], np.array([[-1.0] * 3, [1.0] * 3])
    points = visual_hull(scene.cameras, masks, bounds=box)
    assert len(points) > 100
    large = masks.repeat(4, axis=1).repeat(4, axis=2)  # thinned out to twice as many pixels
    np.testing.assert_array_equal(visual_hull(scene.cameras.resized(512, 512), large, bounds=box), points)
    odd = masks.repeat(5, axis=1).repeat(5, axis=2)[:, :-3, :-4]  # the last squares are not whole
    cameras = dataclasses.replace(scene.cameras.resized(640, 640), width=636, height=637)
    of_odd = visual_hull(cameras, odd, bounds=box)  # squares are 0.6 of the pixels of `masks`
    assert abs(len(of_odd) - len(points)) < 0.03 * len(points)
    low, high = hull_bounds(cameras, odd)
    assert (low <= points.min(0)).all()
    assert (high >= points.max(0)).all()
