"""Ray marching compiled by numba: rays are culled against the ellipsoids, then step over empty space by true bounds."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.articulated.cpu import part_shapes
from wim_fast.ops.articulated.reference import cutoff
from wim_fast.ops.compiled import kernel
from wim_fast.ops.ellipsoid.cpu import newton_ellipsoid
from wim_fast.ops.march.reference import INFLATION, MAX_SAMPLES_PER_RAY, Samples

CHUNKS = 64
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_INFLATION = np.float32(INFLATION)


@kernel
def _march(
    origins, directions, pose_ids, rotation, translation, shapes, b, cut, jitter, band, step, out, counts
):
    n_rays = origins.shape[0]
    n_parts = shapes.shape[1]
    size = (n_rays + CHUNKS - 1) // CHUNKS
    reach = (
        band + np.float32(math.log(min(n_parts, 8))) / b
    )  # the union is at most log(n) / b below the nearest part
    for chunk in prange(CHUNKS):
        ox = np.empty(n_parts, np.float32)  # the ray in the frame of each part that matters to it
        oy = np.empty(n_parts, np.float32)
        oz = np.empty(n_parts, np.float32)
        dx = np.empty(n_parts, np.float32)
        dy = np.empty(n_parts, np.float32)
        dz = np.empty(n_parts, np.float32)
        near_shapes = np.empty((8, n_parts), np.float32)
        bounds = np.empty(n_parts, np.float32)
        for ray in range(chunk * size, min(n_rays, (chunk + 1) * size)):
            f = pose_ids[ray]
            near = np.float32(np.inf)
            far = -near
            m = 0
            for p in range(n_parts):
                ax = origins[ray, 0] - translation[f, 0, p]
                ay = origins[ray, 1] - translation[f, 1, p]
                az = origins[ray, 2] - translation[f, 2, p]
                along = ax * directions[ray, 0] + ay * directions[ray, 1] + az * directions[ray, 2]
                off2 = ax * ax + ay * ay + az * az - along * along
                if off2 > (shapes[6, p] + reach + cut) ** 2:
                    continue
                ox[m] = rotation[f, 0, 0, p] * ax + rotation[f, 1, 0, p] * ay + rotation[f, 2, 0, p] * az
                oy[m] = rotation[f, 0, 1, p] * ax + rotation[f, 1, 1, p] * ay + rotation[f, 2, 1, p] * az
                oz[m] = rotation[f, 0, 2, p] * ax + rotation[f, 1, 2, p] * ay + rotation[f, 2, 2, p] * az
                ax, ay, az = directions[ray, 0], directions[ray, 1], directions[ray, 2]
                dx[m] = rotation[f, 0, 0, p] * ax + rotation[f, 1, 0, p] * ay + rotation[f, 2, 0, p] * az
                dy[m] = rotation[f, 0, 1, p] * ax + rotation[f, 1, 1, p] * ay + rotation[f, 2, 1, p] * az
                dz[m] = rotation[f, 0, 2, p] * ax + rotation[f, 1, 2, p] * ay + rotation[f, 2, 2, p] * az
                for k in range(8):
                    near_shapes[k, m] = shapes[k, p]
                # where the ray is inside the inflated ellipsoid
                ix = _ONE / (shapes[0, p] + _INFLATION * reach)
                iy = _ONE / (shapes[1, p] + _INFLATION * reach)
                iz = _ONE / (shapes[2, p] + _INFLATION * reach)
                qa = (dx[m] * ix) ** 2 + (dy[m] * iy) ** 2 + (dz[m] * iz) ** 2
                qb = ox[m] * dx[m] * ix * ix + oy[m] * dy[m] * iy * iy + oz[m] * dz[m] * iz * iz
                qc = (ox[m] * ix) ** 2 + (oy[m] * iy) ** 2 + (oz[m] * iz) ** 2 - _ONE
                disc = qb * qb - qa * qc
                m += 1
                if disc > _ZERO:
                    root = np.float32(math.sqrt(disc))
                    near = min(near, (-qb - root) / qa)
                    far = max(far, (-qb + root) / qa)
            count = 0
            k = np.int64(math.ceil(max(near, _ZERO) / step - jitter[ray])) if far > near else 0
            while far > near and count < MAX_SAMPLES_PER_RAY:
                t = (np.float32(k) + jitter[ray]) * step
                if t > far:
                    break
                for p in range(m):
                    x = ox[p] + t * dx[p]
                    y = oy[p] + t * dy[p]
                    z = oz[p] + t * dz[p]
                    sphere = math.sqrt(x * x + y * y + z * z) - near_shapes[6, p]
                    sx = x * near_shapes[3, p]
                    sy = y * near_shapes[4, p]
                    sz = z * near_shapes[5, p]
                    scaled = math.sqrt(sx * sx + sy * sy + sz * sz) - _ONE
                    bounds[p] = max(sphere, near_shapes[7, p] * scaled if scaled > _ZERO else sphere)
                first = 0
                for p in range(1, m):
                    if bounds[p] < bounds[first]:
                        first = p
                if bounds[first] > reach:
                    k += max(1, np.int64((bounds[first] - reach) / step))
                    continue
                nearest = np.float32(np.inf)
                total = _ZERO
                for index in range(m):  # the most promising part first
                    p = first if index == 0 else (index - 1 if index <= first else index)
                    if bounds[p] > nearest + cut:
                        continue
                    sdf, _, _, _, _ = newton_ellipsoid(
                        ox[p] + t * dx[p], oy[p] + t * dy[p], oz[p] + t * dz[p],
                        near_shapes[0, p], near_shapes[1, p], near_shapes[2, p],
                    )  # fmt: skip
                    if sdf < nearest:
                        total = (
                            total * np.float32(math.exp(-b * (nearest - sdf))) + _ONE if index > 0 else _ONE
                        )
                        nearest = sdf
                    else:
                        total += np.float32(math.exp(-b * (sdf - nearest)))
                union = nearest - np.float32(math.log(total)) / b
                if union > band:
                    k += max(1, np.int64((union - band) / step))
                    continue
                out[ray, count] = t
                count += 1
                k += 1
                if union < -band:
                    break
            counts[ray] = count


@functools.partial(kernel, parallel=False)
def _pack(buffer, offsets, t, ray_ids):
    for ray in range(buffer.shape[0]):
        for k in range(offsets[ray + 1] - offsets[ray]):
            t[offsets[ray] + k] = buffer[ray, k]
            ray_ids[offsets[ray] + k] = ray


def march(
    origins: Tensor,
    directions: Tensor,
    pose_ids: Tensor,
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    union_sharpness: Tensor,
    weight_sharpness: Tensor,
    jitter: Tensor,
    band: float | Tensor,
    step: float | Tensor,
    capacity: int | None = None,
) -> Samples:
    """See ``reference.march``: the same samples for CPU float32 tensors, without a gradient."""
    num_rays = origins.shape[0]
    buffer = np.empty((num_rays, MAX_SAMPLES_PER_RAY), np.float32)
    counts = np.zeros(num_rays, np.int64)
    _march(
        origins.contiguous().numpy(),
        directions.contiguous().numpy(),
        pose_ids.to(torch.int32).contiguous().numpy(),
        rotation.detach().permute(0, 2, 3, 1).contiguous().numpy(),
        translation.detach().transpose(1, 2).contiguous().numpy(),
        part_shapes(semi_axes),
        np.float32(union_sharpness.item()),
        np.float32(cutoff(union_sharpness).item()),
        jitter.contiguous().numpy(),
        np.float32(float(band)),
        np.float32(float(step)),
        buffer,
        counts,
    )
    offsets = torch.zeros(num_rays + 1, dtype=torch.int64)
    np.cumsum(counts, out=offsets.numpy()[1:])
    t = torch.empty(int(offsets[-1]))
    ray_ids = torch.empty(len(t), dtype=torch.int64)
    _pack(buffer, offsets.numpy(), t.numpy(), ray_ids.numpy())
    return Samples.packed(t, ray_ids, offsets, capacity)
