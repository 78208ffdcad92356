"""Pictures are looked at by people; here: sizes, what is marked where, odd recordings."""

import dataclasses

import numpy as np
import pytest
from tiny_scene import ring, write_scene

from wim_fast.importing.pictures import FADED, HATCH, OUTLINE, cameras_in_3d, contact_sheet
from wim_fast.scene.footage import Footage
from wim_fast.scene.load import load_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    write_scene(folder, eyes=ring(5), width=48, height=32, frames=9, half=(0.3, 0.3, 0.4))
    return load_scene(folder, coordinate_scale=1.0)


def is_color(image, color):
    return (image == np.array(color)).all(-1)


def test_contact_sheet_shows_masks(scene):
    sheet = contact_sheet(scene, range(9))
    width = sheet.shape[1]
    assert sheet.dtype == np.uint8
    assert 1400 <= width <= 1600
    outline = is_color(sheet, OUTLINE)
    rows = np.flatnonzero(outline.any(1))
    assert len(np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)) == 5  # one band for each camera
    columns = np.flatnonzero(outline.any(0))
    assert len(np.split(columns, np.flatnonzero(np.diff(columns) > 40) + 1)) == 6  # of nine frames
    # Of all shown pixels, the share in the object's colour is that of the masks.
    share = np.mean([scene.mask[v, t] == 1 for v in range(5) for t in (0, 2, 3, 5, 6, 8)])
    cell = (width - 7 * 5) / 6
    colored = (np.abs(sheet.astype(int) - (200, 100, 50)) < 50).all(-1)  # edges are interpolated
    shown = colored.sum() / (30 * cell * cell * 32 / 48)
    assert shown == pytest.approx(share, rel=0.1)
    assert not is_color(sheet, HATCH).any()


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
    sheet = contact_sheet(filmed, [0])
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
    sheet = contact_sheet(load_scene(tmp_path, coordinate_scale=1.0), range(12))
    assert sheet.shape[1] <= 1600
    assert sheet.shape[0] < 4000
    rows = np.flatnonzero(is_color(sheet, OUTLINE).any(1))
    assert len(np.split(rows, np.flatnonzero(np.diff(rows) > 20) + 1)) == 12  # 24 cameras in two blocks


def bluish(picture):
    """Where the hull is."""
    r, g, b = picture.astype(int).transpose(2, 0, 1)
    return (b - r > 20) & (b - r < 90) & (b > g) & (g > r)


@pytest.mark.parametrize("up", [(0, 0, 1), (0, 0, -3), (0, 1, 0)])
def test_cameras_in_3d_has_them_all_in_view(scene, up):
    picture = cameras_in_3d(scene, 0, up)
    assert picture.shape == (1000, 1400, 3)
    drawn = (picture < 200).any(-1)
    ink_y, ink_x = np.nonzero(drawn)
    assert np.ptp(ink_x) > 1000 or np.ptp(ink_y) > 750  # it fills the picture
    hull = bluish(picture)
    assert hull.sum() > 2000
    y, x = np.argwhere(hull).mean(0)
    assert 300 < x < 1100
    assert 100 < y < 900


def test_seen_from_above(scene):
    """The cameras stand on a ring above the object: with up turned round they are below it in the picture."""

    def height_of_hull(up):
        rows = np.flatnonzero(bluish(cameras_in_3d(scene, 0, up)).any(1))
        return rows.mean()

    assert height_of_hull((0, 0, 1)) > height_of_hull((0, 0, -1)) + 50


def test_odd_recordings_in_3d(scene):
    """One camera; masks that are empty, full, or do not meet."""
    assert cameras_in_3d(scene.select([2]), 0, (0, 0, 1)).shape == (1000, 1400, 3)
    shape = 5, 1, 32, 48
    torn = np.zeros(shape, np.uint8)
    torn[0, :, :3, :3] = torn[1:, :, -3:, -3:] = 1
    for mask in (np.zeros(shape, np.uint8), np.ones(shape, np.uint8), torn, np.full(shape, 2, np.uint8)):
        footage = Footage.from_arrays(np.zeros((*shape, 4), np.uint8), mask)
        odd = dataclasses.replace(scene, footage=footage, frame_ids=(0,), ground_truth=None)
        assert cameras_in_3d(odd, 0, (0, 0, 1)).shape == (1000, 1400, 3)
        assert contact_sheet(odd, [0]).shape[1] <= 1600
