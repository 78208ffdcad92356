"""The articulated lookup in Triton: one point per lane, parts culled for a whole block by true bounds of the distance.

Blocks are one warp, so that what a block agrees on costs little, and the points of few neighbouring rays, so that it agrees
on most parts.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wim_fast.ops.articulated import reference
from wim_fast.ops.articulated.reference import PartLookup
from wim_fast.ops.ellipsoid.triton import any_of, direction_at, distance_bounds, newton_ellipsoid
from wim_fast.ops.launch import given

BLOCK = 32
WARPS = 1
CUTOFF_NATS = tl.constexpr(reference.CUTOFF_NATS)
SLOTS = tl.constexpr(reference.MAX_CANDIDATES)  # a power of two
INF = tl.constexpr(float("inf"))


@triton.jit
def load3(pointer, row):
    """Three numbers of `row` of an (N, 3) array."""
    return tl.load(pointer + 3 * row), tl.load(pointer + 3 * row + 1), tl.load(pointer + 3 * row + 2)


@triton.jit
def to_part(x, y, z, rotation, row):
    """R^T x for the rotation number `row`."""
    r = rotation + 9 * row
    return (
        tl.load(r) * x + tl.load(r + 3) * y + tl.load(r + 6) * z,
        tl.load(r + 1) * x + tl.load(r + 4) * y + tl.load(r + 7) * z,
        tl.load(r + 2) * x + tl.load(r + 5) * y + tl.load(r + 8) * z,
    )


@triton.jit
def to_world(x, y, z, rotation, row):
    """R x for the rotation number `row`."""
    r = rotation + 9 * row
    return (
        tl.load(r) * x + tl.load(r + 1) * y + tl.load(r + 2) * z,
        tl.load(r + 3) * x + tl.load(r + 4) * y + tl.load(r + 5) * z,
        tl.load(r + 6) * x + tl.load(r + 7) * y + tl.load(r + 8) * z,
    )


@triton.jit
def local_coordinates(x, y, z, rotation, translation, row):
    """R^T (x - t) of world points; `row` is pose * P + part."""
    tx, ty, tz = load3(translation, row)
    return to_part(x - tx, y - ty, z - tz, rotation, row)


@triton.jit
def _load_points(points, pose_ids, num_points, num_parts, BLOCK: tl.constexpr):
    """This block's row numbers, whether they are real points, where their poses begin in (F * P), points, parts to look at."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    pose = tl.load(pose_ids + n, mask=n < num_points, other=-1).to(tl.int32)
    real = pose >= 0
    x = tl.load(points + 3 * n, mask=real, other=0.0)
    y = tl.load(points + 3 * n + 1, mask=real, other=0.0)
    z = tl.load(points + 3 * n + 2, mask=real, other=0.0)
    return n, real, tl.maximum(pose, 0) * num_parts, x, y, z, tl.where(any_of(real), num_parts, 0)


