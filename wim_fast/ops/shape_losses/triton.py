"""The losses of shape in Triton: one launch each way for all of them, and one for the sum over blocks."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wim_fast.ops.launch import device_scalar
from wim_fast.ops.shape_losses.reference import ShapeLosses

BLOCK = 128  # points of each kind
WARPS = 4


@triton.jit
def _tap_gradient(tap_sdf, i, taps, tap, is_tap):
    """Of some points: the distances at the four corners round each, and the gradient, with its length."""
    s0 = tl.load(tap_sdf + i, mask=is_tap, other=0.0)
    s1 = tl.load(tap_sdf + taps + i, mask=is_tap, other=0.0)
    s2 = tl.load(tap_sdf + 2 * taps + i, mask=is_tap, other=0.0)
    s3 = tl.load(tap_sdf + 3 * taps + i, mask=is_tap, other=0.0)
    x = (s0 - s1 - s2 + s3) / (4.0 * tap)
    y = (s3 - s0 - s1 + s2) / (4.0 * tap)
    z = (s3 - s0 + s1 - s2) / (4.0 * tap)
    return s0, s1, s2, s3, x, y, z, tl.sqrt(x * x + y * y + z * z)


@triton.jit
def _slope(sdf, inv_s):
    """The density's derivative."""
    density = tl.sigmoid(-inv_s * sdf)
    return -inv_s * density * (1.0 - density)


@triton.jit(do_not_specialize=["taps", "points", "cores"])
def _forward(
    tap_sdf, light, void_sdf, unjudged, core_sdf, inside, tap, sharpness, shares, taps, points, cores, BLOCK: tl.constexpr,
):  # fmt: skip
    i, place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), shares + 4 * tl.program_id(0)
    inv_s = tl.load(sharpness)
    is_tap = i < taps
    s0, s1, s2, s3, _, _, _, length = _tap_gradient(tap_sdf, i, taps, tap, is_tap)
    lost = tl.where(is_tap, (length - 1.0) * (length - 1.0), 0.0)
    tl.store(place, tl.sum(lost) / tl.maximum(taps, 1))
    density = (
        tl.sigmoid(-inv_s * s0) + tl.sigmoid(-inv_s * s1) + tl.sigmoid(-inv_s * s2) + tl.sigmoid(-inv_s * s3)
    )
    density *= tl.load(light + i, mask=is_tap, other=0.0)
    tl.store(place + 1, tl.sum(tl.where(is_tap, density, 0.0)) / tl.maximum(4 * taps, 1))
    counts = tl.load(unjudged + i, mask=i < points, other=0) != 0
    density = tl.sigmoid(-inv_s * tl.load(void_sdf + i, mask=counts, other=0.0))
    tl.store(place + 2, tl.sum(tl.where(counts, density, 0.0)) / tl.maximum(points, 1))
    counts = tl.load(inside + i, mask=i < cores, other=0) != 0
    outside = tl.maximum(tl.load(core_sdf + i, mask=counts, other=0.0), 0.0)
    tl.store(place + 3, tl.sum(outside) / tl.maximum(cores, 1))


@triton.jit(do_not_specialize=["taps", "points", "cores"])
def _backward(
    tap_sdf, light, void_sdf, unjudged, core_sdf, inside, tap, sharpness, g_eikonal, g_volume, g_void, g_hull,
    g_taps, g_points, g_cores, taps, points, cores, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inv_s = tl.load(sharpness)
    is_tap = i < taps
    s0, s1, s2, s3, x, y, z, length = _tap_gradient(tap_sdf, i, taps, tap, is_tap)
    eikonal = tl.load(g_eikonal) * 2.0 * (length - 1.0) / (length * taps * 4.0 * tap)
    eikonal = tl.where(length > 0.0, eikonal, 0.0)
    volume = tl.load(g_volume) * tl.load(light + i, mask=is_tap, other=0.0) / (4.0 * taps)
    tl.store(g_taps + i, eikonal * (x - y - z) + volume * _slope(s0, inv_s), mask=is_tap)
    tl.store(g_taps + taps + i, eikonal * (z - x - y) + volume * _slope(s1, inv_s), mask=is_tap)
    tl.store(g_taps + 2 * taps + i, eikonal * (y - x - z) + volume * _slope(s2, inv_s), mask=is_tap)
    tl.store(g_taps + 3 * taps + i, eikonal * (x + y + z) + volume * _slope(s3, inv_s), mask=is_tap)
    counts = tl.load(unjudged + i, mask=i < points, other=0) != 0
    slope = _slope(tl.load(void_sdf + i, mask=counts, other=0.0), inv_s)
    tl.store(g_points + i, tl.where(counts, tl.load(g_void) / points * slope, 0.0), mask=i < points)
    counts = tl.load(inside + i, mask=i < cores, other=0) != 0
    counts = counts & (tl.load(core_sdf + i, mask=counts, other=0.0) > 0.0)
    tl.store(g_cores + i, tl.where(counts, tl.load(g_hull) / cores, 0.0), mask=i < cores)


class _ShapeLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tap_sdf, light, void_sdf, unjudged, core_sdf, inside, tap, inv_s):  # type: ignore[override]
        tensors = [x.detach().contiguous() for x in (tap_sdf, light, void_sdf, unjudged, core_sdf, inside)]
        inputs = *tensors, tap, inv_s
        ctx.sizes = tap_sdf.shape[1], len(void_sdf), len(core_sdf)
        blocks = triton.cdiv(max(*ctx.sizes, 1), BLOCK)
        shares = tap_sdf.new_empty(blocks, 4)
        _forward[(blocks,)](*inputs, shares, *ctx.sizes, BLOCK=BLOCK, num_warps=WARPS)
        ctx.save_for_backward(*tensors, inv_s)
        ctx.tap = tap
        return shares.sum(0).unbind()

    @staticmethod
    def backward(ctx, *grads):  # type: ignore[override]
        *tensors, inv_s = ctx.saved_tensors
        found = [torch.empty_like(tensors[k]) for k in (0, 2, 4)]
        blocks = triton.cdiv(max(*ctx.sizes, 1), BLOCK)
        _backward[(blocks,)](
            *tensors,
            ctx.tap,
            inv_s,
            *(g.contiguous() for g in grads),
            *found,
            *ctx.sizes,
            BLOCK=BLOCK,
            num_warps=WARPS,
        )
        return found[0], None, found[1], None, found[2], None, None, None


def shape_losses(
    tap_sdf: Tensor,
    light: Tensor,
    void_sdf: Tensor,
    unjudged: Tensor,
    core_sdf: Tensor,
    inside: Tensor,
    tap: float,
    inv_s: Tensor,
) -> ShapeLosses:
    """See ``reference.shape_losses``: the same result for float32 tensors on a GPU."""
    sharpness = device_scalar(inv_s, tap_sdf.device)
    return ShapeLosses(
        *_ShapeLosses.apply(tap_sdf, light, void_sdf, unjudged, core_sdf, inside, tap, sharpness)
    )
