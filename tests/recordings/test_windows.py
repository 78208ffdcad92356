"""What of a picture is kept, and how pictures of several shapes become images of one size."""

from __future__ import annotations

import numpy as np
import pytest
from filmed_scene import LENS, Film

from wim_fast.recordings.lenses import NO_LENS, brown
from wim_fast.recordings.resampling import Resampling, undistorted_box
from wim_fast.recordings.windows import (
    LEAST_MARGIN,
    Window,
    common_size,
    silhouette_box,
    whole_picture,
    widened,
    with_margin,
)


def whole_pictures(natives, factors):
    return common_size([whole_picture(size) for size in natives], factors, natives)


def test_pictures_of_several_shapes_are_brought_to_one():
    shape, windows = whole_pictures([(1080, 1920), (1920, 1080)], [0.5, 0.5])
    assert shape == (960, 960)
    assert windows == [Window(0, -420, 1920, 1500), Window(-420, 0, 1500, 1920)]
    assert whole_pictures([(1080, 1920)] * 2, [0.5] * 2) == ((540, 960), [Window(0, 0, 1920, 1080)] * 2)
    assert whole_pictures([(480, 640)], [1.0])[0] == (480, 640)


def test_windows_are_widened_within_their_pictures_and_no_pixel_is_enlarged():
    windows = [Window(0, 100, 60, 200), Window(50, 0, 90, 30), Window(10, 10, 31, 61)]
    size, wider = common_size(windows, [1.0] * 3, [(300, 400), (110, 100), (80, 70)])
    assert size == (100, 60)
    assert wider[0] == windows[0]
    assert wider[1] == Window(40, 0, 100, 100)
    assert wider[2] == Window(0, -10, 60, 90)  # its picture is too low
    assert all(w.size == (100, 60) for w in wider)


def test_a_widened_window_starts_at_a_pixel():
    assert widened(Window(10, 10, 15, 15), (10, 10), (50, 50)) == Window(8, 8, 18, 18)


def test_what_lies_beyond_the_picture_is_kept():
    """As the corners of what a lens drew inward do."""
    assert widened(Window(-8, 10, 12, 40), (30, 40), (50, 60)) == Window(-8, 10, 32, 40)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Window(100, 50, 200, 450), Window(100 - LEAST_MARGIN, 30, 200 + LEAST_MARGIN, 470)),
        (Window(3, 0, 640, 480), Window(0, 0, 640, 480)),
        (Window(-7.5, 100, 50, 150), Window(-8, 92, 58, 158)),
    ],
)
def test_a_margin_stays_in_the_picture(box, expected):
    assert with_margin(box, (480, 640)) == expected


@pytest.mark.parametrize("coefficients", [LENS, (0.3, -0.1, 0.0, 0.0, 0.0)])
def test_the_box_is_that_of_the_undistorted_picture(coefficients):
    lens = brown("film", "lens", coefficients)
    film = Film(width=160, height=120, frames=1, lens=coefficients, aim=(0.5, 0.3, 0.0))
    straight = Film(width=160, height=120, frames=1, lens=(0.0,) * 5, aim=(0.5, 0.3, 0.0))
    K = film.K.copy()
    K[:2, 2] += 0.5
    for v in range(4):
        box, true = undistorted_box(film.mask(v, 0), K, lens), silhouette_box(straight.mask(v, 0))
        assert -1 <= true.x0 - box.x0 <= 8
        assert -1 <= true.y0 - box.y0 <= 8
        assert -1 <= box.x1 - true.x1 <= 8
        assert -1 <= box.y1 - true.y1 <= 8


def test_a_box_without_a_lens_is_exact():
    silhouette = np.zeros((20, 30), bool)
    assert undistorted_box(silhouette, np.eye(3), NO_LENS) is None
    silhouette[4:9, 7] = True
    assert undistorted_box(silhouette, np.eye(3), NO_LENS) == Window(7, 4, 8, 9)


@pytest.mark.parametrize("lens", [NO_LENS, brown("film", "lens", LENS)])
def test_a_window_is_a_part_of_the_whole(lens):
    """Only what it needs of the picture is read for it."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    alpha, unsure = rng.random((48, 64)).astype(np.float32), np.zeros((48, 64), bool)
    K = np.array([[70.0, 0, 31], [0, 70, 25], [0, 0, 1]])
    whole, mask = Resampling((48, 64), (48, 64), None, K, lens)(rgb, alpha, unsure)
    part = Resampling((48, 64), (20, 16), Window(30, 10, 46, 30), K, lens)
    rgb_far, alpha_far = rgb.copy(), alpha.copy()
    rgb_far[:, :16], alpha_far[:, :16] = 0, 0
    image, mask_of_part = part(rgb_far, alpha_far, unsure)
    seen = whole[10:30, 30:46, 3] > 0
    np.testing.assert_allclose(image[seen].astype(int), whole[10:30, 30:46][seen], atol=1)
    np.testing.assert_array_equal(mask_of_part, mask[10:30, 30:46])
