"""What rays see against what was filmed, in plain torch (paper section 3.6): eq. 10's losses of colour and mask."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class ImageLosses(NamedTuple):
    """Scalars without their weights."""

    photo: Tensor
    mask: Tensor
    squared_error: Tensor  # mean over even rays and colours, all of them believed; no gradient


def image_losses(
    rgb: Tensor,
    opacity: Tensor,
    filmed: Tensor,
    alpha: Tensor,
    weight: Tensor,
    background: Tensor,
    doubt: float | Tensor,
    each: int,
    even: int,
) -> ImageLosses:
    """Both losses of R rays, over `background`; masks are believed as far as `trust` says.

    Args:
        rgb: (R, 3) premultiplied by `opacity` (R,), as rendered.
        filmed: (R, 3) straight, in [0, 1]; alpha: (R,) its coverage.
        weight: (R,) of the rays.
        background: (R, 3) or (1, 3), in [0, 1].
        doubt: see `trust`.
        each: the rays of an image; R is a multiple of it. The first `even` of them are those drawn evenly.
    """
    rgb = rgb + (1 - opacity)[:, None] * background
    target = alpha[:, None] * filmed + (1 - alpha)[:, None] * background
    believed = weight * trust(opacity, alpha, doubt)
    with torch.no_grad():
        squared_error = ((rgb - target) ** 2).view(-1, each, 3)[:, :even].mean()
    return ImageLosses(photo_loss(rgb, target, believed), mask_loss(opacity, alpha, believed), squared_error)


def photo_loss(rgb: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared colour difference on the scale [-1, 1] (hence the 4); rgb, target (R, 3) in [0, 1], weight (R,)."""
    return 4 * (weight[:, None] * (rgb - target) ** 2).mean()


def mask_loss(opacity: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared opacity difference; opacity, target and weight (R,)."""
    return (weight * (opacity - target) ** 2).mean()


def trust(opacity: Tensor, alpha: Tensor, doubt: float | Tensor) -> Tensor:
    """How far a mask is believed at rays (R,), without gradient: Geman and McClure's weight 1 / (1 + doubt * error^2)^2.

    Where model and mask disagree, either is wrong; the model has learned from all other views. `doubt` (): 0 believes
    everything, and at 1 / c^2 an error of c counts a quarter.
    """
    error = (opacity - alpha).detach()
    return (1 + doubt * error**2).square().reciprocal()
