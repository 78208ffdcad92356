"""Which points of a surface the cameras confirm, by hand: a wall seen from the front by one camera, and from behind."""

from __future__ import annotations

import numpy as np
import pytest

from wim_fast.evaluation.confirmation import surface_of, unconfirmed, witnesses
from wim_fast.recordings.cameras import Cameras
from wim_fast.recordings.masks import BACKGROUND, OBJECT, UNRELIABLE
from wim_fast.rendering.image import Image

SIZE = 20


@pytest.fixture
def cameras() -> Cameras:
    """Number 0 at z = -4 looks along z, number 1 at z = 4 looks back."""
    K = np.array([[20.0, 0, 10], [0, 20, 10], [0, 0, 1]])
    front, back = np.eye(4), np.diag([-1.0, 1, -1, 1])
    front[2, 3] = back[2, 3] = 4
    return Cameras((0, 1), np.stack([K, K]), np.stack([front, back]), SIZE, SIZE)


def wall(distance: float) -> Image:
    """All over the picture, at this distance on the axis (about as far beside it)."""
    full = np.ones((SIZE, SIZE))
    return Image(np.ones((SIZE, SIZE, 3)), full, distance * full, np.zeros((SIZE, SIZE), np.int32))


def mask(value: int) -> np.ndarray:
    return np.full((SIZE, SIZE), value, np.uint8)


def check(points: list[list[float]], cameras: Cameras, values: tuple[int, int]) -> list[list[bool]]:
    """A wall at z = 0."""
    masks = np.stack([mask(value) for value in values])
    seen, confirmed = witnesses(np.array(points), cameras, masks, [wall(4.0)] * 2)
    return [seen.tolist(), confirmed.tolist()]


def test_the_surface_is_where_the_picture_shows_it(cameras: Cameras) -> None:
    image = wall(4.0)
    image.opacity[:] = 0
    image.opacity[9:11, 9:11] = 0.25
    points, opacity = surface_of(image, cameras, 1)
    np.testing.assert_allclose(opacity, 0.25)
    np.testing.assert_allclose(points.mean(axis=0), [0, 0, 0], atol=0.01)
    np.testing.assert_allclose(np.abs(points[:, :2]), 0.1, atol=0.01)  # half a pixel at distance 4


def test_one_camera_with_the_point_on_the_object_confirms_it(cameras: Cameras) -> None:
    assert check([[0, 0, 0]], cameras, (OBJECT, BACKGROUND)) == [[True], [True]]


def test_what_lies_behind_the_surface_for_all_is_hidden(cameras: Cameras) -> None:
    points = [[0, 0, 1.0], [0, 0, 0.3]]  # the second within two pixels, 0.4
    assert check(points, cameras, (OBJECT, BACKGROUND)) == [[True, True], [False, True]]
    assert check(points, cameras, (OBJECT, OBJECT)) == [[True, True], [True, True]]  # seen from behind


@pytest.mark.parametrize("value", [BACKGROUND, UNRELIABLE])
def test_only_reliable_pixels_of_the_object_confirm(cameras: Cameras, value: int) -> None:
    assert check([[0, 0, 0]], cameras, (value, value)) == [[False], [False]]


def test_nobody_confirms_what_is_outside_the_pictures(cameras: Cameras) -> None:
    outside = [[9.0, 0, 0], [0, -9.0, 0], [0, 0, 50.0]]  # the last one in the first picture, behind the wall
    assert check(outside, cameras, (OBJECT, OBJECT)) == [[False, False, True], [False, False, False]]


def test_shares_are_of_the_opacity() -> None:
    seen, confirmed = np.array([[False, True, True], [False, False, True]])
    shares = unconfirmed(seen, confirmed, np.array([0.1, 0.3, 0.6]))
    assert shares == (pytest.approx(0.1), pytest.approx(0.3))
    nothing = np.zeros(0, bool)
    assert unconfirmed(nothing, nothing, np.zeros(0)) == (0, 0)
