"""Image metrics against scikit-image and hand computations."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from wim_fast.evaluation.metrics import (
    MAX_PSNR,
    image_metrics,
    load_lpips,
    mask_box,
    mask_iou,
    psnr,
    ssim,
    ssim_as_published,
)


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=(40, 50, 3))
    return np.clip(truth + 0.1 * rng.normal(size=truth.shape), 0, 1), truth


def test_psnr(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = pair
    assert psnr(image, truth) == pytest.approx(peak_signal_noise_ratio(truth, image, data_range=1.0))
    assert psnr(truth, truth) == MAX_PSNR
    assert psnr(np.zeros((2, 2, 3)), np.full((2, 2, 3), 0.1)) == pytest.approx(20.0)


def test_psnr_counts_valid_pixels_only(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = pair
    valid = np.zeros((40, 50), bool)
    valid[:20] = True
    assert psnr(image, truth, valid) == pytest.approx(psnr(image[:20], truth[:20]))
    assert np.isnan(psnr(image, truth, np.zeros_like(valid)))


def test_ssim(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = pair
    grey = [
        structural_similarity(
            truth[..., c], image[..., c], data_range=1, gaussian_weights=True, use_sample_covariance=False
        )
        for c in range(3)
    ]
    assert ssim(image, truth) == pytest.approx(np.mean(grey))
    assert ssim(truth, truth) == pytest.approx(1.0)
    assert np.isnan(ssim(image[:8], truth[:8]))


def test_ssim_as_published(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """From its formula, window by window: uniform, 7 x 7, sample variances, the range of the true image."""
    image, truth = pair[0][:, :, :2], 0.3 + 0.5 * pair[1][:, :, :2]
    reach = truth.max() - truth.min()
    c1, c2 = (0.01 * reach) ** 2, (0.03 * reach) ** 2
    values = []
    for channel in range(2):
        for row in range(40 - 6):
            for column in range(50 - 6):
                x = image[row : row + 7, column : column + 7, channel].ravel()
                y = truth[row : row + 7, column : column + 7, channel].ravel()
                (vx, vxy), (_, vy) = np.cov(x, y)
                luminance = (2 * x.mean() * y.mean() + c1) / (x.mean() ** 2 + y.mean() ** 2 + c1)
                values.append(luminance * (2 * vxy + c2) / (vx + vy + c2))
    assert ssim_as_published(image, truth) == pytest.approx(np.mean(values))
    assert np.isnan(ssim_as_published(image[:6], truth[:6]))
    assert np.isnan(ssim_as_published(image, np.ones_like(truth)))


def test_iou_by_hand() -> None:
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert mask_iou(a, b) == 1.0
    a[:2], b[1:3] = True, True
    assert mask_iou(a, b) == pytest.approx(4 / 12)
    assert mask_iou(a, b, valid=np.arange(4)[:, None] < np.full(4, 2)) == pytest.approx(0.5)


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    corner=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    size=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_mask_box_holds_the_mask(height: int, width: int, corner: tuple, size: tuple) -> None:
    mask = np.zeros((height, width), bool)
    top, left = int(corner[0] * (height - 1)), int(corner[1] * (width - 1))
    mask[top : top + 1 + int(size[0] * height), left : left + 1 + int(size[1] * width)] = True
    box = mask_box(mask)
    assert box is not None
    assert mask[box].sum() == mask.sum()
    for axis, side in enumerate(mask[box].shape):
        assert side == max(int(mask.any(axis=1 - axis).sum()), min(11, mask.shape[axis]))
    assert mask_box(np.zeros_like(mask)) is None


def test_image_metrics_together(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = pair
    mask = np.zeros((40, 50), bool)
    mask[10:30, 5:25] = True
    result = image_metrics(image, truth, mask, mask, lpips={"lpips": lambda a, b: 0.25})
    assert set(result) == {"psnr", "ssim", "iou", "psnr_box", "ssim_box", "ssim_paper", "lpips"}
    assert result["psnr_box"] == pytest.approx(psnr(image[10:30, 5:25], truth[10:30, 5:25]))
    assert result["ssim_box"] == pytest.approx(ssim(image[10:30, 5:25], truth[10:30, 5:25]))
    assert result["iou"] == 1.0
    assert result["lpips"] == 0.25
    empty = image_metrics(image, truth, mask, np.zeros_like(mask))
    assert np.isnan(empty["psnr_box"])
    assert np.isnan(empty["ssim_box"])
    assert empty["iou"] == 0.0


def test_unreliable_pixels_count_nowhere(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = pair
    mask = np.zeros((40, 50), bool)
    mask[10:30, 5:25] = True
    valid = np.ones((40, 50), bool)
    valid[:, 15:] = False
    spoiled, wrong = image.copy(), mask.copy()
    spoiled[~valid], wrong[~valid] = 0.0, True
    assert image_metrics(spoiled, truth, wrong, mask, valid) == image_metrics(image, truth, mask, mask, valid)


def test_lpips_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    reason = load_lpips()
    assert isinstance(reason, str)
    assert "lpips" in reason

    torch = pytest.importorskip("torch")
    models = ModuleType("torchvision.models")
    url = "https://example.org/alexnet-1.pth"
    models.AlexNet_Weights = type("W", (), {"IMAGENET1K_V1": type("V", (), {"url": url})})
    url = "https://example.org/vgg16-1.pth"
    models.VGG16_Weights = type("W", (), {"IMAGENET1K_V1": type("V", (), {"url": url})})
    lpips = ModuleType("lpips")

    class Network(torch.nn.Module):
        def forward(self, a, b, normalize):
            assert normalize
            assert a.shape == (1, 3, 4, 5)
            return (a - b).abs().mean().reshape(1, 1, 1, 1)

    asked = []
    lpips.LPIPS = lambda net, verbose: asked.append(net) or Network()
    monkeypatch.setitem(sys.modules, "lpips", lpips)
    torchvision = ModuleType("torchvision")
    torchvision.models = models
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    reason = load_lpips()
    assert isinstance(reason, str)
    assert "alexnet-1.pth" in reason

    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "alexnet-1.pth").touch()
    measure = load_lpips()
    assert callable(measure)
    assert measure(np.ones((4, 5, 3)), np.zeros((4, 5, 3))) == pytest.approx(1.0)
    assert "VGG16's weights at" in load_lpips("vgg")
    (tmp_path / "checkpoints" / "vgg16-1.pth").touch()
    assert callable(load_lpips("vgg"))
    assert asked == ["alex", "vgg"]


@pytest.mark.parametrize(
    "place", [(slice(20, 40), slice(5, 35)), (slice(0, 3), slice(47, 50)), (slice(0, 0), slice(0, 0))]
)
def test_windows_without_a_difference_need_not_be_looked_at(place: tuple[slice, slice]) -> None:
    """scikit-image on the whole picture says the same of one that differs from the truth in some place."""
    from skimage.metrics import structural_similarity

    generator = np.random.default_rng(3)
    truth = generator.random((44, 50, 3))
    image = truth.copy()
    image[place] = generator.random(image[place].shape)
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    whole = structural_similarity(image, truth, channel_axis=-1, data_range=1.0, **gaussian)
    assert ssim(image, truth) == pytest.approx(whole, abs=1e-12)
    published = structural_similarity(image, truth, channel_axis=-1, data_range=np.ptp(truth))
    assert ssim_as_published(image, truth) == pytest.approx(published, abs=1e-12)
