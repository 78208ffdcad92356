"""Image metrics: PSNR, SSIM, mask IoU, LPIPS.

Images are float in [0, 1], (H, W, 3); masks are bool, (H, W). Pixels outside `valid` (the scene's unreliable
ones) count nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from wim_fast.compositing import over
from wim_fast.recordings.masks import OBJECT, UNRELIABLE
from wim_fast.rendering.image import Image

MAX_PSNR = 100.0
"""PSNR of equal images: finite, so that means and JSON stay well-formed."""

SSIM_WINDOW = 11
"""Width of the Gaussian SSIM window (sigma 1.5, cut at 3.5 sigma)."""

PAPER_SSIM_WINDOW = 7
"""Width of the uniform window that scikit-image takes by default."""

Lpips = Callable[[np.ndarray, np.ndarray], float]


def psnr(image: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB for a data range of 1, at most `MAX_PSNR`.

    Args:
        image, truth: (H, W, 3).
        valid: (H, W) bool; None counts every pixel.

    Returns:
        dB; NaN if no pixel is valid.
    """
    error = np.square(np.asarray(image, float) - np.asarray(truth, float))
    if valid is not None:
        error = error[valid]
    if not error.size:
        return float("nan")
    return float(min(MAX_PSNR, -10.0 * np.log10(max(error.mean(), 1e-300))))


