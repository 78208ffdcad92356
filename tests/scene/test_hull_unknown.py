"""What the hull makes of pixels that nobody vouches for, and of what lies outside a picture."""

import dataclasses

import numpy as np
import pytest
from arm_scene import with_images
from tiny_scene import ring, write_scene

from wim_fast.recordings.masks import OBJECT, UNRELIABLE
from wim_fast.scene.load import _automatic_scale, load_scene
from wim_fast.scene.visual_hull import hull_bounds, hull_core, look_at, visual_hull

BOX = np.array([[-1.5] * 3, [1.5] * 3])


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene")
    write_scene(path, frames=2, eyes=ring(6), width=64, solid="ellipsoid")
    return load_scene(path, coordinate_scale=1.0)


def with_border(masks, width):
    """The same with unreliable borders."""
    masks = masks.copy()
    masks[..., :width, :] = masks[..., -width:, :] = UNRELIABLE
    masks[..., :, :width] = masks[..., :, -width:] = UNRELIABLE
    return masks


def cropped(cameras, masks, left, right):
    """Pictures without their outermost columns: the object may be cut off."""
    K = cameras.intrinsics.copy()
    K[:, 0, 2] -= left
    width = cameras.width - left - right
    return dataclasses.replace(cameras, intrinsics=K, width=width), masks[:, :, left : cameras.width - right]


@pytest.mark.parametrize("width", [1, 4, 8])
def test_unreliable_borders_change_nothing(scene, width):
    """Where background rings the object within them."""
    cameras, masks = scene.cameras, scene.mask[:, 0]
    bordered = with_border(masks, width)
    assert ((bordered == OBJECT) == (masks == OBJECT)).all()
    np.testing.assert_array_equal(visual_hull(cameras, bordered), visual_hull(cameras, masks))
    np.testing.assert_array_equal(hull_bounds(cameras, bordered), hull_bounds(cameras, masks))
    np.testing.assert_array_equal(hull_core(cameras, bordered, 0.1), hull_core(cameras, masks, 0.1))
    np.testing.assert_array_equal(look_at(cameras, bordered), look_at(cameras, masks))


def test_borders_that_reach_the_object_change_the_scale_little(scene):
    """Its automatic scale, that of training, in one camera after another and in half of them."""
    file = load_scene(scene.path)
    for some in ([0], [3], [0, 2], [1, 4]):
        mask = scene.mask[:].copy()
        for v in some:
            _, columns = np.nonzero(mask[v].any(0))
            mask[v, :, :, : columns.min() + 3] = UNRELIABLE
        assert _automatic_scale(with_images(scene, mask=mask)) == pytest.approx(
            file.coordinate_scale, rel=0.04
        )


def test_an_unreliable_pixel_neither_confirms_nor_excludes(scene):
    """One camera knows nothing of the object's lower half: as if it were not there for what lies in it."""
    cameras, masks = scene.cameras, scene.mask[:, 0].copy()
    rows = np.flatnonzero((masks[2] == OBJECT).any(1))
    middle = int(rows.mean())
    masks[2, middle:] = UNRELIABLE
    found = {tuple(p) for p in visual_hull(cameras, masks, 24, BOX)}
    whole = {tuple(p) for p in visual_hull(cameras, scene.mask[:, 0], 24, BOX)}
    others = [0, 1, 3, 4, 5]
    without = {tuple(p) for p in visual_hull(cameras.select(others), masks[others], 24, BOX)}
    assert whole < found < without


def test_what_no_camera_or_only_half_of_them_see_is_empty(scene):
    """Cameras that face each other do not bound what all others have beyond their edges."""
    four = scene.cameras.select([0, 1, 3, 4])
    masks = scene.mask[[0, 1, 3, 4], 0]
    whole = visual_hull(four, masks)
    wide = masks.copy()
    low, high = np.flatnonzero((masks[1] == OBJECT).any(0))[[0, -1]]
    for v in (1, 3):  # these see the object up to the edge of what they know
        wide[v, :, : low + 4] = wide[v, :, high - 3 :] = UNRELIABLE
    found = visual_hull(four, wide)
    assert len(found) > 0
    assert np.ptp(found, axis=0).max() < 1.3 * np.ptp(whole, axis=0).max()
    unknown = np.full_like(masks, UNRELIABLE)
    assert visual_hull(four, unknown).shape == (0, 3)
    assert hull_bounds(four, unknown) is None


def test_the_core_of_an_object_that_is_cut_off(scene):
    """The picture's edge is no outline: what lies at it may be deep inside."""
    masks = scene.mask[:, 0]
    columns = np.flatnonzero((masks[0] == OBJECT).any(0))
    left = int(columns.mean())
    cut, shown = cropped(scene.cameras.select([0]), masks[:1], left, 0)
    some = scene.cameras.select([1, 2, 3, 4, 5])
    grown = np.zeros((6, 64, 64), np.uint8)
    grown[1:] = masks[1:]
    grown[0, :, : 64 - left] = shown[0]
    grown[0, :, 64 - left :] = 0
    K = np.concatenate([cut.intrinsics, some.intrinsics])
    cameras = dataclasses.replace(scene.cameras, intrinsics=K)
    core = hull_core(scene.cameras, masks, 0.15)
    again = hull_core(cameras, grown, 0.15)
    assert np.ptp(again, axis=0).max() > 0.9 * np.ptp(core, axis=0).max()
