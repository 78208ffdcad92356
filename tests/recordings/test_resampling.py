import numpy as np
import pytest

from wim_fast.errors import UserError
from wim_fast.recordings.lenses import Lens, brown
from wim_fast.recordings.masks import coverage
from wim_fast.recordings.resampling import Resampling, area_weights
from wim_fast.recordings.windows import Window, window_intrinsics


def resampled(resampling, rgb, mask):
    """Of a mask of 0, 1, 2."""
    return resampling(rgb, (mask == 1).astype(np.float32), mask == 2)


def resized(rgba, size):
    """Straight-alpha RGBA."""
    return Resampling(rgba.shape[:2], size)(rgba[..., :3], *coverage(rgba[..., 3]))[0]


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    mask = np.zeros((24, 36), np.uint8)
    mask[6:18, 9:30] = 1
    return rng.integers(0, 256, (24, 36, 3), dtype=np.uint8), mask


def test_nothing_to_do(image):
    rgb, mask = image
    rgba, same = resampled(Resampling((24, 36), (24, 36)), rgb, mask)
    np.testing.assert_array_equal(rgba, np.concatenate([rgb, 255 * mask[..., None]], -1))
    np.testing.assert_array_equal(same, mask)


def test_whole_factors_are_means_of_pixels(image):
    rgb, mask = image
    rgba, small = resampled(Resampling((24, 36), (8, 12)), rgb, mask)
    full = np.concatenate([rgb, np.ones_like(mask)[..., None]], -1) * mask[..., None].astype(float)
    means = full.reshape(8, 3, 12, 3, 4).mean((1, 3))
    alpha = means[..., 3:]
    seen = alpha[..., 0] > 0
    np.testing.assert_allclose(rgba[..., 3], 255 * alpha[..., 0], atol=0.51)
    np.testing.assert_allclose(rgba[seen][:, :3], (means[..., :3] / np.maximum(alpha, 1e-9))[seen], atol=0.51)
    np.testing.assert_array_equal(small, alpha[..., 0] > 0.5)


def test_a_window_is_cut_out(image):
    rgb, mask = image
    rgba, cut = resampled(Resampling((24, 36), (10, 12), Window(20, 4, 32, 14)), rgb, mask)
    np.testing.assert_array_equal(cut, mask[4:14, 20:32])
    inside = cut == 1
    np.testing.assert_array_equal(rgba[inside][:, :3], rgb[4:14, 20:32][inside])
    _, over = resampled(Resampling((24, 36), (10, 10), Window(30, 18, 40, 28)), rgb, mask)
    assert (over[6:] == 2).all()
    assert (over[:, 6:] == 2).all()
    assert (over[:6, :6] != 2).all()


def test_what_touches_unreliable_pixels_is_unreliable(image):
    rgb, mask = image
    mask[8, 10] = 2
    rgba, small = resampled(Resampling((24, 36), (12, 18)), rgb, mask)
    assert np.argwhere(small == 2).tolist() == [[4, 5]]
    rgb[8, 10] = 255 - rgb[8, 10]
    np.testing.assert_array_equal(resampled(Resampling((24, 36), (12, 18)), rgb, mask)[0], rgba)


def test_points_go_where_the_lens_draws_them():
    """A dot at a distorted position comes out at its ideal one, in the intrinsics of the window."""
    K = np.array([[90.0, 0, 61], [0, 95.0, 39], [0, 0, 1]])
    lens = brown("f", "it", (-0.2, 0.1, 0.004, -0.006, 0.02))
    window, size = Window(10, 5, 110, 75), (140, 200)
    resampling = Resampling((80, 120), size, window, K, lens)
    for ideal in ([-0.4, 0.2], [0.1, -0.25], [0.35, 0.3]):
        drawn = lens.distort(np.array(ideal)) * K[[0, 1], [0, 1]] + K[[0, 1], [2, 2]]
        y, x = np.mgrid[:80, :120] + 0.5
        mask = (np.hypot(x - drawn[0], y - drawn[1]) < 4).astype(np.uint8)
        _, found = resampled(resampling, np.zeros((80, 120, 3), np.uint8), mask)
        new = window_intrinsics(K, window, size) @ [*ideal, 1]
        middle = np.argwhere(found == 1).mean(0)[::-1] + 0.5
        np.testing.assert_allclose(middle, new[:2], atol=0.5)


def test_distortion_is_opencvs_model():
    """By hand: x = 0.5, y = -0.2, r^2 = 0.29."""
    radial = 1 + 0.1 * 0.29 - 0.05 * 0.29**2 + 0.2 * 0.29**3
    x = 0.5 * radial + 2 * 0.01 * 0.5 * -0.2 + 0.02 * (0.29 + 2 * 0.25)
    y = -0.2 * radial + 0.01 * (0.29 + 2 * 0.04) + 2 * 0.02 * 0.5 * -0.2
    found = brown("f", "it", (0.1, -0.05, 0.01, 0.02, 0.2)).distort(np.array([0.5, -0.2]))
    np.testing.assert_allclose(found, [x, y], rtol=1e-12)


def test_the_rational_lens():
    """OpenCV's formula with k4, k5, k6, written out."""
    k1, k2, p1, p2, k3, k4, k5, k6 = lens = (0.3, -0.1, 0.002, -0.001, 0.05, 0.2, -0.05, 0.01)
    x, y = 0.3, -0.4
    r = np.hypot(x, y)
    radial = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
    expected = [
        x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2),
        y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y,
    ]
    np.testing.assert_allclose(brown("f", "it", lens).distort(np.array([x, y])), expected, rtol=1e-12)


