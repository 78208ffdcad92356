"""Compositing in Triton: a block of rays, each walked in strides of consecutive samples, with a closed-form backward."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wim_fast.ops.composite import reference
from wim_fast.ops.composite.reference import Composited
from wim_fast.ops.launch import device_scalar, given

RAYS = 8  # per block
STRIDE = 16  # samples of each ray at a time
WARPS = 4
MIN_WEIGHT, EVEN = tl.constexpr(reference.MIN_WEIGHT), tl.constexpr(reference.EVEN)
OPAQUE = tl.constexpr(-30.0)  # log of a transmittance that is nothing; greater sums would be less exact


@triton.jit
def _log_sigmoid(x):
    return tl.minimum(x, 0.0) - tl.log(1.0 + tl.exp(-tl.abs(x)))


@triton.jit
def _rays(offsets, num_rays, RAYS: tl.constexpr):
    """This block's rays, where their samples begin and end, and the largest number of samples among them."""
    ray = tl.program_id(0) * RAYS + tl.arange(0, RAYS)
    start = tl.load(offsets + ray, mask=ray < num_rays, other=0).to(tl.int32)
    end = tl.load(offsets + ray + 1, mask=ray < num_rays, other=0).to(tl.int32)
    return ray, start, end, tl.max(end - start)


@triton.jit
def _samples(k, start, end, STRIDE: tl.constexpr):
    """(RAYS, STRIDE) the samples number k to k + STRIDE of the rays, and whether they are there."""
    sample = (start + k)[:, None] + tl.arange(0, STRIDE)[None, :]
    return sample, sample < end[:, None]


@triton.jit
def _padding(offsets, num_rays, num_samples, k, BLOCK: tl.constexpr):
    """Rows behind the last ray's samples, shared among all blocks: the k-th of this block's, and whether they are there."""
    row = tl.load(offsets + num_rays).to(tl.int32) + tl.program_id(0) * BLOCK + k + tl.arange(0, BLOCK)
    return row, row < num_samples


@triton.jit
def _log_keep_between(here, behind, is_interval, inv_s):
    """log(1 - alpha) between two samples with these distances; 0 where there is no interval."""
    log_keep = tl.minimum(_log_sigmoid(inv_s * behind) - _log_sigmoid(inv_s * here), 0.0)
    return tl.where(is_interval, tl.maximum(log_keep, OPAQUE), 0.0)


@triton.jit
def _log_keep(sdf, sample, is_first_end, inv_s):
    """log(1 - alpha) of the interval that begins at `sample`; 0 where `is_first_end` says that there is none."""
    here = tl.load(sdf + sample, mask=is_first_end, other=0.0)
    behind = tl.load(sdf + sample + 1, mask=is_first_end, other=0.0)
    return _log_keep_between(here, behind, is_first_end, inv_s)


@triton.jit
def _middle(x, step, sample, is_first_end):
    """Mean of the two ends of the interval that begins at `sample`."""
    here = tl.load(x + step * sample, mask=is_first_end, other=0.0)
    return 0.5 * (here + tl.load(x + step * (sample + 1), mask=is_first_end, other=0.0))


