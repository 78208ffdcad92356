"""The articulated lookup compiled by numba: culled, exact Newton on the survivors, closed-form backward.

Points are handled in a fixed number of chunks, each with its own gradient accumulators, so that results do not depend
on the number of threads.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.articulated.reference import CUTOFF_NATS, MAX_CANDIDATES, PartLookup
from wim_fast.ops.compiled import arrays, claim, device, kernel
from wim_fast.ops.ellipsoid.cpu import (
    INVERSE,
    IX,
    IY,
    PITCH,
    QX,
    QY,
    QZ,
    ROWS,
    RX,
    RY,
    RZ,
    SDF,
    X,
    Y,
    Z,
    distance_bounds,
    distances,
    ellipsoid_shapes,
    out_of_reach,
    padded,
    take_near,
)
from wim_fast.ops.vectors import (
    LANES,
    count_bits,
    dot,
    equal,
    exponential,
    less,
    number,
    plus_scaled,
    put,
    quad,
    quad_of,
    vector,
)

CHUNKS = 16
CANDIDATE, MOTION = 8, 16  # numbers of a candidate, and of a part's motion: whole vectors
POINTS = 64  # at a time, or fewer if their near parts fill the columns
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_UNION, _PART = IX, IY  # rows that `distances` leaves free: weights
_NONE = np.float32(np.nan)


@device
def local_coordinates(px, py, pz, pose, w, m):
    """Rows X, Y, Z of a scratch array: a world point in the frames of the parts; `pose` is a row of `pose_rows`."""
    for p in range(padded(m)):
        dx = px - pose[9 * PITCH + p]
        dy = py - pose[10 * PITCH + p]
        dz = pz - pose[11 * PITCH + p]
        w[X + p] = pose[p] * dx + pose[3 * PITCH + p] * dy + pose[6 * PITCH + p] * dz
        w[Y + p] = pose[PITCH + p] * dx + pose[4 * PITCH + p] * dy + pose[7 * PITCH + p] * dz
        w[Z + p] = pose[2 * PITCH + p] * dx + pose[5 * PITCH + p] * dy + pose[8 * PITCH + p] * dz


def pose_rows(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(F, 12 * PITCH) float32 of rotation (F, P, 3, 3) and translation (F, P, 3): one value of all parts after another."""
    frames, parts = translation.shape[:2]
    rows = np.zeros((frames, 12, PITCH), np.float32)
    rows[:, :9, :parts] = rotation.reshape(frames, parts, 9).transpose(0, 2, 1)
    rows[:, 9:, :parts] = translation.transpose(0, 2, 1)
    return rows.reshape(frames, -1)


def cutoff(*sharpness: np.float32) -> np.float32:
    """See ``reference.cutoff``."""
    return np.float32(CUTOFF_NATS) / min(sharpness)


