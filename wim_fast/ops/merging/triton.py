"""The merge loss in Triton: a program for each pair of parts, one for all pairs, and one for each part of each pose.

Deviations over time are found round the first frame, from which parts that nearly move as one hardly depart: float32
then holds the mean of the squares.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wim_fast.ops.merging import reference

LEAST_TURN = tl.constexpr(reference.LEAST_TURN)
LEAST_SHIFT = tl.constexpr(reference.LEAST_SHIFT)
FRAMES = 32  # at once, in the program of a pair
PAIRS = 1024  # at once, in the program of all pairs
PARTS = 16  # at once, in the program of a part of a pose
MOMENTS = tl.constexpr(
    24
)  # of a pair: the means of 9 entries of the turn and of 3 of the shift, then 1 / (F deviation)


@triton.jit
def _entry(rotation, translation, i, j, number, mask):
    """Rows i and j (frame times parts plus part): entry `number` of R_i^T R_j, or from 9 on, of R_i^T (t_j - t_i)."""
    value = tl.zeros_like(i + j).to(tl.float32)
    for k in tl.static_range(3):
        if number < 9:
            here = tl.load(rotation + 9 * i + 3 * k + number // 3, mask=mask, other=0.0)
            value += here * tl.load(rotation + 9 * j + 3 * k + number % 3, mask=mask, other=0.0)
        else:
            here = tl.load(rotation + 9 * i + 3 * k + number - 9, mask=mask, other=0.0)
            offset = tl.load(translation + 3 * j + k, mask=mask, other=0.0)
            value += here * (offset - tl.load(translation + 3 * i + k, mask=mask, other=0.0))
    return value


@triton.jit(do_not_specialize=["frames", "parts"])
def _pairs(rotation, translation, motion_weight, moments, motion, frames, parts, SIZE: tl.constexpr):
    pair = tl.program_id(0)
    i, j = pair // parts, pair % parts
    moved = 0.0
    for number in tl.static_range(12):
        none = tl.zeros([1], tl.int32)
        first = tl.sum(_entry(rotation, translation, i + none, j + none, number, none == 0))
        total, square = tl.zeros([SIZE], tl.float32), tl.zeros([SIZE], tl.float32)
        for start in range(0, frames, SIZE):
            frame = start + tl.arange(0, SIZE)
            entry = _entry(
                rotation, translation, frame * parts + i, frame * parts + j, number, frame < frames
            )
            x = tl.where(frame < frames, entry - first, 0.0)
            total += x
            square += x * x
        mean = tl.sum(total) / frames
        variance = tl.maximum(tl.sum(square) / frames - mean * mean, 0.0)
        if number < 9:
            deviation = tl.sqrt(tl.maximum(variance, LEAST_TURN))
            slope = tl.where(variance < LEAST_TURN, 0.0, 1.0 / (9.0 * frames * deviation))
            moved += deviation / 9.0
        else:
            deviation = tl.sqrt(variance + LEAST_SHIFT)
            slope = motion_weight / (3.0 * frames * deviation)
            moved += motion_weight * deviation / 3.0
        tl.store(moments + MOMENTS * pair + number, first + mean)
        tl.store(moments + MOMENTS * pair + 12 + number, slope)
    tl.store(motion + pair, moved)


@triton.jit(do_not_specialize=["parts"])
def _gate(motion, distance, gates, loss, parts, SIZE: tl.constexpr):
    """The loss, and its gradient with respect to the motion of each pair, for the gate is a constant."""
    least = tl.full([SIZE], float("inf"), tl.float32)
    for start in range(0, parts * parts, SIZE):
        pair = start + tl.arange(0, SIZE)
        counts = (pair < parts * parts) & (pair // parts != pair % parts)
        least = tl.minimum(least, tl.load(motion + pair, mask=counts, other=float("inf")))
    scale = tl.maximum(tl.min(least), distance)
    total = tl.zeros([SIZE], tl.float32)
    for start in range(0, parts * parts, SIZE):
        pair = start + tl.arange(0, SIZE)
        counts = (pair < parts * parts) & (pair // parts != pair % parts)
        m = tl.load(motion + pair, mask=counts, other=0.0)
        gate = tl.where(counts, tl.sigmoid((scale - m) / scale) / (parts * (parts - 1)), 0.0)
        tl.store(gates + pair, gate, mask=pair < parts * parts)
        total += gate * m
    tl.store(loss, tl.sum(total))


@triton.jit
def _moment(moments, pair, number, mask):
    """Of some pairs, (1, SIZE)."""
    return tl.load(moments + MOMENTS * pair + number, mask=mask, other=0.0)


@triton.jit
def _column(
    rotation, moments, row, there, pair, back, gate, gate_back, offset, coordinate, both, is_other, A: tl.constexpr
):  # fmt: skip
    """What pairs with some others add to the gradients of column A of the part's rotation, and of its centre: (4, SIZE)."""
    mine = tl.load(rotation + 9 * row + 3 * coordinate + A, mask=coordinate < 3, other=0.0)
    theirs = tl.load(rotation + 9 * there + 3 * coordinate + A, mask=both, other=0.0)
    along = tl.sum(mine * offset, 0)[None, :] - _moment(moments, pair, 9 + A, is_other)
    seen = gate * along * _moment(moments, pair, 21 + A, is_other)
    along = -tl.sum(theirs * offset, 0)[None, :] - _moment(moments, back, 9 + A, is_other)
    seen_back = gate_back * along * _moment(moments, back, 21 + A, is_other)
    column = seen * offset
    for b in tl.static_range(3):
        theirs_b = tl.load(rotation + 9 * there + 3 * coordinate + b, mask=both, other=0.0)
        turn = tl.sum(mine * theirs_b, 0)[None, :] - _moment(moments, pair, 3 * A + b, is_other)
        column += (gate + gate_back) * turn * _moment(moments, pair, 12 + 3 * A + b, is_other) * theirs_b
    return column, seen_back * theirs - seen * mine