@triton.jit(do_not_specialize=["num_rays", "num_samples"])
def _forward(
    sdf, rgb, t, offsets, inv_s_pointer, out_rgb, out_opacity, out_depth, out_transmittance, num_rays, num_samples,
    RAYS: tl.constexpr, STRIDE: tl.constexpr,
):  # fmt: skip
    ray, start, end, longest = _rays(offsets, num_rays, RAYS)
    inv_s = tl.load(inv_s_pointer)
    before = tl.zeros([RAYS], tl.float32)  # log of the transmittance so far
    r = tl.zeros([RAYS], tl.float32)
    g = tl.zeros([RAYS], tl.float32)
    b = tl.zeros([RAYS], tl.float32)
    depth = tl.zeros([RAYS], tl.float32)
    for k in range(0, longest, STRIDE):
        sample, is_sample = _samples(k, start, end, STRIDE)
        is_interval = sample + 1 < end[:, None]
        log_keep = _log_keep(sdf, sample, is_interval, inv_s)
        after = before[:, None] + tl.cumsum(log_keep, axis=1)
        here = tl.exp(after - log_keep)
        tl.store(out_transmittance + sample, here, mask=is_sample)
        weight = here - tl.exp(after)
        r += tl.sum(weight * _middle(rgb, 3, sample, is_interval), axis=1)
        g += tl.sum(weight * _middle(rgb + 1, 3, sample, is_interval), axis=1)
        b += tl.sum(weight * _middle(rgb + 2, 3, sample, is_interval), axis=1)
        depth += tl.sum(weight * _middle(t, 1, sample, is_interval), axis=1)
        before += tl.sum(log_keep, axis=1)
    is_ray = ray < num_rays
    tl.store(out_rgb + 3 * ray, r, mask=is_ray)
    tl.store(out_rgb + 3 * ray + 1, g, mask=is_ray)
    tl.store(out_rgb + 3 * ray + 2, b, mask=is_ray)
    tl.store(out_opacity + ray, 1.0 - tl.exp(before), mask=is_ray)
    tl.store(out_depth + ray, depth, mask=is_ray)
    for k in range(0, num_samples, tl.num_programs(0) * RAYS * STRIDE):
        row, is_row = _padding(offsets, num_rays, num_samples, k, RAYS * STRIDE)
        tl.store(out_transmittance + row, tl.zeros([RAYS * STRIDE], tl.float32), mask=is_row)


@triton.jit
def _value(rgb, t, sample, is_interval, g_r, g_g, g_b, g_opacity, g_depth):
    """What a unit of weight of the interval that begins at `sample` adds to the loss."""
    value = g_opacity[:, None] + g_depth[:, None] * _middle(t, 1, sample, is_interval)
    value += g_r[:, None] * _middle(rgb, 3, sample, is_interval)
    value += g_g[:, None] * _middle(rgb + 1, 3, sample, is_interval)
    return value + g_b[:, None] * _middle(rgb + 2, 3, sample, is_interval)


@triton.jit(do_not_specialize=["num_rays", "num_samples"])
def _backward(
    sdf, rgb, t, offsets, inv_s_pointer, out_rgb, out_opacity, out_depth, g_out_rgb, g_out_opacity, g_out_depth,
    g_sdf, g_rgb, num_rays, num_samples, RAYS: tl.constexpr, STRIDE: tl.constexpr,
):  # fmt: skip
    # L = sum_k w_k v_k with w_k = T_k - T_{k+1} and T_{k+1} = exp(sum of log_keep up to k), hence
    # dL / d log_keep_k = sum_{m > k} w_m v_m - T_{k+1} v_k; the whole sum is known from the outputs
    ray, start, end, longest = _rays(offsets, num_rays, RAYS)
    is_ray = ray < num_rays
    inv_s = tl.load(inv_s_pointer)
    g_r = tl.load(g_out_rgb + 3 * ray, mask=is_ray, other=0.0)
    g_g = tl.load(g_out_rgb + 3 * ray + 1, mask=is_ray, other=0.0)
    g_b = tl.load(g_out_rgb + 3 * ray + 2, mask=is_ray, other=0.0)
    g_opacity = tl.load(g_out_opacity + ray, mask=is_ray, other=0.0)
    g_depth = tl.load(g_out_depth + ray, mask=is_ray, other=0.0)
    rest = g_r * tl.load(
        out_rgb + 3 * ray, mask=is_ray, other=0.0
    )  # of the sum, from the stride's first interval on
    rest += g_g * tl.load(out_rgb + 3 * ray + 1, mask=is_ray, other=0.0)
    rest += g_b * tl.load(out_rgb + 3 * ray + 2, mask=is_ray, other=0.0)
    rest += g_opacity * tl.load(out_opacity + ray, mask=is_ray, other=0.0)
    rest += g_depth * tl.load(out_depth + ray, mask=is_ray, other=0.0)
    before = tl.zeros([RAYS], tl.float32)
    for k in range(0, longest, STRIDE):
        sample, is_sample = _samples(k, start, end, STRIDE)
        # the interval that begins at each sample, and the one that ends there
        begins = sample + 1 < end[:, None]
        ends = is_sample & (sample > start[:, None])
        log_keep = _log_keep(sdf, sample, begins, inv_s)
        last_log_keep = _log_keep(sdf, sample - 1, ends, inv_s)
        after = before[:, None] + tl.cumsum(log_keep, axis=1)
        here = tl.exp(after - log_keep)  # the transmittance at the sample
        weight = here - tl.exp(after)
        last_weight = tl.exp(after - log_keep - last_log_keep) - here
        value = _value(rgb, t, sample, begins, g_r, g_g, g_b, g_opacity, g_depth)
        last_value = _value(rgb, t, sample - 1, ends, g_r, g_g, g_b, g_opacity, g_depth)
        from_here = rest[:, None] - tl.cumsum(weight * value, axis=1) + weight * value
        g_log_keep = tl.where(log_keep < 0, from_here - here * value, 0.0)
        g_last_log_keep = tl.where(last_log_keep < 0, from_here - here * last_value, 0.0)
        x = inv_s * tl.load(sdf + sample, mask=is_sample, other=0.0)
        small = tl.exp(-tl.abs(x))
        slope = inv_s * tl.where(x >= 0, small, 1.0) / (1.0 + small)  # d logsigmoid(s sdf) / d sdf
        tl.store(g_sdf + sample, slope * (g_last_log_keep - g_log_keep), mask=is_sample)
        half = 0.5 * (weight + tl.where(ends, last_weight, 0.0))
        tl.store(g_rgb + 3 * sample, half * g_r[:, None], mask=is_sample)
        tl.store(g_rgb + 3 * sample + 1, half * g_g[:, None], mask=is_sample)
        tl.store(g_rgb + 3 * sample + 2, half * g_b[:, None], mask=is_sample)
        before += tl.sum(log_keep, axis=1)
        rest -= tl.sum(weight * value, axis=1)
    for k in range(0, num_samples, tl.num_programs(0) * RAYS * STRIDE):
        row, is_row = _padding(offsets, num_rays, num_samples, k, RAYS * STRIDE)
        nothing = tl.zeros([RAYS * STRIDE], tl.float32)
        tl.store(g_sdf + row, nothing, mask=is_row)
        tl.store(g_rgb + 3 * row, nothing, mask=is_row)
        tl.store(g_rgb + 3 * row + 1, nothing, mask=is_row)
        tl.store(g_rgb + 3 * row + 2, nothing, mask=is_row)