@device
def _look_up(chunk, points, pose_ids, poses, shapes, n_parts, b, a, cut, top_k, union, ids, weights, local,
             normal, cand_count, cand_id, cand_sdf, cand_vec):  # fmt: skip
    """What a chunk of the points finds; without rows in `cand_count`, nothing is kept for the gradients."""
    n_points = points.shape[0]
    kept = cand_count.shape[0] > 0
    size = (n_points + CHUNKS - 1) // CHUNKS
    w = np.ones(ROWS * PITCH, np.float32)  # all parts
    for k in range(shapes.shape[0]):
        w[RX + k] = shapes[k]
    out_of_reach(w, n_parts)
    near = np.ones(ROWS * PITCH, np.float32)  # those near some points, one point's after another's
    part = np.zeros(PITCH, np.int32)
    begins = np.zeros(POINTS + 1, np.int64)  # the columns of each point
    column = np.zeros(PITCH, np.int64)  # of a point, nearest first
    begin, end = chunk * size, min(n_points, (chunk + 1) * size)
    while begin < end:
        taken = 0
        while begin + taken < end and taken < POINTS and begins[taken] + n_parts <= PITCH:
            i = begin + taken
            found = 0
            if pose_ids[i] >= 0:
                local_coordinates(points[i, 0], points[i, 1], points[i, 2], poses[pose_ids[i]], w, n_parts)
                distance_bounds(w, n_parts)
                found = take_near(w, n_parts, cut, near, begins[taken], part)
            taken += 1
            begins[taken] = begins[taken - 1] + found
        distances(near, begins[taken])
        for i in range(begin, begin + taken):
            first = begins[i - begin]
            found = begins[i - begin + 1] - first
            if found == 0:  # padding, or a point or a pose that is not finite
                if kept:
                    cand_count[i] = 0
                    cand_id[i, 0] = 0
                union[i] = _ZERO if pose_ids[i] < 0 else _NONE
                ids[i] = 0
                weights[i] = _ZERO
                local[i] = _ZERO
                normal[i] = _ZERO
                continue
            _sort(near, first, found, column)
            nearest = near[SDF + column[0]]
            for c in range(first, first + found, LANES):
                closer = nearest - vector(near, SDF + c)
                put(near, _UNION + c, exponential(b * closer))
                put(near, _PART + c, exponential(a * closer))
            count = 0
            sum_b = _ZERO
            sum_a = _ZERO
            for c in range(min(found, MAX_CANDIDATES)):
                n = column[c]
                if near[SDF + n] - nearest > cut:
                    break
                sum_b += near[_UNION + n]
                sum_a += near[_PART + n]
                count += 1
            union[i] = nearest - np.float32(math.log(sum_b)) / b
            share_b, share_a = _ONE / sum_b, _ONE / sum_a
            nx = _ZERO
            ny = _ZERO
            nz = _ZERO
            pose = poses[pose_ids[i]]
            if kept:
                cand_count[i] = count
                cand_id[i, 0] = part[column[0]]  # also where distances are not finite
            for c in range(count):
                n = column[c]
                p = part[n]
                inverse = near[INVERSE + n]
                x = near[QX + n] * inverse
                y = near[QY + n] * inverse
                z = near[QZ + n] * inverse
                if kept:
                    cand_id[i, c] = p
                    cand_sdf[i, c] = near[SDF + n]
                    at = (i * cand_id.shape[1] + c) * CANDIDATE
                    put(cand_vec, at, quad_of(x, y, z, _ZERO))
                    of_axes = quad_of(near[QX + n], near[QY + n], near[QZ + n], _ZERO)
                    put(cand_vec, at + 4, of_axes * quad_of(near[RX + n], near[RY + n], near[RZ + n], _ZERO))
                u = near[_UNION + n] * share_b
                nx += u * (pose[p] * x + pose[PITCH + p] * y + pose[2 * PITCH + p] * z)
                ny += u * (pose[3 * PITCH + p] * x + pose[4 * PITCH + p] * y + pose[5 * PITCH + p] * z)
                nz += u * (pose[6 * PITCH + p] * x + pose[7 * PITCH + p] * y + pose[8 * PITCH + p] * z)
            normal[i, 0] = nx
            normal[i, 1] = ny
            normal[i, 2] = nz
            for k in range(top_k):
                n = column[k if k < count else 0]
                ids[i, k] = part[n]
                weights[i, k] = near[_PART + n] * share_a if k < count else _ZERO
                local[i, k, 0] = near[X + n]
                local[i, k, 1] = near[Y + n]
                local[i, k, 2] = near[Z + n]
        begin += taken


@device
def _sort(near, first, found, column):
    """`column` = those of `found` columns from `first` on, nearest first, in their order where distances are equal.

    The place of each is the number of those before it, counted without a branch.
    """
    for c in range(found):
        distance = number(near, SDF + first + c)
        place = 0
        for v in range(0, found, LANES):
            others = vector(near, SDF + first + v)
            before = less(others, distance) & ((1 << min(found - v, LANES)) - 1)
            alike = equal(others, distance) & ((1 << min(max(c - v, 0), LANES)) - 1)
            place += count_bits(before | alike)
        column[place] = first + c


@kernel
def _forward(points, pose_ids, poses, shapes, n_parts, b, a, cut, top_k, union, ids, weights, local, normal,
             cand_count, cand_id, cand_sdf, cand_vec):  # fmt: skip
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _look_up(chunk, points, pose_ids, poses, shapes, n_parts, b, a, cut, top_k, union, ids, weights,
                     local, normal, cand_count, cand_id, cand_sdf, cand_vec)  # fmt: skip
            chunk = claim(turn)


