import numpy as np
import pytest

from wim_fast.recordings.resize import area_weights, resize_rgba


@pytest.mark.parametrize(("old", "new"), [(128, 64), (128, 50), (7, 3), (5, 5), (4, 9), (1, 1)])
def test_weights_are_overlaps(old, new):
    fine = old * new  # every pixel of both is a whole number of these
    owner_new, owner_old = np.arange(fine) // old, np.arange(fine) // new
    expected = np.zeros((new, old))
    np.add.at(expected, (owner_new, owner_old), 1 / old)
    np.testing.assert_allclose(area_weights(old, new), expected, atol=1e-6)


@pytest.mark.parametrize("new", [64, 50, 33])
def test_edges_keep_their_colour(new):
    y, x = np.mgrid[:128, :128]
    image = np.zeros((128, 128, 4), np.uint8)
    image[(x - 60) ** 2 + (y - 70) ** 2 < 40**2] = (200, 100, 50, 255)
    weights = area_weights(128, new)
    small = resize_rgba(image, weights, weights)
    assert small.shape == (new, new, 4)
    alpha = small[..., 3]
    assert ((alpha > 0) & (alpha < 255)).sum() > 50
    assert (small[alpha > 0][:, :3] == (200, 100, 50)).all()
    assert alpha.mean() == pytest.approx(image[..., 3].mean(), abs=0.3)


def test_colours_mix_by_alpha():
    image = np.array([[[200, 0, 0, 255], [0, 100, 0, 51]]], np.uint8)
    out = resize_rgba(image, area_weights(1, 1), area_weights(2, 1))
    assert out[0, 0].tolist() == [round(200 / 1.2), round(100 * 0.2 / 1.2), 0, 153]