def test_a_lens_that_folds_back_says_nothing_beyond():
    """r (1 - 0.3 r^2) grows up to r = 1.054: farther out the image would appear a second time."""
    lens = Lens((-0.3,))
    assert abs(lens.reach(3.0) - np.sqrt(1 / 0.9)) < 2e-3
    assert lens.reach(1.0) == np.inf
    K = np.array([[20.0, 0, 30], [0, 20.0, 20], [0, 0, 1]])
    mask = np.ones((40, 60), np.uint8)
    bent = Resampling((40, 60), (40, 60), None, K, lens)
    _, seen = resampled(bent, np.zeros((40, 60, 3), np.uint8), mask)
    y, x = np.mgrid[:40, :60] + 0.5
    radius = np.hypot((x - 30) / 20, (y - 20) / 20)
    assert (seen[radius > 1.06] == 2).all()
    assert (seen[radius < 0.98] == 1).all()


def test_soft_masks_stay_soft():
    rgb = np.full((4, 6, 3), 90, np.uint8)
    alpha = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6)
    unsure = np.zeros((4, 6), bool)
    unsure[1, 2] = True
    rgba, mask = Resampling((4, 6), (4, 6))(rgb, alpha, unsure)
    np.testing.assert_array_equal(rgba[..., 3], np.rint(255 * alpha))
    assert mask[1, 2] == 2
    assert ((mask == 1) == (rgba[..., 3] > 127))[~unsure].all()
    rgba, _ = Resampling((4, 6), (2, 3))(rgb, alpha, unsure)
    np.testing.assert_allclose(rgba[..., 3], 255 * alpha.reshape(2, 2, 3, 2).mean((1, 3)), atol=0.51)


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
    small = resized(image, (new, new))
    assert small.shape == (new, new, 4)
    alpha = small[..., 3]
    assert ((alpha > 0) & (alpha < 255)).sum() > 50
    assert (small[alpha > 0][:, :3] == (200, 100, 50)).all()
    assert alpha.mean() == pytest.approx(image[..., 3].mean(), abs=0.3)


def test_colours_mix_by_alpha():
    image = np.array([[[200, 0, 0, 255], [0, 100, 0, 51]]], np.uint8)
    out = resized(image, (1, 1))
    assert out[0, 0].tolist() == [round(200 / 1.2), round(100 * 0.2 / 1.2), 0, 153]


def test_windows_are_means_over_areas():
    """By hand, on a fine grid: a window with fractional edges that reaches beyond the picture."""
    rng = np.random.default_rng(1)
    image = np.concatenate([rng.integers(0, 256, (12, 10, 3)), np.full((12, 10, 1), 255)], -1).astype(
        np.uint8
    )
    window = Window(-1.5, 2.25, 8.5, 9.75)  # 10 x 7.5 pixels to 4 x 3
    y = (window.y0 + (np.arange(3 * 50) + 0.5) * 7.5 / 150)[:, None]
    x = (window.x0 + (np.arange(4 * 50) + 0.5) * 10 / 200)[None]
    inside = (x >= 0) & (x < 10) & (y >= 0) & (y < 12)
    sampled = image[np.clip(y, 0, 11.9).astype(int), np.clip(x, 0, 9.9).astype(int)].astype(float)
    expected = sampled.reshape(3, 50, 4, 50, 4).mean((1, 3))
    rgba, mask = Resampling((12, 10), (3, 4), window)(image[..., :3], *coverage(image[..., 3]))
    whole = inside.reshape(3, 50, 4, 50).all((1, 3))
    np.testing.assert_array_equal(mask == 2, ~whole)
    np.testing.assert_allclose(rgba[whole], expected[whole], atol=0.6)


def test_a_skew_is_undone():
    """A dot drawn by a sheared camera comes out where the same camera without shear draws it."""
    K = np.array([[90.0, 12.0, 61], [0, 95.0, 39], [0, 0, 1]])
    resampling = Resampling((80, 120), (80, 120), None, K)
    for ideal in ([-0.4, 0.2, 1], [0.1, -0.25, 1], [0.35, 0.3, 1]):
        drawn = K @ ideal
        y, x = np.mgrid[:80, :120] + 0.5
        mask = (np.hypot(x - drawn[0], y - drawn[1]) < 4).astype(np.uint8)
        _, found = resampled(resampling, np.zeros((80, 120, 3), np.uint8), mask)
        middle = np.argwhere(found == 1).mean(0)[::-1] + 0.5
        straight = K * [[1, 0, 1], [1, 1, 1], [1, 1, 1]] @ ideal
        np.testing.assert_allclose(middle, straight[:2], atol=0.5)


def test_lenses_by_their_numbers():
    assert brown("f", "it", None) == brown("f", "it", np.zeros(0)) == Lens()
    assert brown("f", "it", [1, 2, 3, 4]) == Lens((1, 2, 0), (), (3, 4))
    assert brown("f", "it", [[1, 2, 3, 4, 5]]) == Lens((1, 2, 5), (), (3, 4))
    assert brown("f", "it", [1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0]) == Lens((1, 2, 5), (), (3, 4))
    assert brown("f", "it", [1, 2, 3, 4, 5, 6, 7, 8]) == Lens((1, 2, 5), (6, 7, 8), (3, 4))
    for wrong in ([1, 2, 3], [0] * 8 + [1], [np.nan] * 5):
        with pytest.raises(UserError, match=f"it holds {len(wrong)} numbers"):
            brown("f", "it", wrong)