@triton.jit(do_not_specialize=["parts"])
def _backward(
    rotation, translation, moments, gates, g_loss, g_rotation, g_translation, parts, SIZE: tl.constexpr
):  # fmt: skip
    """Of one part in one pose: what it is to its pairs with all others, `SIZE` of them at once."""
    row = tl.program_id(0)
    frame, part = row // parts, row % parts
    coordinate = tl.arange(0, 4)[:, None]
    g_first, g_second = tl.zeros([4, SIZE], tl.float32), tl.zeros([4, SIZE], tl.float32)
    g_third, g_center = tl.zeros([4, SIZE], tl.float32), tl.zeros([4, SIZE], tl.float32)
    center = tl.load(translation + 3 * row + coordinate, mask=coordinate < 3, other=0.0)
    for start in range(0, parts, SIZE):
        other = start + tl.arange(0, SIZE)[None, :]
        is_other = (other < parts) & (other != part)
        there, both = frame * parts + other, (coordinate < 3) & is_other
        offset = tl.load(translation + 3 * there + coordinate, mask=both, other=0.0) - center
        pair, back = part * parts + other, other * parts + part
        gate = tl.load(gates + pair, mask=is_other, other=0.0)
        gate_back = tl.load(gates + back, mask=is_other, other=0.0)
        column, shift = _column(
            rotation, moments, row, there, pair, back, gate, gate_back, offset, coordinate, both, is_other, 0
        )
        g_first += column
        g_center += shift
        column, shift = _column(
            rotation, moments, row, there, pair, back, gate, gate_back, offset, coordinate, both, is_other, 1
        )
        g_second += column
        g_center += shift
        column, shift = _column(
            rotation, moments, row, there, pair, back, gate, gate_back, offset, coordinate, both, is_other, 2
        )
        g_third += column
        g_center += shift
    scale = tl.load(g_loss)
    at, is_coordinate = g_rotation + 9 * row + 3 * coordinate, coordinate < 3
    tl.store(at, scale * tl.sum(g_first, 1)[:, None], mask=is_coordinate)
    tl.store(at + 1, scale * tl.sum(g_second, 1)[:, None], mask=is_coordinate)
    tl.store(at + 2, scale * tl.sum(g_third, 1)[:, None], mask=is_coordinate)
    tl.store(g_translation + 3 * row + coordinate, scale * tl.sum(g_center, 1)[:, None], mask=is_coordinate)


class _MergeLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rotation, translation, distance, motion_weight):  # type: ignore[override]
        rotation, translation = rotation.detach().contiguous(), translation.detach().contiguous()
        frames, parts = translation.shape[:2]
        moments, motion = rotation.new_empty(parts, parts, MOMENTS.value), rotation.new_empty(parts, parts)
        gates, loss = torch.empty_like(motion), rotation.new_empty(())
        _pairs[(parts * parts,)](
            rotation, translation, motion_weight, moments, motion, frames, parts, SIZE=FRAMES, num_warps=1
        )
        _gate[(1,)](motion, distance, gates, loss, parts, SIZE=PAIRS, num_warps=4)
        ctx.save_for_backward(rotation, translation, moments, gates)
        return loss

    @staticmethod
    def backward(ctx, g_loss):  # type: ignore[override]
        rotation, translation, moments, gates = ctx.saved_tensors
        frames, parts = translation.shape[:2]
        gradients = torch.empty_like(rotation), torch.empty_like(translation)
        _backward[(frames * parts,)](
            rotation, translation, moments, gates, g_loss, *gradients, parts, SIZE=PARTS, num_warps=1
        )
        return *gradients, None, None


def merge_loss(rotation: Tensor, translation: Tensor, distance: float, motion_weight: float) -> Tensor:
    """See ``reference.merge_loss``: the same result for float32 tensors on a GPU."""
    if rotation.shape[1] < 2:
        return translation.sum() * 0
    return _MergeLoss.apply(rotation, translation, distance, motion_weight)
