"""Poses of parts in Triton: one launch each way, and one for the rest pose's gradient."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 64  # parts of poses
WARPS = 2
TINY = tl.constexpr(1e-12)


@triton.jit
def _vector(x, rest, row, part, is_row):
    """Three numbers of some rows of 9, and of the rest pose's."""
    v0 = tl.load(x + 9 * row, mask=is_row, other=0.0) + tl.load(rest + 9 * part, mask=is_row, other=0.0)
    v1 = tl.load(x + 9 * row + 1, mask=is_row, other=0.0) + tl.load(
        rest + 9 * part + 1, mask=is_row, other=0.0
    )
    v2 = tl.load(x + 9 * row + 2, mask=is_row, other=0.0) + tl.load(
        rest + 9 * part + 2, mask=is_row, other=0.0
    )
    return v0, v1, v2


@triton.jit
def _gram_schmidt(x, rest, row, part, is_row):
    """The first column, the second vector, what of it is along the first, the second column, and both lengths."""
    a0, a1, a2 = _vector(x + 3, rest + 3, row, part, is_row)
    s0, s1, s2 = _vector(x + 6, rest + 6, row, part, is_row)
    length = tl.maximum(tl.sqrt(a0 * a0 + a1 * a1 + a2 * a2), TINY)
    a0, a1, a2 = a0 / length, a1 / length, a2 / length
    along = a0 * s0 + a1 * s1 + a2 * s2
    b0, b1, b2 = s0 - along * a0, s1 - along * a1, s2 - along * a2
    across = tl.maximum(tl.sqrt(b0 * b0 + b1 * b1 + b2 * b2), TINY)
    return a0, a1, a2, s0, s1, s2, along, b0 / across, b1 / across, b2 / across, length, across


@triton.jit
def _store_column(matrix, row, x, y, z, is_row):
    tl.store(matrix + 9 * row, x, mask=is_row)
    tl.store(matrix + 9 * row + 3, y, mask=is_row)
    tl.store(matrix + 9 * row + 6, z, mask=is_row)


@triton.jit
def _store_vector(vectors, place, x, y, z, is_row):
    tl.store(vectors + place, x, mask=is_row)
    tl.store(vectors + place + 1, y, mask=is_row)
    tl.store(vectors + place + 2, z, mask=is_row)


@triton.jit
def _load_column(matrix, row, is_row):
    x = tl.load(matrix + 9 * row, mask=is_row, other=0.0)
    y = tl.load(matrix + 9 * row + 3, mask=is_row, other=0.0)
    return x, y, tl.load(matrix + 9 * row + 6, mask=is_row, other=0.0)


@triton.jit(do_not_specialize=["rows", "parts"])
def _forward(difference, rest, rotation, translation, rows, parts, BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_row, part = row < rows, row % parts
    t0, t1, t2 = _vector(difference, rest, row, part, is_row)
    _store_vector(translation, 3 * row, t0, t1, t2, is_row)
    a0, a1, a2, _, _, _, _, b0, b1, b2, _, _ = _gram_schmidt(difference, rest, row, part, is_row)
    _store_column(rotation, row, a0, a1, a2, is_row)
    _store_column(rotation + 1, row, b0, b1, b2, is_row)
    _store_column(rotation + 2, row, a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0, is_row)


@triton.jit(do_not_specialize=["rows", "parts"])
def _backward(difference, rest, g_rotation, g_translation, g_difference, rows, parts, BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_row, part = row < rows, row % parts
    for k in tl.static_range(3):
        g = tl.load(g_translation + 3 * row + k, mask=is_row, other=0.0)
        tl.store(g_difference + 9 * row + k, g, mask=is_row)
    a0, a1, a2, s0, s1, s2, along, b0, b1, b2, length, across = _gram_schmidt(
        difference, rest, row, part, is_row
    )
    ga0, ga1, ga2 = _load_column(g_rotation, row, is_row)
    gb0, gb1, gb2 = _load_column(g_rotation + 1, row, is_row)
    gc0, gc1, gc2 = _load_column(g_rotation + 2, row, is_row)
    # the third column is the first two's cross product
    ga0, ga1, ga2 = ga0 + b1 * gc2 - b2 * gc1, ga1 + b2 * gc0 - b0 * gc2, ga2 + b0 * gc1 - b1 * gc0
    gb0, gb1, gb2 = gb0 + gc1 * a2 - gc2 * a1, gb1 + gc2 * a0 - gc0 * a2, gb2 + gc0 * a1 - gc1 * a0
    inward = b0 * gb0 + b1 * gb1 + b2 * gb2
    gb0, gb1, gb2 = (gb0 - inward * b0) / across, (gb1 - inward * b1) / across, (gb2 - inward * b2) / across
    inward = a0 * gb0 + a1 * gb1 + a2 * gb2
    ga0 -= along * gb0 + inward * s0
    ga1 -= along * gb1 + inward * s1
    ga2 -= along * gb2 + inward * s2
    _store_vector(g_difference, 9 * row + 6, gb0 - inward * a0, gb1 - inward * a1, gb2 - inward * a2, is_row)
    inward = a0 * ga0 + a1 * ga1 + a2 * ga2
    ga0, ga1, ga2 = (ga0 - inward * a0) / length, (ga1 - inward * a1) / length, (ga2 - inward * a2) / length
    _store_vector(g_difference, 9 * row + 3, ga0, ga1, ga2, is_row)


class _PartPoses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, difference, rest):  # type: ignore[override]
        inputs = difference.detach().contiguous(), rest.detach().contiguous()
        frames, parts = len(difference), len(rest) // 9
        rotation, translation = rest.new_empty(frames, parts, 3, 3), rest.new_empty(frames, parts, 3)
        blocks = triton.cdiv(frames * parts, BLOCK)
        _forward[(blocks,)](
            *inputs, rotation, translation, frames * parts, parts, BLOCK=BLOCK, num_warps=WARPS
        )
        ctx.save_for_backward(*inputs)
        return rotation, translation

    @staticmethod
    def backward(ctx, g_rotation, g_translation):  # type: ignore[override]
        difference, rest = ctx.saved_tensors
        rows, parts = difference.numel() // 9, len(rest) // 9
        g_difference = torch.empty_like(difference)
        _backward[(triton.cdiv(rows, BLOCK),)](
            difference, rest, g_rotation.contiguous(), g_translation.contiguous(), g_difference, rows, parts, BLOCK=BLOCK,
            num_warps=WARPS,
        )  # fmt: skip
        return g_difference, g_difference.sum(0)


def part_poses(difference: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    """See ``reference.part_poses``: the same result for float32 tensors on a GPU."""
    return _PartPoses.apply(difference, rest)