@triton.jit(do_not_specialize=["num_points", "num_parts"])
def _forward(
    points, pose_ids, rotation, translation, semi_axes, union_sharpness, weight_sharpness,
    union, part_ids, weights, local, normal, near_sdf, near_lam, near_id, num_points, num_parts,
    TOP_K: tl.constexpr, SAVE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    n, real, pose_row, px, py, pz, parts = _load_points(points, pose_ids, num_points, num_parts, BLOCK)
    inside = n < num_points
    b = tl.load(union_sharpness)
    a = tl.load(weight_sharpness)
    cut = CUTOFF_NATS / tl.minimum(a, b)

    limit = tl.full([BLOCK], INF, tl.float32)  # the nearest part is not farther than this
    for p in range(parts):
        x, y, z = local_coordinates(px, py, pz, rotation, translation, pose_row + p)
        rx, ry, rz = load3(semi_axes, p)
        _, upper = distance_bounds(x, y, z, rx, ry, rz)
        limit = tl.minimum(limit, upper)

    # the nearest parts, in no order
    slot = tl.arange(0, SLOTS)[:, None]
    sdfs = tl.full([SLOTS, BLOCK], INF, tl.float32)
    lams = tl.zeros([SLOTS, BLOCK], tl.float32)
    ids = tl.zeros([SLOTS, BLOCK], tl.int32)
    for p in range(parts):
        x, y, z = local_coordinates(px, py, pz, rotation, translation, pose_row + p)
        rx, ry, rz = load3(semi_axes, p)
        lower, _ = distance_bounds(x, y, z, rx, ry, rz)
        wanted = real & (lower <= limit + cut)
        if any_of(wanted):
            sdf, lam = newton_ellipsoid(x, y, z, rx, ry, rz, wanted)
            limit = tl.where(wanted, tl.minimum(limit, sdf), limit)
            sdf = tl.where(wanted & (sdf <= limit + cut), sdf, INF)
            replaced = (slot == tl.argmax(sdfs, axis=0)[None, :]) & (sdf[None, :] < sdfs)
            sdfs = tl.where(replaced, sdf[None, :], sdfs)
            lams = tl.where(replaced, lam[None, :], lams)
            ids = tl.where(replaced, p, ids)

    nearest = tl.where(real, tl.min(sdfs, axis=0), 0.0)
    is_near = sdfs <= (nearest + cut)[None, :]
    gap = tl.where(is_near, sdfs - nearest[None, :], 0.0)
    sum_b = tl.where(real, tl.sum(tl.where(is_near, tl.exp(-b * gap), 0.0), axis=0), 1.0)
    sum_a = tl.where(real, tl.sum(tl.where(is_near, tl.exp(-a * gap), 0.0), axis=0), 1.0)
    tl.store(union + n, nearest - tl.log(sum_b) / b, mask=inside)

    # from the nearest on; a slot without a part repeats the nearest
    sdfs = tl.where(is_near, sdfs, INF)
    first = slot == tl.argmin(sdfs, axis=0)[None, :]
    first_id = tl.sum(tl.where(first, ids, 0), axis=0)
    first_lam = tl.sum(tl.where(first, lams, 0.0), axis=0)
    nx = tl.zeros([BLOCK], tl.float32)
    ny = tl.zeros([BLOCK], tl.float32)
    nz = tl.zeros([BLOCK], tl.float32)
    for k in range(SLOTS):
        sdf = tl.min(sdfs, axis=0)
        chosen = slot == tl.argmin(sdfs, axis=0)[None, :]
        sdfs = tl.where(chosen, INF, sdfs)
        found = sdf < INF
        part = tl.where(found, tl.sum(tl.where(chosen, ids, 0), axis=0), first_id)
        lam = tl.where(found, tl.sum(tl.where(chosen, lams, 0.0), axis=0), first_lam)
        if SAVE:
            tl.store(near_sdf + k * num_points + n, sdf, mask=inside)
            tl.store(near_lam + k * num_points + n, lam, mask=inside)
            tl.store(near_id + k * num_points + n, part, mask=inside)
        if any_of(found) | (k < TOP_K):
            gap_k = tl.where(found, sdf - nearest, 0.0)
            x, y, z = local_coordinates(px, py, pz, rotation, translation, pose_row + part)
            rx, ry, rz = load3(semi_axes, part)
            qx, qy, qz, length = direction_at(x, y, z, rx, ry, rz, lam)
            wx, wy, wz = to_world(qx, qy, qz, rotation, pose_row + part)
            share = tl.where(found, tl.exp(-b * gap_k) / (sum_b * length), 0.0)
            nx += share * wx
            ny += share * wy
            nz += share * wz
            kept = inside & (k < TOP_K)
            out = n * TOP_K + k
            tl.store(part_ids + out, part, mask=kept)
            tl.store(weights + out, tl.where(found, tl.exp(-a * gap_k) / sum_a, 0.0), mask=kept)
            tl.store(local + 3 * out, tl.where(real, x, 0.0), mask=kept)
            tl.store(local + 3 * out + 1, tl.where(real, y, 0.0), mask=kept)
            tl.store(local + 3 * out + 2, tl.where(real, z, 0.0), mask=kept)
    tl.store(normal + 3 * n, nx, mask=inside)
    tl.store(normal + 3 * n + 1, ny, mask=inside)
    tl.store(normal + 3 * n + 2, nz, mask=inside)


@triton.jit
def _add(pointer, row, value, mask, together):
    """Add `value` at `pointer + row`: the block's sum at once where all masked lanes have the same, largest row."""
    if together:
        tl.atomic_add(pointer + tl.max(row), tl.sum(tl.where(mask, value, 0.0)), sem="relaxed")
    else:
        tl.atomic_add(pointer + row, value, mask=mask, sem="relaxed")


@triton.jit(do_not_specialize=["num_points", "num_parts"])
def _backward(
    points, pose_ids, rotation, translation, semi_axes, union_sharpness, weight_sharpness,
    union, near_sdf, near_lam, near_id, g_union, g_weights, g_local,
    g_points, g_rotation, g_translation, g_axes, g_sharpness, num_points, num_parts,
    TOP_K: tl.constexpr, OF_POINTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    n, real, pose_row, px, py, pz, parts = _load_points(points, pose_ids, num_points, num_parts, BLOCK)
    if parts == 0:
        return
    same_pose = tl.min(tl.where(real, pose_row, tl.max(pose_row))) == tl.max(pose_row)
    b = tl.load(union_sharpness)
    a = tl.load(weight_sharpness)

    # cotangents of the distances of the near parts, (SLOTS, BLOCK)
    slot = tl.arange(0, SLOTS)[:, None]
    real2 = real[None, :]
    near = slot * num_points + n[None, :]
    sdfs = tl.load(near_sdf + near, mask=real2, other=INF)
    lams = tl.load(near_lam + near, mask=real2, other=0.0)
    ids = tl.load(near_id + near, mask=real2, other=-1)
    is_near = sdfs < INF
    nearest = tl.where(real, tl.min(sdfs, axis=0), 0.0)
    below = nearest - tl.load(
        union + n, mask=real, other=0.0
    )  # the union lies so much below the nearest part
    gap = tl.where(is_near, sdfs - nearest[None, :], 0.0)
    u = tl.where(is_near, tl.exp(-b * (gap + below[None, :])), 0.0)
    w = tl.where(is_near, tl.exp(-a * gap), 0.0)
    w = w / tl.where(real, tl.sum(w, axis=0), 1.0)[None, :]
    kept = n[None, :] * TOP_K + slot
    g_w = tl.load(g_weights + kept, mask=real2 & (slot < TOP_K) & is_near, other=0.0)
    g_u = tl.load(g_union + n, mask=real, other=0.0)
    mean_g_w = tl.sum(g_w * w, axis=0)
    g_sdf = g_u[None, :] * u + a * w * (mean_g_w[None, :] - g_w)
    g_b = g_u * (tl.sum(u * gap, axis=0) + below) / b
    g_a = mean_g_w * tl.sum(w * gap, axis=0) - tl.sum(g_w * w * gap, axis=0)
    tl.atomic_add(g_sharpness, tl.sum(tl.where(real, g_b, 0.0)), sem="relaxed")
    tl.atomic_add(g_sharpness + 1, tl.sum(tl.where(real, g_a, 0.0)), sem="relaxed")
    has_local = real2 & (slot < TOP_K)
    glx = tl.load(g_local + 3 * kept, mask=has_local, other=0.0)
    gly = tl.load(g_local + 3 * kept + 1, mask=has_local, other=0.0)
    glz = tl.load(g_local + 3 * kept + 2, mask=has_local, other=0.0)

    sum_x = tl.zeros([BLOCK], tl.float32)  # gradient of the points
    sum_y = tl.zeros([BLOCK], tl.float32)
    sum_z = tl.zeros([BLOCK], tl.float32)
    for p in range(parts):
        is_part = (
            ids == p
        )  # slots that repeat the nearest part too: they have no weight, but local coordinates
        hit = tl.max(is_part.to(tl.int32), axis=0) > 0
        if any_of(hit):
            row = pose_row + p
            tx, ty, tz = load3(translation, row)
            dx = px - tx
            dy = py - ty
            dz = pz - tz
            x, y, z = to_part(dx, dy, dz, rotation, row)
            rx, ry, rz = load3(semi_axes, p)
            lam = tl.max(tl.where(is_part, lams, -INF), axis=0)
            qx, qy, qz, length = direction_at(x, y, z, rx, ry, rz, tl.where(hit, lam, 0.0))
            g = tl.sum(tl.where(is_part, g_sdf, 0.0), axis=0) / length
            tl.atomic_add(g_axes + 3 * p, -tl.sum(g * qx * qx * rx), sem="relaxed")
            tl.atomic_add(g_axes + 3 * p + 1, -tl.sum(g * qy * qy * ry), sem="relaxed")
            tl.atomic_add(g_axes + 3 * p + 2, -tl.sum(g * qz * qz * rz), sem="relaxed")
            gx = g * qx + tl.sum(tl.where(is_part, glx, 0.0), axis=0)
            gy = g * qy + tl.sum(tl.where(is_part, gly, 0.0), axis=0)
            gz = g * qz + tl.sum(tl.where(is_part, glz, 0.0), axis=0)
            _add(g_rotation, 9 * row, dx * gx, hit, same_pose)
            _add(g_rotation + 1, 9 * row, dx * gy, hit, same_pose)
            _add(g_rotation + 2, 9 * row, dx * gz, hit, same_pose)
            _add(g_rotation + 3, 9 * row, dy * gx, hit, same_pose)
            _add(g_rotation + 4, 9 * row, dy * gy, hit, same_pose)
            _add(g_rotation + 5, 9 * row, dy * gz, hit, same_pose)
            _add(g_rotation + 6, 9 * row, dz * gx, hit, same_pose)
            _add(g_rotation + 7, 9 * row, dz * gy, hit, same_pose)
            _add(g_rotation + 8, 9 * row, dz * gz, hit, same_pose)
            wx, wy, wz = to_world(gx, gy, gz, rotation, row)
            _add(g_translation, 3 * row, -wx, hit, same_pose)
            _add(g_translation + 1, 3 * row, -wy, hit, same_pose)
            _add(g_translation + 2, 3 * row, -wz, hit, same_pose)
            if OF_POINTS:
                sum_x += tl.where(hit, wx, 0.0)
                sum_y += tl.where(hit, wy, 0.0)
                sum_z += tl.where(hit, wz, 0.0)
    if OF_POINTS:
        tl.store(g_points + 3 * n, sum_x, mask=real)
        tl.store(g_points + 3 * n + 1, sum_y, mask=real)
        tl.store(g_points + 3 * n + 2, sum_z, mask=real)


class _ArticulatedLookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx, points, pose_ids, rotation, translation, semi_axes, b, a, top_k, save):  # type: ignore[override]
        inputs = [x.detach().contiguous() for x in (points, pose_ids, rotation, translation, semi_axes, b, a)]
        count, num_parts = points.shape[0], semi_axes.shape[0]
        union, weights = points.new_empty(count), points.new_empty(count, top_k)
        part_ids = points.new_empty(count, top_k, dtype=torch.int32)
        local, normal = points.new_empty(count, top_k, 3), points.new_empty(count, 3)
        rows = SLOTS.value if save else 0
        near_sdf, near_lam = points.new_empty(rows, count), points.new_empty(rows, count)
        near_id = points.new_empty(rows, count, dtype=torch.int32)
        if count:
            _forward[(triton.cdiv(count, BLOCK),)](
                *inputs, union, part_ids, weights, local, normal, near_sdf, near_lam, near_id, count, num_parts,
                TOP_K=top_k, SAVE=save, BLOCK=BLOCK, num_warps=WARPS,
            )  # fmt: skip
        ctx.save_for_backward(*inputs, union, near_sdf, near_lam, near_id)
        ctx.mark_non_differentiable(part_ids, normal)
        ctx.set_materialize_grads(False)
        ctx.top_k = top_k
        return union, part_ids, weights, local, normal

    @staticmethod
    def backward(ctx, g_union, _g_ids, g_weights, g_local, _g_normal):  # type: ignore[override]
        saved = ctx.saved_tensors
        points, _, rotation, translation, semi_axes = saved[:5]
        count, top_k = len(points), ctx.top_k
        g_union, g_weights = given(g_union, points, count), given(g_weights, points, count, top_k)
        g_local = given(g_local, points, count, top_k, 3)
        sizes = [x.numel() for x in (rotation, translation, semi_axes)]
        flat = points.new_zeros(sum(sizes) + 2)
        of_points = ctx.needs_input_grad[0]
        g_points = torch.zeros_like(points) if of_points else points.new_empty(0)
        g_rotation, g_translation, g_axes, g_sharpness = flat.split([*sizes, 2])
        if count:
            _backward[(triton.cdiv(count, BLOCK),)](
                *saved, g_union, g_weights, g_local,
                g_points, g_rotation, g_translation, g_axes, g_sharpness, count, len(semi_axes),
                TOP_K=top_k, OF_POINTS=of_points, BLOCK=BLOCK, num_warps=WARPS,
            )  # fmt: skip
        grads = g_rotation.view_as(rotation), g_translation.view_as(translation), g_axes.view_as(semi_axes)
        return g_points if of_points else None, None, *grads, g_sharpness[0], g_sharpness[1], None, None


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
    """See ``reference.articulated_lookup``: the same result for float32 tensors on a GPU, in one launch each way."""
    posed = rotation, translation, semi_axes, union_sharpness, weight_sharpness
    save = torch.is_grad_enabled() and any(x.requires_grad for x in (points, *posed))
    return PartLookup(*_ArticulatedLookup.apply(points, pose_ids, *posed, top_k, save))