def ssim(image: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity, Gaussian window (Wang et al. 2004), data range 1; NaN under 11 pixels."""
    return _mean_inside(similarity(image, truth), SSIM_WINDOW)


def similarity(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(H, W, 3) the same of the window round each pixel."""
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return _similarity(image, truth, SSIM_WINDOW, data_range=1.0, **options)


def ssim_as_published(image: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity as the paper takes it: scikit-image's defaults, and the range of the true image.

    Windows are uniform, 7 x 7. NaN under 7 pixels, and for a truth of one value.
    """
    data_range = float(np.ptp(truth)) if np.size(truth) else 0.0
    if not data_range:
        return float("nan")
    of_windows = _similarity(image, truth, PAPER_SSIM_WINDOW, data_range=data_range)
    return _mean_inside(of_windows, PAPER_SSIM_WINDOW)


def _similarity(image: np.ndarray, truth: np.ndarray, window: int, **options: Any) -> np.ndarray:
    """scikit-image's structural similarity (H, W, 3); not valid where windows leave the picture.

    It is 1 where a window sees no difference, so that most of a picture of an object need not be looked at.
    """
    from skimage.metrics import structural_similarity

    image, truth = np.asarray(image, float), np.asarray(truth, float)
    found = np.ones(truth.shape)
    differing = mask_box((image != truth).any(-1), least=1)
    if differing is None or min(truth.shape[:2]) < window:
        return found
    # windows that see a difference have their centres within a radius of it, and see what is within two
    radius = window // 2
    rows, columns = (slice(max(side.start - 2 * radius, 0), side.stop + 2 * radius) for side in differing)
    _, of_windows = structural_similarity(
        image[rows, columns], truth[rows, columns], channel_axis=-1, full=True, **options
    )
    inner = slice(radius, -radius)
    found[rows, columns][inner, inner] = of_windows[inner, inner]
    return found


def _mean_inside(of_windows: np.ndarray, window: int) -> float:
    """Of the windows that do not leave the picture, or the part of it that this is; NaN if there is none."""
    if min(of_windows.shape[:2]) < window:
        return float("nan")
    inner = slice(window // 2, -(window // 2))
    return float(of_windows[inner, inner].mean())


def mask_iou(mask: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Intersection over union of two bool masks (H, W); 1 if both are empty."""
    mask, truth = np.asarray(mask, bool), np.asarray(truth, bool)
    if valid is not None:
        mask, truth = mask[valid], truth[valid]
    union = np.count_nonzero(mask | truth)
    return 1.0 if union == 0 else np.count_nonzero(mask & truth) / union


def mask_box(mask: np.ndarray, least: int = SSIM_WINDOW) -> tuple[slice, slice] | None:
    """Rows and columns of the mask's bounding box, grown to `least` pixels a side where the image has them.

    None if the mask is empty.
    """
    box = []
    for axis in (1, 0):
        inside = np.flatnonzero(np.asarray(mask, bool).any(axis=axis))
        if not inside.size:
            return None
        size = np.shape(mask)[1 - axis]
        start, stop = int(inside[0]), int(inside[-1]) + 1
        grow = max(least - (stop - start), 0)
        start = max(min(start - grow // 2, size - least), 0)
        box.append(slice(start, min(max(stop, start + least), size)))
    return box[0], box[1]


def image_metrics(
    image: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    true_mask: np.ndarray,
    valid: np.ndarray | None = None,
    lpips: Mapping[str, Lpips] | None = None,
) -> dict[str, float]:
    """All metrics of one image.

    Args:
        image, truth: (H, W, 3) on the scene's background.
        mask, true_mask: (H, W) bool.
        valid: (H, W) bool; elsewhere the image is taken to be the truth.
        lpips: from `load_lpips`, by the names that the results are to have.

    Returns:
        psnr, ssim, iou; psnr_box and ssim_box on the true mask's bounding box (NaN if it is empty), where the
        empty background does not flatter; ssim_paper as the paper takes it; and what `lpips` names.
    """
    image, truth = np.asarray(image, float), np.asarray(truth, float)
    if valid is not None:
        image = np.where(valid[..., None], image, truth)
        true_mask = true_mask & valid
    of_windows = similarity(image, truth)
    result = {
        "psnr": psnr(image, truth, valid),
        "ssim": _mean_inside(of_windows, SSIM_WINDOW),
        "ssim_paper": ssim_as_published(image, truth),
        "iou": mask_iou(mask, true_mask, valid),
    }
    box = mask_box(true_mask)
    inside = None if valid is None or box is None else valid[box]
    result["psnr_box"] = float("nan") if box is None else psnr(image[box], truth[box], inside)
    result["ssim_box"] = float("nan") if box is None else _mean_inside(of_windows[box], SSIM_WINDOW)
    return result | {name: measure(image, truth) for name, measure in (lpips or {}).items()}


def compare(
    image: Image,
    rgba: np.ndarray,
    mask: np.ndarray,
    background: float,
    lpips: Mapping[str, Lpips] | None = None,
) -> dict[str, float]:
    """Metrics of one rendered picture.

    Args:
        rgba: (H, W, 4) uint8, straight alpha, what was filmed.
        mask: (H, W) uint8, the scene's; unreliable pixels count nowhere.
        background: grey in [0, 1] behind both.

    Returns:
        What `image_metrics` does; nothing of an image without any reliable pixel.
    """
    valid = mask != UNRELIABLE
    if not valid.any():
        return {}
    return image_metrics(
        image.over(background).clip(0.0, 1.0),
        over(rgba, background),
        image.opacity > 0.5,
        mask == OBJECT,
        valid=None if valid.all() else valid,
        lpips=lpips,
    )


def load_lpips(network: Literal["alex", "vgg"] = "alex") -> Lpips | str:
    """LPIPS v0.1 if package and weights are on this machine, else why it is not available.

    Nothing is ever downloaded: the backbone's weights must lie in torch's hub cache already.

    Args:
        network: AlexNet, the fast one; or VGG16, as the paper takes. Either sees images in [-1, 1].
    """
    try:
        import lpips
        import torch
        from torchvision import models
    except ImportError as error:
        return f"LPIPS needs the package '{error.name}', which is not installed"
    name, backbone = {"alex": ("AlexNet", "AlexNet_Weights"), "vgg": ("VGG16", "VGG16_Weights")}[network]
    url = getattr(models, backbone).IMAGENET1K_V1.url
    weights = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not weights.is_file():
        return f"LPIPS needs {name}'s weights at {weights}, which is not there"
    try:
        measured_by = lpips.LPIPS(net=network, verbose=False).eval()
    except Exception as error:  # whatever a damaged file or another version raises: say so and go on
        return f"LPIPS could not be loaded ({error})"

    def measure(image: np.ndarray, truth: np.ndarray) -> float:
        pair = [torch.as_tensor(x, dtype=torch.float32).permute(2, 0, 1)[None] for x in (image, truth)]
        with torch.no_grad():
            return float(measured_by(*pair, normalize=True))

    return measure
