"""The losses of structure and the running distances in Triton: a program for each part of each pose, or pair of parts."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wim_fast.ops.structure.reference import StructureLosses

WARPS = 1


@triton.jit
def _end(
    rotation,
    translation,
    semi_axes,
    edges,
    edge_candidates,
    share,
    frame,
    parts,
    edge,
    is_edge,
    END: tl.constexpr,
):
    """One end of some edges: its part, the axis on which it lies, with which sign and how far, and where, (3 numbers)."""
    part = tl.load(edges + 2 * edge + END, mask=is_edge, other=-1).to(tl.int32)
    candidate = tl.load(edge_candidates + 2 * edge + END, mask=is_edge, other=0).to(tl.int32)
    axis, sign = candidate // 2, 1.0 - 2.0 * (candidate % 2)
    row = frame * parts + part
    arm = share * sign * tl.load(semi_axes + 3 * part + axis, mask=is_edge, other=0.0)
    x = tl.load(translation + 3 * row, mask=is_edge, other=0.0)
    y = tl.load(translation + 3 * row + 1, mask=is_edge, other=0.0)
    z = tl.load(translation + 3 * row + 2, mask=is_edge, other=0.0)
    x += arm * tl.load(rotation + 9 * row + axis, mask=is_edge, other=0.0)
    y += arm * tl.load(rotation + 9 * row + 3 + axis, mask=is_edge, other=0.0)
    z += arm * tl.load(rotation + 9 * row + 6 + axis, mask=is_edge, other=0.0)
    return part, axis, sign, x, y, z


@triton.jit
def _gaps(
    rotation, translation, semi_axes, edges, edge_candidates, share, frame, part, parts, SIZE: tl.constexpr
):
    """Of all edges: whether it is the part's (1: its first end, -1: its second), that end's axis and sign, and the gap."""
    edge = tl.arange(0, SIZE)
    is_edge = edge < parts - 1
    p, i, s, x, y, z = _end(
        rotation, translation, semi_axes, edges, edge_candidates, share, frame, parts, edge, is_edge, 0
    )
    q, j, t, u, v, w = _end(
        rotation, translation, semi_axes, edges, edge_candidates, share, frame, parts, edge, is_edge, 1
    )
    mine = tl.where(p == part, 1.0, tl.where(q == part, -1.0, 0.0))
    return mine, tl.where(p == part, i, j), tl.where(p == part, s, t), x - u, y - v, z - w


@triton.jit
def _others(translation, sigma, frame, part, parts, SIZE: tl.constexpr):
    """Of all other parts: which they are, how near (at most 1), and from where the part lies."""
    other = tl.arange(0, SIZE)
    is_other = (other < parts) & (other != part)
    here, there = translation + 3 * (frame * parts + part), translation + 3 * (frame * parts + other)
    x = tl.load(here) - tl.load(there, mask=is_other, other=0.0)
    y = tl.load(here + 1) - tl.load(there + 1, mask=is_other, other=0.0)
    z = tl.load(here + 2) - tl.load(there + 2, mask=is_other, other=0.0)
    near = tl.exp(-(x * x + y * y + z * z) / (2.0 * sigma * sigma))
    return other, tl.where(is_other, near, 0.0), x, y, z


@triton.jit(do_not_specialize=["frames", "parts"])
def _forward(
    rotation, translation, semi_axes, edges, edge_candidates, share, sigma, shares, frames, parts, SIZE: tl.constexpr
):  # fmt: skip
    frame, part = tl.program_id(0) // parts, tl.program_id(0) % parts
    mine, _, _, x, y, z = _gaps(
        rotation, translation, semi_axes, edges, edge_candidates, share, frame, part, parts, SIZE
    )
    squared = tl.where(mine > 0, x * x + y * y + z * z, 0.0)
    tl.store(shares + 2 * tl.program_id(0), tl.sum(squared) / tl.maximum(frames * (parts - 1), 1))
    other, near, _, _, _ = _others(translation, sigma, frame, part, parts, SIZE)
    separation = 2.0 * tl.sum(tl.where(other < part, near, 0.0)) / tl.maximum(frames * parts * (parts - 1), 1)
    tl.store(shares + 2 * tl.program_id(0) + 1, separation)


@triton.jit(do_not_specialize=["frames", "parts"])
def _backward(
    rotation, translation, semi_axes, edges, edge_candidates, share, sigma, g_joint, g_separation, g_rotation, g_translation,
    g_axes, frames, parts, SIZE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    frame, part = row // parts, row % parts
    mine, axis, sign, x, y, z = _gaps(
        rotation, translation, semi_axes, edges, edge_candidates, share, frame, part, parts, SIZE
    )
    scale = 2.0 * tl.load(g_joint) / tl.maximum(frames * (parts - 1), 1) * mine
    gx, gy, gz = scale * x, scale * y, scale * z
    for k in range(3):
        arm = tl.where(axis == k, share * sign, 0.0)
        rx, ry, rz = tl.sum(arm * gx), tl.sum(arm * gy), tl.sum(arm * gz)
        radius = tl.load(semi_axes + 3 * part + k)
        column, g_column = rotation + 9 * row + k, g_rotation + 9 * row + k
        tl.store(g_column, radius * rx)
        tl.store(g_column + 3, radius * ry)
        tl.store(g_column + 6, radius * rz)
        along = rx * tl.load(column) + ry * tl.load(column + 3) + rz * tl.load(column + 6)
        tl.store(g_axes + 3 * row + k, along)
    _, near, x, y, z = _others(translation, sigma, frame, part, parts, SIZE)
    scale = -2.0 * tl.load(g_separation) / (tl.maximum(frames * parts * (parts - 1), 1) * sigma * sigma)
    tl.store(g_translation + 3 * row, tl.sum(gx) + scale * tl.sum(near * x))
    tl.store(g_translation + 3 * row + 1, tl.sum(gy) + scale * tl.sum(near * y))
    tl.store(g_translation + 3 * row + 2, tl.sum(gz) + scale * tl.sum(near * z))


class _StructureLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rotation, translation, semi_axes, edges, edge_candidates, share, sigma):  # type: ignore[override]
        tensors = rotation, translation, semi_axes, edges, edge_candidates
        inputs = [x.detach().contiguous() for x in tensors]
        frames, parts = translation.shape[:2]
        shares = semi_axes.new_empty(frames * parts, 2)
        size = triton.next_power_of_2(parts)
        _forward[(frames * parts,)](*inputs, share, sigma, shares, frames, parts, SIZE=size, num_warps=WARPS)
        ctx.save_for_backward(*inputs)
        ctx.numbers = share, sigma
        return shares.sum(0).unbind()

    @staticmethod
    def backward(ctx, g_joint, g_separation):  # type: ignore[override]
        inputs = ctx.saved_tensors
        rotation, translation = inputs[:2]
        frames, parts = translation.shape[:2]
        grads = torch.empty_like(rotation), torch.empty_like(translation), torch.empty_like(translation)
        _backward[(frames * parts,)](
            *inputs, *ctx.numbers, g_joint.contiguous(), g_separation.contiguous(), *grads, frames, parts,
            SIZE=triton.next_power_of_2(parts), num_warps=WARPS,
        )  # fmt: skip
        return *grads[:2], grads[2].sum(0), *([None] * 4)


def structure_losses(
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    edges: Tensor,
    edge_candidates: Tensor,
    share: float,
    sigma: float,
) -> StructureLosses:
    """See ``reference.structure_losses``: the same result for float32 tensors on a GPU."""
    return StructureLosses(
        *_StructureLosses.apply(rotation, translation, semi_axes, edges, edge_candidates, share, sigma)
    )


@triton.jit
def _points(rotation, translation, semi_axes, share, row, part, point, k):
    """Coordinate k of the joint candidates 0 to 5 of a part, and of its centre, 6."""
    is_candidate = point < 6
    arm = (
        share
        * (1.0 - 2.0 * (point % 2))
        * tl.load(semi_axes + 3 * part + point // 2, mask=is_candidate, other=0.0)
    )
    column = tl.load(rotation + 9 * row + 3 * k + point // 2, mask=is_candidate, other=0.0)
    return tl.load(translation + 3 * row + k) + arm * column


@triton.jit(do_not_specialize=["frames", "parts"])
def _observe(
    rotation, translation, semi_axes, candidate_distance, center_distance, steps, share, rate, frames, parts
):  # fmt: skip
    pair = tl.program_id(0)
    i, j = pair // parts, pair % parts
    m, n = tl.arange(0, 8)[:, None], tl.arange(0, 8)[None, :]
    squared = tl.zeros([8, 8], tl.float32)
    for f in range(frames):
        for k in tl.static_range(3):
            here = _points(rotation, translation, semi_axes, share, f * parts + i, i, m, k)
            there = _points(rotation, translation, semi_axes, share, f * parts + j, j, n, k)
            squared += (here - there) * (here - there)
    squared /= frames
    moved = tl.where(tl.load(steps) == 0, 1.0, rate)
    are_candidates = (m < 6) & (n < 6)
    place = candidate_distance + 36 * pair + 6 * m + n
    before = tl.load(place, mask=are_candidates, other=0.0)
    tl.store(place, before + moved * (squared - before), mask=are_candidates)
    are_centers = (m == 6) & (n == 6)
    place = center_distance + pair + 0 * (m + n)
    before = tl.load(place, mask=are_centers, other=0.0)
    tl.store(place, before + moved * (squared - before), mask=are_centers)


def observe_distances(
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    candidate_distance: Tensor,
    center_distance: Tensor,
    steps: Tensor,
    share: float,
    rate: float,
) -> None:
    """See ``reference.observe_distances``: the same result for float32 tensors on a GPU."""
    posed = (x.detach().contiguous() for x in (rotation, translation, semi_axes))
    frames, parts = translation.shape[:2]
    _observe[(parts * parts,)](
        *posed, candidate_distance, center_distance, steps, share, rate, frames, parts, num_warps=WARPS
    )
    steps += 1
