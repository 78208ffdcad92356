"""Ray marching compiled by numba: rays are culled against the ellipsoids, then step over empty space by true bounds."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.articulated.cpu import cutoff, local_coordinates, pose_rows
from wim_fast.ops.articulated.reference import MAX_CANDIDATES
from wim_fast.ops.compiled import arrays, claim, device, kernel
from wim_fast.ops.ellipsoid.cpu import (
    IX,
    LANES,
    LOWER,
    PITCH,
    QX,
    QY,
    QZ,
    R_MAX,
    ROWS,
    RX,
    SDF,
    UPPER,
    X,
    Y,
    Z,
    distance_bounds,
    distances,
    ellipsoid_shapes,
    inflated_semi_axes,
    least,
    out_of_reach,
    padded,
    take_near,
)
from wim_fast.ops.march.reference import MAX_SAMPLES_PER_RAY, Samples
from wim_fast.ops.vectors import exponential, octet, put

CHUNKS = 64
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_NEAR, _FAR, _MISS = QX, QY, QZ  # rows that are free before `distances`
_WEIGHT = IX  # ... and one that is after it


@device
def _march_chunk(chunk, origins, directions, pose_ids, poses, shapes, inflated, n_parts, b, cut, jitter, band,
                 reach, step, out, counts):  # fmt: skip
    """The samples of a chunk of the rays."""
    n_rays = origins.shape[0]
    size = (n_rays + CHUNKS - 1) // CHUNKS
    start = np.ones(ROWS * PITCH, np.float32)  # the ray's origin in the frames of all parts
    for k in range(shapes.shape[0]):
        start[RX + k] = shapes[k]
    along = np.ones(3 * PITCH, np.float32)  # its direction there
    ray_along = np.ones(
        3 * PITCH, np.float32
    )  # ... and in the frames of the parts that the ray comes near to
    ray_start = np.ones(3 * PITCH, np.float32)
    w = np.ones(ROWS * PITCH, np.float32)  # a point of the ray in those
    near = np.ones(ROWS * PITCH, np.float32)  # ... and in those near the point
    part = np.empty(PITCH, np.int32)
    for ray in range(chunk * size, min(n_rays, (chunk + 1) * size)):
        pose = poses[pose_ids[ray]]
        local_coordinates(origins[ray, 0], origins[ray, 1], origins[ray, 2], pose, start, n_parts)
        dx, dy, dz = directions[ray, 0], directions[ray, 1], directions[ray, 2]
        for p in range(padded(n_parts)):
            along[X + p] = pose[p] * dx + pose[3 * PITCH + p] * dy + pose[6 * PITCH + p] * dz
            along[Y + p] = pose[PITCH + p] * dx + pose[4 * PITCH + p] * dy + pose[7 * PITCH + p] * dz
            along[Z + p] = pose[2 * PITCH + p] * dx + pose[5 * PITCH + p] * dy + pose[8 * PITCH + p] * dz
        for p in range(padded(n_parts)):
            # where the ray is inside the inflated ellipsoid: from its point next to the centre, so that rounding does
            # not grow with the distance of the camera
            ux, uy, uz = along[X + p], along[Y + p], along[Z + p]
            middle = -(start[X + p] * ux + start[Y + p] * uy + start[Z + p] * uz)
            x, y, z = start[X + p] + middle * ux, start[Y + p] + middle * uy, start[Z + p] + middle * uz
            widest = start[R_MAX + p] + reach + cut
            start[_MISS + p] = x * x + y * y + z * z - widest * widest
            ix, iy, iz = inflated[X + p], inflated[Y + p], inflated[Z + p]
            x, y, z, ux, uy, uz = x * ix, y * iy, z * iz, ux * ix, uy * iy, uz * iz
            qa = ux * ux + uy * uy + uz * uz
            qb = x * ux + y * uy + z * uz
            disc = qb * qb - qa * (x * x + y * y + z * z - _ONE)
            root = np.float32(math.sqrt(max(disc, _ZERO)))
            start[_NEAR + p] = middle - (qb + root) / qa if disc > _ZERO else np.float32(np.inf)
            start[_FAR + p] = middle - (qb - root) / qa if disc > _ZERO else -np.float32(np.inf)
        near_t = np.float32(np.inf)
        far_t = -near_t
        m = 0
        for p in range(n_parts):
            if start[_MISS + p] <= _ZERO:
                near_t = min(near_t, start[_NEAR + p])
                far_t = max(far_t, start[_FAR + p])
                for row in range(3):
                    ray_start[row * PITCH + m] = start[row * PITCH + p]
                    ray_along[row * PITCH + m] = along[row * PITCH + p]
                for row in range(3, 11):
                    w[row * PITCH + m] = start[row * PITCH + p]
                m += 1
        for p in range(m, padded(m)):
            for row in range(3):
                ray_start[row * PITCH + p] = ray_along[row * PITCH + p] = _ZERO
        out_of_reach(w, m)
        count = 0
        k = np.int64(math.ceil(max(near_t, _ZERO) / step - jitter[ray])) if far_t > near_t else 0
        while far_t > near_t and count < MAX_SAMPLES_PER_RAY:
            t = (np.float32(k) + jitter[ray]) * step
            if t > far_t:
                break
            for p in range(padded(m)):
                w[X + p] = ray_start[X + p] + t * ray_along[X + p]
                w[Y + p] = ray_start[Y + p] + t * ray_along[Y + p]
                w[Z + p] = ray_start[Z + p] + t * ray_along[Z + p]
            distance_bounds(w, m)
            nearest, most = least(w, LOWER, m), least(w, UPPER, m)
            if nearest > reach:
                k += max(1, np.int64((nearest - reach) / step))
                continue
            if most <= band and nearest >= reach - 2 * band:  # surely in the band: no need to be exact
                out[ray, count] = t
                count += 1
                k += 1
                continue
            found = take_near(w, m, cut, near, 0, part)
            distances(near, found)
            nearest = near[SDF]
            for c in range(1, found):
                nearest = min(nearest, near[SDF + c])
            total = _ZERO
            for c in range(0, found, LANES):
                put(near, _WEIGHT + c, exponential(b * (nearest - octet(near, SDF + c))))
            for c in range(found):
                total += near[_WEIGHT + c]
            union = nearest - np.float32(math.log(total)) / b
            if union > band:
                k += max(1, np.int64((union - band) / step))
                continue
            out[ray, count] = t
            count += 1
            k += 1
            # beyond MAX_CANDIDATES the union here is below the one that is decoded
            if (union if found <= MAX_CANDIDATES else nearest) < -band:
                break
        counts[ray] = count


@kernel
def _march(origins, directions, pose_ids, poses, shapes, inflated, n_parts, b, cut, jitter, band, reach, step,
           out, counts):  # fmt: skip
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _march_chunk(chunk, origins, directions, pose_ids, poses, shapes, inflated, n_parts, b, cut, jitter,
                         band, reach, step, out, counts)  # fmt: skip
            chunk = claim(turn)


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
    *rays, rotation_, translation_, axes, jitter_ = arrays(
        origins, directions, pose_ids.to(torch.int32), rotation, translation, semi_axes, jitter
    )
    b, band_, step_ = (np.float32(float(x)) for x in (union_sharpness.detach(), band, step))
    reach = np.float32(band_ + math.log(min(MAX_CANDIDATES, len(axes))) / b)  # as `union_reach`
    inflated = ellipsoid_shapes(inflated_semi_axes(axes, reach))[IX - RX :]
    buffer = np.empty((num_rays, MAX_SAMPLES_PER_RAY), np.float32)
    counts = np.zeros(num_rays, np.int64)
    _march(*rays, pose_rows(rotation_, translation_), ellipsoid_shapes(axes), inflated, len(axes), b, cutoff(b), jitter_,
           band_, reach, step_, buffer, counts)  # fmt: skip
    offsets = np.zeros(num_rays + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    t = np.empty(offsets[-1], np.float32)
    ray_ids = np.empty(len(t), np.int64)
    _pack(buffer, offsets, t, ray_ids)
    return Samples.packed(torch.from_numpy(t), torch.from_numpy(ray_ids), torch.from_numpy(offsets), capacity)
