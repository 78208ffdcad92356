"""Tiles hold exactly what was put in, but for colours that nobody can see."""

import threading

import numpy as np
import pytest

from wim_fast.scene.footage import TILE, Footage, FootageBuilder


def film(shape, seed=0):
    """Random images with an empty surrounding, a hole, and unreliable stripes; colours under alpha 0 are black."""
    H, W = shape[2:]
    rng = np.random.default_rng(seed)
    rgba = rng.integers(0, 256, (*shape, 4), dtype=np.uint8)
    mask = rng.integers(0, 3, shape, dtype=np.uint8)
    y, x = np.mgrid[:H, :W]
    outside = (y - H / 2) ** 2 + (x - W / 2) ** 2 > (min(H, W) / 3) ** 2
    rgba[..., outside, :] = 0
    mask[..., outside] = 0
    mask[0, -1, :, : W // 2] = 2
    return rgba, mask


@pytest.mark.parametrize("shape", [(2, 3, 40, 48), (1, 2, 37, 21), (3, 1, 8, 8), (2, 2, 3, 5)])
def test_gives_back_what_came(shape):
    rgba, mask = film(shape)
    footage = Footage.from_arrays(rgba, mask)
    for layer, full in ((footage.rgba, rgba), (footage.mask, mask)):
        assert layer.shape == full.shape
        assert len(layer) == len(full)
        np.testing.assert_array_equal(layer, full)
        np.testing.assert_array_equal(layer[0, -1], full[0, -1])
        np.testing.assert_array_equal(layer[:, 0], full[:, 0])
        np.testing.assert_array_equal(layer[-1], full[-1])
        np.testing.assert_array_equal(layer[0, 0, 1:3, ::2], full[0, 0, 1:3, ::2])
        np.testing.assert_array_equal(layer[..., 1], full[..., 1])
        np.testing.assert_array_equal(layer[[0], :, 2], full[[0], :, 2])
        seen = np.zeros(shape[:2], bool)
        seen[0, 0] = True
        np.testing.assert_array_equal(layer[seen], full[seen])
        np.testing.assert_array_equal(np.stack(list(layer)), full)
    counts = [[[np.sum(m == value) for value in range(3)] for m in camera] for camera in mask]
    np.testing.assert_array_equal(footage.counts, counts)


def test_selection_shares_the_tiles():
    rgba, mask = film((3, 4, 24, 24))
    footage = Footage.from_arrays(rgba, mask)
    some = footage.select([2, 0], slice(1, None, 2))
    np.testing.assert_array_equal(some.rgba, rgba[[2, 0]][:, 1::2])
    np.testing.assert_array_equal(some.mask, mask[[2, 0]][:, 1::2])
    assert some.counts.shape == (2, 2, 3)
    assert some.rgba_tiles is footage.rgba_tiles


def test_empty_tiles_take_no_room_and_colours_there_are_forgotten():
    rgba = np.full((1, 1, 64, 64, 4), 77, np.uint8)
    rgba[..., 3] = 0
    rgba[0, 0, 20, 20, 3] = 1  # one pixel shows, so its tile is kept as it is
    mask = np.zeros((1, 1, 64, 64), np.uint8)
    mask[0, 0, 56:] = 2
    footage = Footage.from_arrays(rgba, mask)
    assert len(footage.rgba_tiles) == 3
    np.testing.assert_array_equal(footage.mask, mask)
    found = footage.rgba[0, 0]
    np.testing.assert_array_equal(found[16:24, 16:24], rgba[0, 0, 16:24, 16:24])
    assert found.sum() == rgba[0, 0, 16:24, 16:24].sum()
    np.testing.assert_array_equal(found[..., 3], rgba[0, 0, ..., 3])


def test_an_object_without_coverage_is_kept():
    """A mask may say object where alpha is 0."""
    mask = np.ones((1, 1, 16, 16), np.uint8)
    footage = Footage.from_arrays(np.zeros((1, 1, 16, 16, 4), np.uint8), mask)
    np.testing.assert_array_equal(footage.mask, mask)


def test_images_that_never_come_are_unreliable(tmp_path):
    rgba, mask = film((2, 2, 20, 20))
    builder = FootageBuilder((2, 2, 20, 20), tmp_path)
    builder.put(1, 0, rgba[1, 0], mask[1, 0])
    footage = builder.finish()
    np.testing.assert_array_equal(footage.mask[1, 0], mask[1, 0])
    for v, t in ((0, 0), (0, 1), (1, 1)):
        assert (footage.mask[v, t] == 2).all()
        assert not footage.rgba[v, t].any()
        assert footage.counts[v, t].tolist() == [0, 0, 400]


@pytest.mark.parametrize("on_disk", [False, True])
def test_images_may_come_from_many_threads(tmp_path, on_disk):
    shape = (4, 6, 40, 40)
    rgba, mask = film(shape)
    told = []
    builder = FootageBuilder(shape, tmp_path if on_disk else None, lambda *done: told.append(done))

    def put(v):
        for t in reversed(range(6)):
            builder.put(v, t, rgba[v, t], mask[v, t])

    threads = [threading.Thread(target=put, args=(v,)) for v in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    footage = builder.finish()
    np.testing.assert_array_equal(footage.rgba, rgba)
    np.testing.assert_array_equal(footage.mask, mask)
    assert told == [(i + 1, 24) for i in range(24)]
    if on_disk:
        size = (tmp_path / "rgba.tiles").stat().st_size
        assert size == len(footage.rgba_tiles) * TILE * TILE * 4


def block_means(values, known):
    """Means (V, T, h, w, ...) of what is known of 2 x 2 pixels, and how many of them are (V, T, h, w)."""
    pads = [(0, 0), (0, 0), *((0, n % 2) for n in known.shape[2:])]
    values, known = np.pad(values, [*pads, (0, 0)], mode="edge"), np.pad(known, pads, mode="edge")
    cells = np.stack([(values * known[..., None])[:, :, a::2, b::2] for a in (0, 1) for b in (0, 1)])
    count = sum(known[:, :, a::2, b::2] for a in (0, 1) for b in (0, 1))
    return cells.sum(0) / np.maximum(count, 1)[..., None], count


@pytest.mark.parametrize("shape", [(2, 3, 40, 48), (1, 2, 37, 21), (3, 1, 8, 8), (2, 2, 3, 5)])
def test_half_of_the_pixels_are_means_of_four(shape):
    """By the whole images; colours by what they add to the picture, and nothing of what is unreliable."""
    rgba, mask = film(shape)
    half = Footage.from_arrays(rgba, mask).halved()
    known = (mask != 2).astype(float)
    alpha = rgba[..., 3:] / 255.0
    values = np.concatenate([rgba[..., :3] * alpha, 255 * alpha, (mask == 1)[..., None]], -1)
    expected, count = block_means(values, known)
    found = half.rgba[:].astype(float)
    assert found.shape[:4] == expected.shape[:4]
    np.testing.assert_allclose(found[..., 3], expected[..., 3], atol=0.5 + 1e-4)
    np.testing.assert_allclose(found[..., :3] * expected[..., 3:4] / 255, expected[..., :3], atol=1)
    value = np.where(count > 1, np.where(expected[..., 4] >= 0.5, 1, 0), 2)
    np.testing.assert_array_equal(half.mask, value)
    np.testing.assert_array_equal(half.counts.sum(-1), np.full(shape[:2], value[0, 0].size))


def test_a_pyramid_ends_before_its_images_are_tiny():
    rgba, mask = film((1, 2, 100, 40))
    assert [footage.size for footage in Footage.from_arrays(rgba, mask).pyramid()] == [
        (100, 40),
        (50, 20),
        (25, 10),
    ]
