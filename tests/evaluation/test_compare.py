"""One rendered picture against what was filmed, by hand; means over views, and their table."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from wim_fast.compositing import over
from wim_fast.evaluation.metrics import MAX_PSNR, compare
from wim_fast.evaluation.summary import summarize
from wim_fast.recordings.masks import OBJECT, UNRELIABLE
from wim_fast.rendering.image import Image
from wim_fast.runs.evaluation_table import metrics_table


def test_over() -> None:
    rgba = np.array([[255, 0, 51, 255], [255, 0, 51, 51], [9, 9, 9, 0]], np.uint8)
    expected = [[1, 0, 0.2], [0.6, 0.4, 0.44], [0.5, 0.5, 0.5]]
    np.testing.assert_allclose(over(rgba, 0.5), expected, atol=1e-6)


def picture(rgba: np.ndarray) -> Image:
    """What is filmed, as if it were rendered."""
    opacity = rgba[..., 3] / 255.0
    rgb = opacity[..., None] * rgba[..., :3] / 255.0
    return Image(rgb, opacity, np.zeros_like(opacity), np.zeros(opacity.shape, np.int32))


def test_compare() -> None:
    """The truth scores best; what differs only where it is unreliable does too."""
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (20, 24, 4)).astype(np.uint8)
    mask = np.where(rgba[..., 3] > 127, OBJECT, 0).astype(np.uint8)
    same = compare(picture(rgba), rgba, mask, 1.0)
    assert same["psnr"] == pytest.approx(MAX_PSNR, abs=1e-6) or same["psnr"] > 80
    assert same["iou"] == 1.0
    other = rgba.copy()
    other[3:6] = 255 - other[3:6]
    worse = compare(picture(other), rgba, mask, 1.0)
    assert worse["psnr"] < 30
    assert worse["iou"] < 1.0
    mask[3:6] = UNRELIABLE
    forgiven = compare(picture(other), rgba, mask, 1.0)
    assert forgiven["psnr"] > 80
    assert forgiven["iou"] == 1.0
    assert compare(picture(other), rgba, np.full_like(mask, UNRELIABLE), 1.0) == {}


def test_summary_and_table() -> None:
    rows = [
        {"camera": 1, "frame": 0, "psnr": 20.0, "iou": 0.5, "psnr_box": float("nan")},
        {"camera": 1, "frame": 1, "psnr": 30.0, "iou": 0.7, "psnr_box": 12.0},
    ]
    summary = summarize(rows)
    assert summary == {"psnr": 25.0, "psnr_box": 12.0, "iou": pytest.approx(0.6), "images": 2}
    assert summarize([]) == {"images": 0}
    console = Console(width=100)
    with console.capture() as capture:
        console.print(metrics_table({"seen": summary, "unseen": {"psnr": 22.0, "images": 1}}))
    text = capture.get()
    assert "25.00 dB" in text
    assert "22.00 dB" in text
    assert "SSIM" not in text  # nobody has it
