"""Sheets: images stand where they belong, pixel by pixel, and captions have room."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from wim_fast.drawing.sheets import grid, side_by_side


def blank(height: int = 128, width: int = 128, value: int = 90) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_grid_places_images() -> None:
    images = [blank(20, 30, value) for value in (10, 20, 30)]
    sheet = grid([images[:2], images[2:]])
    gap = (sheet.shape[0] - 40) // 3
    assert sheet.shape == (40 + 3 * gap, 60 + 3 * gap, 3)
    assert (sheet[gap : gap + 20, gap : gap + 30] == 10).all()
    assert (sheet[gap : gap + 20, 2 * gap + 30 : 2 * gap + 60] == 20).all()
    assert (sheet[2 * gap + 20 : 2 * gap + 40, gap : gap + 30] == 30).all()
    assert (sheet[2 * gap + 20 :, 2 * gap + 30 :] == 255).all()
    with pytest.raises(ValueError, match="no images"):
        grid([[]])


def test_captions_take_room_above() -> None:
    images = [blank(64, 64), blank(64, 64)]
    plain, titled = (
        side_by_side(images),
        side_by_side(images, ["truth", "a caption that is far too long for it"]),
    )
    extra = titled.shape[0] - plain.shape[0]
    assert extra > 10
    np.testing.assert_array_equal(titled[extra:], plain)
    assert (titled[:extra] < 128).any()
    both = grid([images, images], ["truth", "render"], ["training camera 3", "unseen camera 5"])
    assert both.shape[0] > 2 * 64 + 3 * extra


def test_images_are_copied_and_captions_stay_in_their_room() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, size=(40, 60, 3), dtype=np.uint8) for _ in range(4)]
    long = "$a caption$ too_long for 60 pixels"
    sheet = grid([images[:2], images[2:]], ["first", long], [3 * long, "b"])
    for image in images:
        places = np.lib.stride_tricks.sliding_window_view(sheet, image.shape)[:, :, 0]
        assert (places == image).all((2, 3, 4)).sum() == 1
    gap = 2
    left_of, right_of = sheet[:, :gap], sheet[:, -gap:]
    assert (left_of == 255).all()  # nothing is cut off at the borders
    assert (right_of == 255).all()
    top = sheet[:18]
    assert (top[:, gap : gap + 60] < 128).any()
    assert (top[:, 2 * gap + 60 :] < 128).any()
    assert (top[:, gap + 60 : 2 * gap + 60] == 255).all()  # nor runs into its neighbour


def test_a_caption_over_one_pixel() -> None:
    assert grid([[blank(1, 1)]], ["a long caption"]).shape[2] == 3


def test_commands_start_without_matplotlib() -> None:
    code = "import sys, wim_fast.cli, wim_fast.drawing.sheets, wim_fast.drawing.plots; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
