"""Joints, labels and marks are drawn where they belong, in colours that differ."""

from __future__ import annotations

import numpy as np
import pytest

from wim_fast.drawing.annotate import draw_joints, draw_labels, part_palette


def blank(height: int = 128, width: int = 128, value: int = 90) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_palette_is_distinct_and_stable() -> None:
    palette = part_palette(40)
    assert palette.shape == (40, 3)
    assert palette.dtype == np.uint8
    apart = np.abs(palette[:, None].astype(int) - palette[None]).sum(-1) + 999 * np.eye(40, dtype=int)
    assert apart.min() >= 40
    np.testing.assert_array_equal(part_palette(7), palette[:7])
    np.testing.assert_array_equal(part_palette(50)[40:], palette[:10])
    assert part_palette(0).shape == (0, 3)


def test_joints_are_drawn_where_they_are() -> None:
    image = blank()
    centers = np.array([[20.5, 60.5], [100.5, 60.5]])
    joints = np.array([[60.5, 60.5]])
    drawn = draw_joints(image, joints, centers, np.array([[0, 1]]))
    assert (image == 90).all()  # the input is left as it is
    palette = part_palette(2)
    np.testing.assert_array_equal(drawn[60, 60], [255, 255, 255])
    np.testing.assert_array_equal(drawn[60, 20], palette[0])
    np.testing.assert_array_equal(drawn[60, 100], palette[1])
    assert (
        np.abs(drawn[60, 40].astype(int) - palette[0]).sum() < 120
    )  # bone, in the part's colour, one pixel wide
    changed = np.argwhere((drawn != 90).any(axis=-1))
    assert changed[:, 0].min() > 50
    assert changed[:, 0].max() < 70
    assert (draw_joints(image, joints)[60, 60] == 255).all()


def test_drawing_is_centred_on_half_pixels() -> None:
    """A ring at (64, 64), the corner shared by four pixels, is symmetric about it."""
    drawn = draw_joints(blank(), np.array([[64.0, 64.0]])).astype(int)
    np.testing.assert_allclose(drawn, drawn[::-1], atol=2)
    np.testing.assert_allclose(drawn, drawn[:, ::-1], atol=2)


def test_what_is_not_there_is_not_drawn() -> None:
    image = blank()
    away = np.array([[np.nan, 3.0], [1e12, -1e12]])
    np.testing.assert_array_equal(draw_joints(image, away), image)
    np.testing.assert_array_equal(draw_joints(image, np.zeros((0, 2))), image)
    np.testing.assert_array_equal(draw_labels(image, away[:1], ["0"]), image)
    np.testing.assert_array_equal(draw_labels(image, np.zeros((0, 2)), []), image)


@pytest.mark.parametrize("shape", [(1, 1), (8, 40), (600, 300)])
def test_any_size_can_be_drawn_on(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).uniform(0, 1, size=(3, 2)) * shape[::-1]
    drawn = draw_joints(blank(*shape), pixels[1:], pixels, np.array([[0, 1], [1, 2]]))
    assert draw_labels(drawn, pixels, ["0", "1", "long label"]).shape == (*shape, 3)


def test_labels_do_not_hide_each_other() -> None:
    image = blank(400, 400)
    pixels = 200 + np.random.default_rng(0).normal(size=(12, 2))  # all at the same place
    drawn = draw_labels(image, pixels, [str(k) for k in range(12)])
    for color in part_palette(12):  # of each plate enough is left to be seen
        assert (drawn == color).all(axis=-1).sum() > 60
