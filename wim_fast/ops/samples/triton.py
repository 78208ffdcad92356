"""Points along rays in Triton: each kept point is written to its row; gradients are sums over a ray's points."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wim_fast.ops.launch import device_scalar
from wim_fast.ops.march.reference import Samples
from wim_fast.ops.samples.reference import RaySamples

BLOCK = 256  # points, rows or rays
WARPS = 4
RAYS = 8  # per block of the gradients
STRIDE = 16  # samples of each ray at a time


@triton.jit
def _write(row, is_row, t, ray, origins, directions, pose_ids, points, poses):
    """The points at distances t along rays, and their poses."""
    tl.store(poses + row, tl.load(pose_ids + ray, mask=is_row, other=0), mask=is_row)
    for k in tl.static_range(3):
        origin = tl.load(origins + 3 * ray + k, mask=is_row, other=0.0)
        direction = tl.load(directions + 3 * ray + k, mask=is_row, other=0.0)
        tl.store(points + 3 * row + k, origin + t * direction, mask=is_row)


@triton.jit
def _write_padding(row, is_row, points, poses):
    tl.store(poses + row, tl.zeros_like(row) - 1, mask=is_row)
    for k in tl.static_range(3):
        tl.store(points + 3 * row + k, tl.zeros_like(row).to(tl.float32), mask=is_row)


@triton.jit(do_not_specialize=["count"])
def _place(origins, directions, pose_ids, t, ray_ids, points, poses, count, BLOCK: tl.constexpr):
    """All samples as they are."""
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ray = tl.load(ray_ids + row, mask=row < count, other=-1).to(tl.int32)
    here = tl.load(t + row, mask=row < count, other=0.0)
    _write(row, ray >= 0, here, ray, origins, directions, pose_ids, points, poses)
    _write_padding(row, (row < count) & (ray < 0), points, poses)


@triton.jit(do_not_specialize=["count", "num_rays", "capacity"])
def _take(
    origins, directions, pose_ids, t, ray_ids, offsets, overflow, keep, rank, step_pointer, points, poses, t_out,
    offsets_out, overflow_out, count, num_rays, capacity, DIVISIONS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The kept ones: `rank` (count,) is how many are kept up to each point, itself among them."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_kept = tl.load(keep + i, mask=i < count, other=0) != 0
    row = tl.load(rank + i, mask=is_kept, other=1).to(tl.int32) - 1
    is_kept = is_kept & (row < capacity)
    sample = i // DIVISIONS
    behind = (i - sample * DIVISIONS).to(tl.float32) * tl.load(step_pointer)
    here = tl.load(t + sample, mask=is_kept, other=0.0) + behind
    ray = tl.load(ray_ids + sample, mask=is_kept, other=0).to(tl.int32)
    tl.store(t_out + row, here, mask=is_kept)
    _write(row, is_kept, here, ray, origins, directions, pose_ids, points, poses)
    found = tl.load(rank + count - 1).to(tl.int32)
    padding = (i >= found) & (i < capacity)
    tl.store(t_out + i, tl.zeros([BLOCK], tl.float32), mask=padding)
    _write_padding(i, padding, points, poses)
    before = tl.load(offsets + i, mask=i <= num_rays, other=0).to(tl.int32) * DIVISIONS
    ours = tl.load(rank + before - 1, mask=(i <= num_rays) & (before > 0), other=0)
    tl.store(offsets_out + i, tl.minimum(ours, capacity).to(tl.int64), mask=i <= num_rays)
    dropped = tl.load(overflow) + tl.maximum(found - capacity, 0)
    tl.store(overflow_out + i, dropped, mask=i < 1)


@triton.jit(do_not_specialize=["num_rays"])
def _go_back(
    t, offsets, g_points, g_origins, g_directions, num_rays, RAYS: tl.constexpr, STRIDE: tl.constexpr
):
    ray = tl.program_id(0) * RAYS + tl.arange(0, RAYS)
    is_ray = ray < num_rays
    start = tl.load(offsets + ray, mask=is_ray, other=0).to(tl.int32)
    end = tl.load(offsets + ray + 1, mask=is_ray, other=0).to(tl.int32)
    for k in tl.static_range(3):
        origin = tl.zeros([RAYS], tl.float32)
        direction = tl.zeros([RAYS], tl.float32)
        for first in range(0, tl.max(end - start), STRIDE):
            sample = (start + first)[:, None] + tl.arange(0, STRIDE)[None, :]
            is_sample = sample < end[:, None]
            g = tl.load(g_points + 3 * sample + k, mask=is_sample, other=0.0)
            origin += tl.sum(g, axis=1)
            direction += tl.sum(g * tl.load(t + sample, mask=is_sample, other=0.0), axis=1)
        tl.store(g_origins + 3 * ray + k, origin, mask=is_ray)
        tl.store(g_directions + 3 * ray + k, direction, mask=is_ray)


class _Along(torch.autograd.Function):
    @staticmethod
    def forward(ctx, origins, directions, pose_ids, samples, keep, step, divisions, capacity):  # type: ignore[override]
        ctx.set_materialize_grads(False)  # whole numbers have none
        rays = [x.detach().contiguous() for x in (origins, directions, pose_ids)]
        t, ray_ids, offsets, overflow = (x.contiguous() for x in samples)
        num_rays = len(origins)
        rows = len(t) if keep is None else capacity
        points, poses = t.new_empty(rows, 3), rays[2].new_empty(rows)
        if keep is None:
            if rows:
                blocks = triton.cdiv(rows, BLOCK)
                _place[(blocks,)](*rays, t, ray_ids, points, poses, rows, BLOCK=BLOCK, num_warps=WARPS)
        else:
            count = len(keep)
            rank = keep.cumsum(0)
            found = t.new_empty(rows), torch.empty_like(offsets), torch.empty_like(overflow)
            blocks = triton.cdiv(max(count, rows, num_rays + 1), BLOCK)
            _take[(blocks,)](
                *rays, t, ray_ids, offsets, overflow, keep.contiguous().view(torch.uint8), rank,
                device_scalar(step, t.device), points, poses, *found, count, num_rays, rows, DIVISIONS=divisions,
                BLOCK=BLOCK, num_warps=WARPS,
            )  # fmt: skip
            t, offsets, overflow = found
        ctx.save_for_backward(t, offsets)
        ctx.mark_non_differentiable(poses, t, offsets, overflow)
        return points, poses, t, offsets, overflow

    @staticmethod
    def backward(ctx, g_points, *_):  # type: ignore[override]
        t, offsets = ctx.saved_tensors
        num_rays = len(offsets) - 1
        g_origins, g_directions = (t.new_empty(num_rays, 3) for _ in range(2))
        if num_rays:
            _go_back[(triton.cdiv(num_rays, RAYS),)](
                t, offsets, g_points.contiguous(), g_origins, g_directions, num_rays, RAYS=RAYS, STRIDE=STRIDE,
                num_warps=WARPS,
            )  # fmt: skip
        return g_origins, g_directions, *[None] * 6


def samples_along(
    origins: Tensor,
    directions: Tensor,
    pose_ids: Tensor,
    samples: Samples,
    keep: Tensor | None = None,
    step: float | Tensor = 0.0,
    divisions: int = 1,
    capacity: int | None = None,
) -> RaySamples:
    """See ``reference.samples_along``: the same result for float32 tensors on a GPU. What to keep needs a capacity: nothing
    here waits to learn how many points there are.
    """
    if keep is not None and (capacity is None or not len(keep)):
        raise ValueError("choosing samples on a GPU needs samples to choose from, and a capacity")
    return RaySamples(*_Along.apply(origins, directions, pose_ids, samples, keep, step, divisions, capacity))
