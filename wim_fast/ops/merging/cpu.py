"""The merge loss compiled by numba: its gradients are found with it, and going backward scales them.

Frames lie one after another, in whole vectors. Parts are dealt out to a fixed number of chunks, each with gradients of
its own, so that results do not depend on the number of threads.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.compiled import arrays, claim, device, kernel
from wim_fast.ops.merging import reference
from wim_fast.ops.vectors import LANES, filled_up, plus_product, plus_scaled, put, total, vector, zeros

CHUNKS = 4  # each has gradients to be cleared and added up
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
LEAST_TURN = np.float32(reference.LEAST_TURN)
LEAST_SHIFT = np.float32(reference.LEAST_SHIFT)


@device
def _turns(rotation, i, j, pitch, x):
    """The nine entries of R_i^T R_j in every frame."""
    for f in range(0, pitch, LANES):
        for a in range(3):
            first = (9 * i + a) * pitch + f
            p = vector(rotation, first)
            q = vector(rotation, first + 3 * pitch)
            r = vector(rotation, first + 6 * pitch)
            for b in range(3):
                second = (9 * j + b) * pitch + f
                entry = p * vector(rotation, second)
                entry = plus_product(entry, q, vector(rotation, second + 3 * pitch))
                entry = plus_product(entry, r, vector(rotation, second + 6 * pitch))
                put(x, (3 * a + b) * pitch + f, entry)


@device
def _shifts(rotation, translation, i, j, pitch, x):
    """The three coordinates of R_i^T (t_j - t_i) in every frame."""
    for f in range(0, pitch, LANES):
        here, there = 3 * i * pitch + f, 3 * j * pitch + f
        u = vector(translation, there) - vector(translation, here)
        v = vector(translation, there + pitch) - vector(translation, here + pitch)
        w = vector(translation, there + 2 * pitch) - vector(translation, here + 2 * pitch)
        for a in range(3):
            first = (9 * i + a) * pitch + f
            along = u * vector(rotation, first)
            along = plus_product(along, v, vector(rotation, first + 3 * pitch))
            put(x, a * pitch + f, plus_product(along, w, vector(rotation, first + 6 * pitch)))


@device
def _centred(x, at, is_frame, frames):
    """Take the mean from the values of all frames, and return their variance."""
    pitch = len(is_frame)
    summed = zeros()
    for f in range(0, pitch, LANES):
        summed = summed + vector(x, at + f)
    mean = total(summed) / frames
    squares = zeros()
    for f in range(0, pitch, LANES):
        apart = plus_scaled(vector(x, at + f), -mean, vector(is_frame, f))
        put(x, at + f, apart)
        squares = plus_product(squares, apart, apart)
    return total(squares) / frames


@device
def _motions(first, rotation, translation, is_frame, frames, motion_weight, motion):
    """m_ij of every `CHUNKS`-th i (`reference.relative_motion`); the turns are those of i against each j before it."""
    parts, pitch = motion.shape[1], len(is_frame)
    x = np.empty(9 * pitch, np.float32)
    for i in range(first, parts, CHUNKS):
        for j in range(parts):
            _shifts(rotation, translation, i, j, pitch, x)
            deviation = _ZERO
            for a in range(3):
                deviation += np.float32(math.sqrt(_centred(x, a * pitch, is_frame, frames) + LEAST_SHIFT))
            motion[0, i, j] = motion_weight * deviation / np.float32(3)
        for j in range(i):
            _turns(rotation, i, j, pitch, x)
            deviation = _ZERO
            for ab in range(9):
                deviation += np.float32(math.sqrt(max(_centred(x, ab * pitch, is_frame, frames), LEAST_TURN)))
            motion[1, i, j] = deviation / np.float32(9)


@device
def _joined(motion):
    """The turns of a pair are seen alike from both of its parts: motion[0] (P, P) is all of them and the shifts."""
    for i in range(motion.shape[1]):
        for j in range(i):
            motion[0, i, j] += motion[1, i, j]
            motion[0, j, i] += motion[1, i, j]


@device
def _gated(motion, distance, gate):
    """The loss of the motions (P, P), and its gradient with respect to them, for the gate is a constant."""
    parts = len(motion)
    least = np.float32(np.inf)
    for i in range(parts):
        for j in range(parts):
            if i != j:
                least = min(least, motion[i, j])
    scale = max(least, distance)
    each = _ONE / np.float32(parts * (parts - 1))
    loss = 0.0
    for i in range(parts):
        for j in range(parts):
            if i != j:
                gate[i, j] = each / (_ONE + np.float32(math.exp((motion[i, j] - scale) / scale)))
                loss += gate[i, j] * motion[i, j]
    return np.float32(loss)


@device
def _scaled(x, at, pitch, scale):
    for f in range(at, at + pitch, LANES):
        put(x, f, scale * vector(x, f))


@device
def _add(g, at, v):
    put(g, at, vector(g, at) + v)


@device
def _shift_slopes(i, j, rotation, translation, x, pitch, g_rotation, g_translation):
    """What the gradients `x` of the shifts of j as seen from i say of both."""
    for f in range(0, pitch, LANES):
        here, there = 3 * i * pitch + f, 3 * j * pitch + f
        p, q, r = vector(x, f), vector(x, pitch + f), vector(x, 2 * pitch + f)
        for k in range(3):
            row = (9 * i + 3 * k) * pitch + f
            apart = vector(translation, there + k * pitch) - vector(translation, here + k * pitch)
            _add(g_rotation, row, p * apart)
            _add(g_rotation, row + pitch, q * apart)
            _add(g_rotation, row + 2 * pitch, r * apart)
            along = p * vector(rotation, row)
            along = plus_product(along, q, vector(rotation, row + pitch))
            along = plus_product(along, r, vector(rotation, row + 2 * pitch))
            _add(g_translation, there + k * pitch, along)
            put(g_translation, here + k * pitch, vector(g_translation, here + k * pitch) - along)


@device
def _turn_slopes(i, j, rotation, x, pitch, g_rotation):
    """What the gradients `x` of the turns of j against i say of both."""
    for f in range(0, pitch, LANES):
        for k in range(3):
            first, second = (9 * i + 3 * k) * pitch + f, (9 * j + 3 * k) * pitch + f
            for a in range(3):
                of_i, of_j = zeros(), zeros()
                for b in range(3):
                    of_i = plus_product(
                        of_i, vector(x, (3 * a + b) * pitch + f), vector(rotation, second + b * pitch)
                    )
                    of_j = plus_product(
                        of_j, vector(x, (3 * b + a) * pitch + f), vector(rotation, first + b * pitch)
                    )
                _add(g_rotation, first + a * pitch, of_i)
                _add(g_rotation, second + a * pitch, of_j)


@device
def _slopes(first, rotation, translation, is_frame, frames, motion_weight, gate, g_rotation, g_translation):
    """The gradients from the pairs of every `CHUNKS`-th i, added to zeros; layouts as above."""
    parts, pitch = len(gate), len(is_frame)
    x = np.empty(9 * pitch, np.float32)
    for i in range(first, parts, CHUNKS):
        for j in range(parts):
            if i == j:
                continue
            _shifts(rotation, translation, i, j, pitch, x)
            for a in range(3):
                deviation = np.float32(math.sqrt(_centred(x, a * pitch, is_frame, frames) + LEAST_SHIFT))
                _scaled(
                    x, a * pitch, pitch, motion_weight * gate[i, j] / (np.float32(3) * frames * deviation)
                )
            _shift_slopes(i, j, rotation, translation, x, pitch, g_rotation, g_translation)
        for j in range(i):
            _turns(rotation, i, j, pitch, x)
            for ab in range(9):
                variance = _centred(x, ab * pitch, is_frame, frames)
                scale = _ZERO
                if variance >= LEAST_TURN:
                    scale = (gate[i, j] + gate[j, i]) / (
                        np.float32(9) * frames * np.float32(math.sqrt(variance))
                    )
                _scaled(x, ab * pitch, pitch, scale)
            _turn_slopes(i, j, rotation, x, pitch, g_rotation)


@kernel
def _loss(rotation, translation, parts, is_frame, frames, distance, motion_weight, g_rotation, g_translation):
    """The loss, and its gradients by chunk, which are zero before.

    Arrays are flat: of each part the nine entries of the rotation and the three of the translation, of each of them all
    frames, and zeros up to whole vectors. `is_frame` is 1 for frames, and 0 for these.
    """
    motion, gate = np.empty((2, parts, parts), np.float32), np.zeros((parts, parts), np.float32)
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _motions(chunk, rotation, translation, is_frame, frames, motion_weight, motion)
            chunk = claim(turn)
    _joined(motion)
    loss = _gated(motion[0], distance, gate)
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _slopes(chunk, rotation, translation, is_frame, frames, motion_weight, gate, g_rotation[chunk],
                    g_translation[chunk])  # fmt: skip
            chunk = claim(turn)
    return loss


class _MergeLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rotation, translation, distance, motion_weight):  # type: ignore[override]
        frames, parts = translation.shape[:2]
        pitch = filled_up(frames)
        posed = [np.zeros((x[0].numel(), pitch), np.float32) for x in (rotation, translation)]
        for flat, x in zip(posed, arrays(rotation, translation), strict=True):
            flat[:, :frames] = x.reshape(frames, -1).T
        gradients = [np.zeros((CHUNKS, x.size), np.float32) for x in posed]
        is_frame = (np.arange(pitch) < frames).astype(np.float32)
        numbers = (np.float32(x) for x in (frames, distance, motion_weight))
        loss = _loss(*(x.reshape(-1) for x in posed), parts, is_frame, *numbers, *gradients)
        shapes = rotation.shape, translation.shape
        ctx.gradients = [
            g.sum(0).reshape(-1, pitch)[:, :frames].T.reshape(shape)
            for g, shape in zip(gradients, shapes, strict=True)
        ]
        return torch.tensor(loss, dtype=torch.float32)

    @staticmethod
    def backward(ctx, g_loss):  # type: ignore[override]
        scale = np.float32(g_loss.item())
        return *(torch.from_numpy(scale * g) for g in ctx.gradients), None, None


def merge_loss(rotation: Tensor, translation: Tensor, distance: float, motion_weight: float) -> Tensor:
    """See ``reference.merge_loss``: the same result for CPU float32 tensors."""
    if rotation.shape[1] < 2:
        return translation.sum() * 0
    return _MergeLoss.apply(rotation, translation, distance, motion_weight)