@device
def _go_back(chunk, points, pose_ids, poses, n_parts, b, a, union, g_union, g_weights, g_local, cand_count, cand_id,
             cand_sdf, cand_vec, g_points, g_motion, g_axes, g_sharpness):  # fmt: skip
    """The gradients that a chunk of the points gives; those of the motion by part: see `_ArticulatedLookup.backward`."""
    of_points = g_points.shape[0] > 0
    n_points = points.shape[0]
    top_k = g_weights.shape[1]
    size = (n_points + CHUNKS - 1) // CHUNKS
    sdf = np.zeros(LANES, np.float32)  # of the candidates, and their weights
    part_weights = np.empty(LANES, np.float32)
    union_weights = np.empty(LANES, np.float32)
    total_b = _ZERO
    total_a = _ZERO
    for i in range(chunk * size, min(n_points, (chunk + 1) * size)):
        f = pose_ids[i]
        if f < 0:
            continue
        count = cand_count[i]
        for c in range(count):
            sdf[c] = cand_sdf[i, c]
        distance = vector(sdf, 0)
        put(part_weights, 0, exponential(a * (sdf[0] - distance)))
        put(union_weights, 0, exponential(b * (union[i] - distance)))
        total = _ZERO
        for c in range(count):
            total += part_weights[c]
        mean_sdf_a = _ZERO
        mean_sdf_b = _ZERO
        weighted = _ZERO
        weighted_sdf = _ZERO
        for c in range(count):
            part_weights[c] /= total
            mean_sdf_a += part_weights[c] * sdf[c]
            mean_sdf_b += union_weights[c] * sdf[c]
            if c < top_k:
                weighted += g_weights[i, c] * part_weights[c]
                weighted_sdf += g_weights[i, c] * part_weights[c] * sdf[c]
        total_a += weighted * mean_sdf_a - weighted_sdf
        total_b += g_union[i] * (mean_sdf_b - union[i]) / b
        for c in range(max(count, top_k)):
            # a padded slot (c >= count) repeats the nearest part; only its local coordinate can carry a gradient
            j = c if c < count else 0
            p = cand_id[i, j]
            gradient = quad_of(_ZERO, _ZERO, _ZERO, _ZERO)  # in the frame of the part
            if c < count:
                g = g_union[i] * union_weights[c]
                g_weight = g_weights[i, c] if c < top_k else _ZERO
                g += a * part_weights[c] * (weighted - g_weight)
                at = (i * cand_id.shape[1] + c) * CANDIDATE
                gradient = g * quad(cand_vec, at)
                of_axes = (chunk * n_parts + p) * 4
                put(g_axes, of_axes, quad(g_axes, of_axes) - gradient * quad(cand_vec, at + 4))
            if c < top_k:
                gradient = gradient + quad_of(g_local[i, c, 0], g_local[i, c, 1], g_local[i, c, 2], _ZERO)
            at = ((chunk * poses.shape[0] + f) * n_parts + p) * MOTION
            for k in range(3):
                offset = points[i, k] - poses[f, (9 + k) * PITCH + p]
                put(g_motion, at + 4 * k, plus_scaled(quad(g_motion, at + 4 * k), offset, gradient))
                if of_points:
                    row = 3 * k * PITCH + p
                    turned = quad_of(poses[f, row], poses[f, row + PITCH], poses[f, row + 2 * PITCH], _ZERO)
                    g_points[i, k] += dot(turned, gradient)
            put(g_motion, at + 12, quad(g_motion, at + 12) + gradient)
    g_sharpness[chunk, 0] = total_b
    g_sharpness[chunk, 1] = total_a


@kernel
def _backward(points, pose_ids, poses, n_parts, b, a, union, g_union, g_weights, g_local, cand_count, cand_id,
              cand_sdf, cand_vec, g_points, g_motion, g_axes, g_sharpness):  # fmt: skip
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _go_back(chunk, points, pose_ids, poses, n_parts, b, a, union, g_union, g_weights, g_local, cand_count,
                     cand_id, cand_sdf, cand_vec, g_points, g_motion, g_axes, g_sharpness)  # fmt: skip
            chunk = claim(turn)