@triton.jit
def _divided(sdf, t, point, is_point, start, end, way, DIVISIONS: tl.constexpr):
    """Distances at points (RAYS, STRIDE) of rays, whose numbers are as in ``reference.divided``."""
    k = point // DIVISIONS
    share = (point - k * DIVISIONS).to(tl.float32) / DIVISIONS
    here = tl.load(sdf + k, mask=is_point, other=0.0)
    at = tl.load(t + k, mask=is_point, other=0.0)
    has_next = is_point & (k + 1 < end[:, None])
    behind = tl.load(sdf + k + 1, mask=has_next, other=0.0)
    at_next = tl.load(t + k + 1, mask=has_next, other=0.0)
    near = has_next & (tl.abs(at_next - at - way) < EVEN * way)
    even = near & (k > start[:, None]) & (k + 2 < end[:, None])
    before = tl.load(sdf + k - 1, mask=even, other=0.0)
    after = tl.load(sdf + k + 2, mask=even, other=0.0)
    bend = 0.25 * (here + behind - before - after)
    even = even & (tl.abs(at - tl.load(t + k - 1, mask=even, other=0.0) - way) < EVEN * way)
    even = even & (tl.abs(tl.load(t + k + 2, mask=even, other=0.0) - at_next - way) < EVEN * way)
    return (
        here
        + tl.where(near, share * (behind - here), 0.0)
        + tl.where(even, share * (1.0 - share) * bend, 0.0)
    )


