"""Pictures are looked at by people; here: sizes, what is marked where, odd recordings."""

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from tiny_scene import ring, write_scene

from wim_fast.importing.pictures import FADED, HATCH, HULL, OUTLINE, contact_sheet, overview
from wim_fast.importing.view_in_3d import WIDTH, Hull, cameras_in_3d, hull_surface, scale_bar
from wim_fast.scene.footage import Footage
from wim_fast.scene.load import load_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    write_scene(folder, eyes=ring(5), width=48, height=32, frames=9, half=(0.3, 0.3, 0.4))
    return load_scene(folder, coordinate_scale=1.0)


def is_color(image, color):
    return (image == np.array(color)).all(-1)


NO_HULL = Hull(np.zeros((0, 3)), np.zeros((0, 3), np.int64))


def sheet_of(scene, hulls=None):
    return contact_sheet(scene, [NO_HULL] * scene.num_frames if hulls is None else hulls)


def runs(drawn, gap):
    """How many stretches of set values there are, with gaps of more than this between them."""
    places = np.flatnonzero(drawn)
    return len(np.split(places, np.flatnonzero(np.diff(places) > gap) + 1))


def test_contact_sheet_shows_masks(scene):
    sheet = sheet_of(scene)
    assert sheet.dtype == np.uint8
    outline = is_color(sheet, OUTLINE)
    assert runs(outline.any(1), 1) == 5  # one band for each camera
    assert runs(outline.any(0), 40) == 4  # as many frames as stay large
    # Of all shown pixels, the share in the object's colour is that of the masks.
    share = np.mean([scene.mask[v, t] == 1 for v in range(5) for t in (0, 3, 5, 8)])
    colored = (np.abs(sheet.astype(int) - (200, 100, 50)) < 50).all(-1)  # edges are interpolated
    shown = colored.sum() / (20 * 315 * 210)
    assert shown == pytest.approx(share, rel=0.1)
    assert not is_color(sheet, HATCH).any()
    assert not is_color(sheet, HULL).any()


def test_the_hull_is_outlined_where_it_is(scene):
    """Round the masks, for they are perfect; a hull that lies aside is seen to."""
    hulls = [hull_surface(scene.cameras, scene.mask[:, t]) for t in range(9)]

    def far_from_the_mask(hulls):
        sheet = sheet_of(scene, hulls)
        distance = distance_transform_edt(~is_color(sheet, OUTLINE))
        return (distance[is_color(sheet, HULL)] > 20).mean()  # three pixels of these pictures

    assert far_from_the_mask(hulls) < 0.02
    assert (
        far_from_the_mask([Hull(hull.vertices + np.array([0.3, 0, 0]), hull.faces) for hull in hulls]) > 0.1
    )


def test_background_is_faded_and_unreliable_pixels_are_hatched(scene):
    mask = np.zeros((1, 1, 64, 64), np.uint8)
    mask[..., 20:40, 20:40] = 1
    mask[..., :, 48:] = 2
    rgba = np.full((1, 1, 64, 64, 4), 255, np.uint8)
    rgba[..., :3] = (10, 200, 30)
    K = scene.cameras.intrinsics[:1]
    cameras = dataclasses.replace(scene.cameras.select([0]), intrinsics=K, width=64, height=64)
    filmed = dataclasses.replace(
        scene, cameras=cameras, frame_ids=(7,), footage=Footage.from_arrays(rgba, mask), ground_truth=None
    )
    sheet = sheet_of(filmed)
    faded = [round(FADED * 255 + (1 - FADED) * c) for c in (10, 200, 30)]
    cell = (
        is_color(sheet, faded)
        | is_color(sheet, (10, 200, 30))
        | is_color(sheet, OUTLINE)
        | is_color(sheet, HATCH)
    )
    area = 480 * 480
    assert cell.sum() == pytest.approx(area, rel=0.02)
    assert is_color(sheet, (10, 200, 30)).sum() == pytest.approx(area * 400 / 4096, rel=0.05)
    assert is_color(sheet, HATCH).sum() == pytest.approx(area / 4 * 3 / 8, rel=0.05)
    assert np.flatnonzero(is_color(sheet, HATCH).any(0)).min() > 350


def test_big_recordings_are_thinned_out(tmp_path):
    write_scene(tmp_path, eyes=ring(30), width=24, frames=12)
    sheet = sheet_of(load_scene(tmp_path, coordinate_scale=1.0))
    assert sheet.shape[1] <= 1400
    assert sheet.shape[0] < 1400
    assert runs(is_color(sheet, OUTLINE).any(1), 20) == 12  # 24 cameras in two blocks


def bluish(picture):
    """Where the hull is."""
    r, g, b = picture.astype(int).transpose(2, 0, 1)
    return (b - r > 20) & (b - r < 90) & (b > g) & (g > r)


def test_cameras_in_3d_has_them_all_in_view(scene):
    """Seen from above: the cameras, which stand on a ring above the object, are not below it in the picture."""
    hull = hull_surface(scene.cameras, scene.mask[:, 0])
    picture = cameras_in_3d(scene, 0, hull, 1.0, 800)
    assert picture.shape == (800, WIDTH, 3)
    drawn = (picture < 200).any(-1)
    ink_y, ink_x = np.nonzero(drawn)
    assert np.ptp(ink_x) > 0.75 * WIDTH or np.ptp(ink_y) > 600  # it fills the picture
    where = bluish(picture)
    assert where.sum() > 2000
    y, x = np.argwhere(where).mean(0)
    assert 0.2 * WIDTH < x < 0.8 * WIDTH
    assert 100 < y < 700


@pytest.mark.parametrize(("unit", "length"), [(1.0, 0.5), (0.01, 50.0), (1.2, 0.2), (0.0005, 1000.0)])
def test_the_bar_has_a_round_length(scene, unit, length):
    hull = hull_surface(scene.cameras, scene.mask[:, 0])
    below = hull.vertices.min(0)
    bar, units = scale_bar(scene.cameras.select([0]), hull.vertices, below, 0.8, unit)
    assert units == pytest.approx(length)
    assert np.linalg.norm(bar[0, 1] - bar[0, 0]) == pytest.approx(length * unit)
    np.testing.assert_allclose(bar[..., 2], below[2])
    assert 0.25 < length * unit / 0.8 <= 0.7


def test_odd_recordings(scene):
    """One camera; masks that are empty, full, or do not meet."""
    assert overview(scene.select([2]), 1.0, ["a word"]).shape[2] == 3
    shape = 5, 1, 32, 48
    torn = np.zeros(shape, np.uint8)
    torn[0, :, :3, :3] = torn[1:, :, -3:, -3:] = 1
    for mask in (np.zeros(shape, np.uint8), np.ones(shape, np.uint8), torn, np.full(shape, 2, np.uint8)):
        footage = Footage.from_arrays(np.zeros((*shape, 4), np.uint8), mask)
        odd = dataclasses.replace(scene, footage=footage, frame_ids=(0,), ground_truth=None)
        picture = overview(odd, 1.0, ["good to train: wim-fast train", "a long sentence " * 20])
        assert picture.shape[1] > WIDTH
        assert picture.shape[0] >= 700