def _found(points, pose_ids, rotation, translation, semi_axes, b, a, top_k, differentiable):  # type: ignore[no-untyped-def]
    """The lookup as arrays, and what its gradients need: of each point the parts that counted, if `differentiable`."""
    n, n_parts = points.shape[0], semi_axes.shape[0]
    points_, pose_ids_ = arrays(points, pose_ids.to(torch.int32))
    rotation_, translation_, semi_axes_ = arrays(rotation, translation, semi_axes)
    poses = pose_rows(rotation_, translation_)
    sharpness = np.float32(b.item()), np.float32(a.item())
    lookup = [
        np.empty((n, *shape), dtype)
        for shape, dtype in (
            ((), np.float32), ((top_k,), np.int32), ((top_k,), np.float32), ((top_k, 3), np.float32), ((3,), np.float32),
        )
    ]  # fmt: skip
    rows, capacity = n if differentiable else 0, min(MAX_CANDIDATES, n_parts)
    candidates = (
        np.empty(rows, np.int32),
        np.empty((rows, capacity), np.int32),
        np.empty((rows, capacity), np.float32),
        np.empty(rows * capacity * CANDIDATE, np.float32),
    )
    if n:
        _forward(points_, pose_ids_, poses, ellipsoid_shapes(semi_axes_), n_parts, *sharpness, cutoff(*sharpness), top_k,
                 *lookup, *candidates)  # fmt: skip
    return lookup, (points_, pose_ids_, poses, n_parts, *sharpness, lookup[0]), candidates


class _ArticulatedLookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx, points, pose_ids, rotation, translation, semi_axes, b, a, top_k):  # type: ignore[override]
        lookup, ctx.inputs, ctx.candidates = _found(
            points, pose_ids, rotation, translation, semi_axes, b, a, top_k, True
        )
        union, ids, weights, local, normal = (torch.from_numpy(x) for x in lookup)
        (ctx.rotation,) = arrays(rotation)
        ctx.mark_non_differentiable(ids, normal)
        return union, ids, weights, local, normal

    @staticmethod
    def backward(ctx, g_union, _g_ids, g_weights, g_local, _g_normal):  # type: ignore[override]
        rotation = ctx.rotation
        n_poses, n_parts = rotation.shape[:2]
        of_points = ctx.needs_input_grad[0]
        g_points = np.zeros((len(g_union) if of_points else 0, 3), np.float32)
        # of each part in each pose: three rows of the rotation's gradient, and the sum of the points' in its frame
        sizes = (n_poses, n_parts, 4, 4), (n_parts, 4), (2,)
        of_chunks = [np.zeros((CHUNKS, *size), np.float32) for size in sizes]
        flat = [g.reshape(-1) for g in of_chunks[:2]]
        if g_union.shape[0]:
            _backward(
                *ctx.inputs,
                *arrays(g_union, g_weights, g_local),
                *ctx.candidates,
                g_points,
                *flat,
                of_chunks[2],
            )
        motion, axes, sharpness = (g.sum(0) for g in of_chunks)
        translation = -(rotation @ motion[:, :, 3, :3, None])[..., 0]
        found = motion[:, :, :3, :3], translation, axes[:, :3], *sharpness[:, None]
        rotation, translation, axes, b, a = (torch.from_numpy(np.ascontiguousarray(g)) for g in found)
        points = torch.from_numpy(g_points) if of_points else None
        return points, None, rotation, translation, axes, b.squeeze(0), a.squeeze(0), None


def articulated_lookup(
    points: Tensor,
    pose_ids: Tensor,
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    union_sharpness: Tensor,
    weight_sharpness: Tensor,
    top_k: int,
) -> PartLookup:
    """See ``reference.articulated_lookup``: the same result for CPU float32 tensors, about 50 times faster."""
    arguments = points, pose_ids, rotation, translation, semi_axes, union_sharpness, weight_sharpness, top_k
    if torch.is_grad_enabled():
        return PartLookup(*_ArticulatedLookup.apply(*arguments))
    return PartLookup(*(torch.from_numpy(x) for x in _found(*arguments, False)[0]))