@triton.jit(do_not_specialize=["num_rays", "num_points"])
def _visible(
    sdf, t, offsets, inv_s_pointer, step_pointer, keep, num_rays, num_points, DIVISIONS: tl.constexpr,
    RAYS: tl.constexpr, STRIDE: tl.constexpr,
):  # fmt: skip
    _, start, end, longest = _rays(offsets, num_rays, RAYS)
    inv_s = tl.load(inv_s_pointer)
    way = DIVISIONS * tl.load(step_pointer)
    first, last = start * DIVISIONS, end * DIVISIONS
    before = tl.zeros([RAYS], tl.float32)
    for k in range(0, longest * DIVISIONS, STRIDE):
        point, is_point = _samples(k, first, last, STRIDE)
        # whether there is the interval that begins at each point, the one that ends there, and the one before
        begins = point + 1 < last[:, None]
        ends = is_point & (point > first[:, None])
        ended = is_point & (point > first[:, None] + 1)
        here = _divided(sdf, t, point, is_point, start, end, way, DIVISIONS)
        behind = _divided(sdf, t, point + 1, begins, start, end, way, DIVISIONS)
        one_before = _divided(sdf, t, point - 1, ends, start, end, way, DIVISIONS)
        two_before = _divided(sdf, t, point - 2, ended, start, end, way, DIVISIONS)
        log_keep = _log_keep_between(here, behind, begins, inv_s)
        after = before[:, None] + tl.cumsum(log_keep, axis=1)
        at = after - log_keep  # log of the transmittance at the point
        light = tl.exp(at)
        at_last = at - _log_keep_between(one_before, here, ends, inv_s)
        at_second_last = at_last - _log_keep_between(two_before, one_before, ended, inv_s)
        weight = tl.maximum(light - tl.exp(after), tl.exp(at_last) - light)
        weight = tl.maximum(weight, tl.exp(at_second_last) - tl.exp(at_last))
        tl.store(keep + point, weight >= MIN_WEIGHT, mask=is_point)
        before += tl.sum(log_keep, axis=1)
    for k in range(0, num_points, tl.num_programs(0) * RAYS * STRIDE):
        row = tl.load(offsets + num_rays).to(tl.int32) * DIVISIONS + tl.program_id(0) * RAYS * STRIDE + k
        row += tl.arange(0, RAYS * STRIDE)
        tl.store(keep + row, tl.zeros([RAYS * STRIDE], tl.int1), mask=row < num_points)


def _launch(kernel, num_rays, *arguments, **constants):
    blocks = max(triton.cdiv(num_rays, RAYS), 1)  # without any ray there is still padding to write
    kernel[(blocks,)](*arguments, **constants, RAYS=RAYS, STRIDE=STRIDE, num_warps=WARPS)


def visible_samples(
    sdf: Tensor, t: Tensor, offsets: Tensor, inv_s: float | Tensor, step: float | Tensor, divisions: int
) -> Tensor:
    """See ``reference.visible_samples``."""
    num_rays, count = offsets.shape[0] - 1, len(sdf) * divisions
    keep = sdf.new_empty(count, dtype=torch.bool)
    scalars = (device_scalar(x, sdf.device) for x in (inv_s, step))
    inputs = *(x.detach().contiguous() for x in (sdf, t, offsets)), *scalars
    _launch(_visible, num_rays, *inputs, keep, num_rays, count, DIVISIONS=divisions)
    return keep


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, sdf, rgb, t, offsets, inv_s):  # type: ignore[override]
        inputs = [x.detach().contiguous() for x in (sdf, rgb, t, offsets, inv_s)]
        num_rays = offsets.shape[0] - 1
        out = sdf.new_empty(num_rays, 3), sdf.new_empty(num_rays), sdf.new_empty(num_rays)
        transmittance = sdf.new_empty(len(sdf))
        _launch(_forward, num_rays, *inputs, *out, transmittance, num_rays, len(sdf))
        ctx.save_for_backward(*inputs, *out)
        ctx.mark_non_differentiable(transmittance)
        ctx.set_materialize_grads(False)
        return *out, transmittance

    @staticmethod
    def backward(ctx, *grads):  # type: ignore[override]
        saved = ctx.saved_tensors
        num_rays, count = saved[3].shape[0] - 1, saved[0].shape[0]
        g_sdf, g_rgb = torch.empty_like(saved[0]), torch.empty_like(saved[1])
        grads = [given(g, x, *x.shape) for g, x in zip(grads[:3], saved[5:], strict=True)]
        _launch(_backward, num_rays, *saved, *grads, g_sdf, g_rgb, num_rays, count)
        return g_sdf, g_rgb, None, None, None


def composite(sdf: Tensor, rgb: Tensor, t: Tensor, offsets: Tensor, inv_s: float | Tensor) -> Composited:
    """See ``reference.composite``: the same result for float32 tensors on a GPU, in one launch each way."""
    return Composited(*_Composite.apply(sdf, rgb, t, offsets, device_scalar(inv_s, sdf.device)))
