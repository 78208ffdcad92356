"""The losses of colour and mask in Triton: one launch each way, and one for the sum over blocks."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wim_fast.ops.image_losses.reference import ImageLosses
from wim_fast.ops.launch import device_scalar, given

BLOCK = 128  # rays
WARPS = 4


@triton.jit
def _believed(opacity, alpha, weight, doubt, ray, is_ray):
    """Opacity, coverage, and the weight of each ray, the doubted ones less."""
    o = tl.load(opacity + ray, mask=is_ray, other=0.0)
    a = tl.load(alpha + ray, mask=is_ray, other=0.0)
    trust = 1.0 / (1.0 + tl.load(doubt) * (o - a) * (o - a))
    return o, a, tl.load(weight + ray, mask=is_ray, other=0.0) * trust * trust


@triton.jit
def _difference(rgb, filmed, background, o, a, ray, c, is_ray, EVERY: tl.constexpr):
    """Of one colour from what was filmed, and the background's."""
    grey = tl.load(background + 3 * ray * EVERY + c, mask=is_ray, other=0.0)
    seen = tl.load(rgb + 3 * ray + c, mask=is_ray, other=0.0) + (1.0 - o) * grey
    target = a * tl.load(filmed + 3 * ray + c, mask=is_ray, other=0.0) + (1.0 - a) * grey
    return tl.where(is_ray, seen - target, 0.0), grey


@triton.jit(do_not_specialize=["rays", "each", "even"])
def _forward(
    rgb, opacity, filmed, alpha, weight, background, doubt, shares, rays, each, even, EVERY: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_ray = ray < rays
    o, a, believed = _believed(opacity, alpha, weight, doubt, ray, is_ray)
    squares = tl.zeros([BLOCK], tl.float32)
    for c in tl.static_range(3):
        difference, _ = _difference(rgb, filmed, background, o, a, ray, c, is_ray, EVERY)
        squares += difference * difference
    place = shares + 3 * tl.program_id(0)
    tl.store(place, tl.sum(believed * squares) * 4.0 / (3.0 * rays))
    tl.store(place + 1, tl.sum(believed * (o - a) * (o - a)) / rays)
    counted = tl.where(ray % each < even, squares, 0.0)
    tl.store(place + 2, tl.sum(counted) / (3.0 * rays) * (each.to(tl.float32) / even.to(tl.float32)))


@triton.jit(do_not_specialize=["rays"])
def _backward(
    rgb, opacity, filmed, alpha, weight, background, doubt, g_photo, g_mask, g_rgb, g_opacity, rays, EVERY: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_ray = ray < rays
    o, a, believed = _believed(opacity, alpha, weight, doubt, ray, is_ray)
    photo = tl.load(g_photo) * believed * 8.0 / (3.0 * rays)
    g_o = tl.load(g_mask) * believed * 2.0 * (o - a) / rays
    for c in tl.static_range(3):
        difference, grey = _difference(rgb, filmed, background, o, a, ray, c, is_ray, EVERY)
        tl.store(g_rgb + 3 * ray + c, photo * difference, mask=is_ray)
        g_o -= photo * difference * grey
    tl.store(g_opacity + ray, g_o, mask=is_ray)


class _ImageLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, each, even, *tensors):  # type: ignore[override]
        inputs = [x.detach().contiguous() for x in tensors]
        rays, every = len(inputs[1]), int(len(inputs[5]) > 1)
        blocks = triton.cdiv(rays, BLOCK)
        shares = inputs[0].new_empty(blocks, 3)
        _forward[(blocks,)](*inputs, shares, rays, each, even, EVERY=every, BLOCK=BLOCK, num_warps=WARPS)
        ctx.save_for_backward(*inputs)
        losses = shares.sum(0).unbind()
        ctx.mark_non_differentiable(losses[2])
        ctx.set_materialize_grads(False)
        return losses

    @staticmethod
    def backward(ctx, g_photo, g_mask, _):  # type: ignore[override]
        inputs = ctx.saved_tensors
        rays, every = len(inputs[1]), int(len(inputs[5]) > 1)
        grads = torch.empty_like(inputs[0]), torch.empty_like(inputs[1])
        _backward[(triton.cdiv(rays, BLOCK),)](
            *inputs,
            given(g_photo, inputs[0]),
            given(g_mask, inputs[0]),
            *grads,
            rays,
            EVERY=every,
            BLOCK=BLOCK,
            num_warps=WARPS,
        )
        return None, None, *grads, *([None] * 5)


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
    """See ``reference.image_losses``: the same result for float32 tensors on a GPU."""
    doubt = device_scalar(doubt, rgb.device)
    return ImageLosses(
        *_ImageLosses.apply(each, even, rgb, opacity, filmed, alpha, weight, background, doubt)
    )
