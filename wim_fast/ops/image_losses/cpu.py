"""The losses of colour and mask compiled by numba: their gradients are found with them, going backward scales these."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from wim_fast.ops.compiled import arrays, kernel
from wim_fast.ops.image_losses.reference import ImageLosses

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)
_FOUR = np.float32(4.0)


@functools.partial(kernel, parallel=False)
def _losses(rgb, opacity, filmed, alpha, weight, background, doubt, each, even, losses, g_rgb, g_photo, g_mask):  # fmt: skip
    """`g_rgb` (R, 3) and `g_photo` (R,) of the photo loss with respect to colour and opacity, `g_mask` (R,) of the mask loss."""
    rays, every = opacity.shape[0], background.shape[0] > 1
    of_color, of_ray = _ONE / np.float32(3 * rays), _ONE / np.float32(rays)
    photo = mask = squared_error = 0.0
    for i in range(rays):
        error = opacity[i] - alpha[i]
        trust = _ONE / (_ONE + doubt * error * error)
        believed = weight[i] * trust * trust
        g_opacity = np.float32(0.0)
        squares = np.float32(0.0)
        for c in range(3):
            grey = background[i if every else 0, c]
            seen = rgb[i, c] + (_ONE - opacity[i]) * grey
            difference = seen - (alpha[i] * filmed[i, c] + (_ONE - alpha[i]) * grey)
            squares += difference * difference
            g = _FOUR * believed * _TWO * difference * of_color
            g_rgb[i, c] = g
            g_opacity -= g * grey
        g_photo[i] = g_opacity
        g_mask[i] = _TWO * believed * error * of_ray
        photo += believed * squares
        mask += believed * error * error
        squared_error += squares if i % each < even else _ZERO
    losses[0] = _FOUR * photo * of_color
    losses[1] = mask * of_ray
    losses[2] = squared_error * of_color * (np.float32(each) / np.float32(even))


class _ImageLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rgb, opacity, *others):  # type: ignore[override]
        *others, doubt, each, even = others
        rgb_, opacity_, *others_ = arrays(rgb, opacity, *others)
        doubt = np.float32(float(doubt))
        losses = np.zeros((3, 1), np.float32)
        ctx.gradients = [np.empty_like(x) for x in (rgb_, opacity_, opacity_)]
        _losses(rgb_, opacity_, *others_, doubt, each, even, losses[:, 0], *ctx.gradients)
        photo, mask, squared_error = (torch.from_numpy(loss).squeeze(0) for loss in losses)
        ctx.mark_non_differentiable(squared_error)
        return photo, mask, squared_error

    @staticmethod
    def backward(ctx, g_photo, g_mask, _):  # type: ignore[override]
        of_rgb, of_opacity, of_mask = ctx.gradients
        photo, mask = np.float32(g_photo.item()), np.float32(g_mask.item())
        found = photo * of_rgb, photo * of_opacity + mask * of_mask
        return *(torch.from_numpy(g) for g in found), *([None] * 7)


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
    """See ``reference.image_losses``: the same result for CPU float32 tensors."""
    return ImageLosses(
        *_ImageLosses.apply(rgb, opacity, filmed, alpha, weight, background, doubt, each, even)
    )
