"""Masks beside the images of the raw layout, and their writer."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
from tiny_scene import write_scene

from wim_fast.errors import UserError
from wim_fast.recordings.write import write_image
from wim_fast.scene.load import load_scene


@pytest.fixture
def tiny(tmp_path):
    return write_scene(tmp_path / "scene")


def mask_file(tiny, frame, camera):
    return tiny.path / f"mask_{frame:05d}_cam_{camera:03d}.png"


def test_a_mask_says_what_is_unreliable(tiny):
    before = load_scene(tiny.path, coordinate_scale=1.0)
    greys = 255 * (before.mask[1, 2] == 1).astype(np.uint8)
    greys[:4] = 128
    greys[20, 3] = 255  # of the object, though transparent
    object_pixel = tuple(np.argwhere(before.mask[1, 2] == 1)[-1])
    greys[object_pixel] = 0
    iio.imwrite(mask_file(tiny, 2, 1), greys)
    after = load_scene(tiny.path, coordinate_scale=1.0)
    expected = (greys > 200).astype(np.uint8)
    expected[:4] = 2
    np.testing.assert_array_equal(after.mask[1, 2], expected)
    assert after.rgba[1, 2][object_pixel][3] == 0
    assert after.rgba[1, 2][20, 3][3] == 255
    np.testing.assert_array_equal(after.mask[0, 2], before.mask[0, 2])


def test_smaller_images_keep_what_touches_it(tiny):
    greys = 255 * (load_scene(tiny.path, coordinate_scale=1.0).mask[0, 0] == 1).astype(np.uint8)
    greys[5, 9] = 128
    iio.imwrite(mask_file(tiny, 0, 0), greys)
    small = load_scene(tiny.path, coordinate_scale=1.0, size=16)
    assert np.argwhere(small.mask[0, 0] == 2).tolist() == [[2, 4]]


@pytest.mark.parametrize(
    ("greys", "what"),
    [
        (np.full((32, 32), 100, np.uint8), "other values"),
        (np.zeros((16, 32), np.uint8), "32 x 16 pixels"),
    ],
)
def test_wrong_masks(tiny, greys, what):
    iio.imwrite(mask_file(tiny, 0, 0), greys)
    with pytest.raises(UserError, match=what) as error:
        load_scene(tiny.path, coordinate_scale=1.0)
    assert "mask_00000_cam_000.png" in str(error.value)


def test_a_damaged_mask(tiny):
    mask_file(tiny, 0, 0).write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    with pytest.raises(UserError, match=r"mask_00000_cam_000\.png"):
        load_scene(tiny.path, coordinate_scale=1.0)


def test_the_writer_writes_masks_where_they_are_needed(tmp_path):
    rgba = np.zeros((8, 8, 4), np.uint8)
    mask = np.zeros((8, 8), np.uint8)
    write_image(tmp_path, 0, 0, rgba, mask)
    assert not list(tmp_path.glob("mask_*"))
    mask[0, 0], mask[1, 1] = 2, 1
    write_image(tmp_path, 7, 12, rgba, mask)
    greys = iio.imread(tmp_path / "mask_00007_cam_012.png")
    assert (greys[0, 0], greys[1, 1], greys[2, 2]) == (128, 255, 0)
