"""Points along rays compiled by numba, with a closed-form backward."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.compiled import arrays, claim, kernel
from wim_fast.ops.march.reference import Samples
from wim_fast.ops.samples.reference import RaySamples

CHUNKS = 16
_ZERO = np.float32(0.0)


@functools.partial(kernel, parallel=False)
def _take(t, offsets, keep, step, divisions, capacity, t_out, ray_ids, offsets_out):
    """Writes what is kept into the first rows; returns how many samples there would be."""
    count = 0
    offsets_out[0] = 0
    for ray in range(len(offsets) - 1):
        for i in range(offsets[ray], offsets[ray + 1]):
            for k in range(divisions):
                if keep[i * divisions + k]:
                    if count < capacity:
                        t_out[count] = t[i] + np.float32(k) * step
                        ray_ids[count] = ray
                    count += 1
        offsets_out[ray + 1] = min(count, capacity)
    return count


@kernel
def _place(origins, directions, pose_ids, t, ray_ids, count, points, poses):
    rows = len(poses)
    size = (rows + CHUNKS - 1) // CHUNKS
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            for i in range(chunk * size, min(rows, (chunk + 1) * size)):
                if i < count:
                    ray = ray_ids[i]
                    poses[i] = pose_ids[ray]
                    for k in range(3):
                        points[i, k] = origins[ray, k] + t[i] * directions[ray, k]
                else:
                    poses[i] = -1
                    points[i] = _ZERO
            chunk = claim(turn)


@functools.partial(kernel, parallel=False)
def _go_back(t, offsets, g_points, g_origins, g_directions):
    for ray in range(len(offsets) - 1):
        for k in range(3):
            origin = _ZERO
            direction = _ZERO
            for i in range(offsets[ray], offsets[ray + 1]):
                origin += g_points[i, k]
                direction += t[i] * g_points[i, k]
            g_origins[ray, k] = origin
            g_directions[ray, k] = direction


class _Points(torch.autograd.Function):
    @staticmethod
    def forward(ctx, origins, directions, points, t, offsets):  # type: ignore[override]
        ctx.arguments = t, offsets
        return torch.from_numpy(points)

    @staticmethod
    def backward(ctx, g_points):  # type: ignore[override]
        rays = len(ctx.arguments[1]) - 1
        gradients = [np.empty((rays, 3), np.float32) for _ in range(2)]
        _go_back(*ctx.arguments, *arrays(g_points), *gradients)
        return *(torch.from_numpy(g) for g in gradients), None, None, None


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
    """See ``reference.samples_along``: the same result for CPU float32 tensors."""
    t, ray_ids, offsets = arrays(samples.t, samples.ray_ids, samples.offsets)
    found, rows = int(offsets[-1]), len(t)
    if keep is not None:
        rows = len(keep) if capacity is None else capacity
        marched = t, offsets, keep.numpy(), np.float32(float(step)), divisions, rows
        t, ray_ids, offsets = np.zeros(rows, np.float32), np.empty(rows, np.int64), np.empty_like(offsets)
        found = _take(*marched, t, ray_ids, offsets)
        if capacity is None:
            t, rows = t[:found], found
    points, poses = np.empty((rows, 3), np.float32), np.empty(rows, np.int32)
    rays = arrays(origins, directions, pose_ids.to(torch.int32))
    _place(*rays, t, ray_ids, min(found, rows), points, poses)
    if torch.is_grad_enabled() and (origins.requires_grad or directions.requires_grad):
        placed = _Points.apply(origins, directions, points, t, offsets)
    else:
        placed = torch.from_numpy(points)
    overflow = samples.overflow + (found - rows) if found > rows else samples.overflow
    return RaySamples(placed, *(torch.from_numpy(x) for x in (poses, t, offsets)), overflow)
