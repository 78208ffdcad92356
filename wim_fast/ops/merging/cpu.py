"""The merge loss compiled by numba: its gradients are found with it, and going backward scales them.

Frames lie one after another, so that loops over them are vectors. Parts are dealt out to a fixed number of chunks, each
with gradients of its own, so that results do not depend on the number of threads.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.compiled import arrays, claim, device, kernel
from wim_fast.ops.merging import reference

CHUNKS = 4  # each has gradients to be cleared and added up
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
LEAST_TURN = np.float32(reference.LEAST_TURN)
LEAST_SHIFT = np.float32(reference.LEAST_SHIFT)


@device
def _turned(rotation, i, a, j, b, out):
    """Entry (a, b) of R_i^T R_j in every frame; `rotation` is (P, 3, 3, F)."""
    for f in range(len(out)):
        out[f] = (
            rotation[i, 0, a, f] * rotation[j, 0, b, f]
            + rotation[i, 1, a, f] * rotation[j, 1, b, f]
            + rotation[i, 2, a, f] * rotation[j, 2, b, f]
        )


@device
def _shifted(rotation, translation, i, a, j, out):
    """Coordinate a of R_i^T (t_j - t_i) in every frame; `translation` is (P, 3, F)."""
    for f in range(len(out)):
        out[f] = (
            rotation[i, 0, a, f] * (translation[j, 0, f] - translation[i, 0, f])
            + rotation[i, 1, a, f] * (translation[j, 1, f] - translation[i, 1, f])
            + rotation[i, 2, a, f] * (translation[j, 2, f] - translation[i, 2, f])
        )


@device
def _centred(values):
    """Take the mean from the values, and return their variance. Four sums at once, for each waits for its last addition."""
    count = len(values)
    s0, s1, s2, s3 = _ZERO, _ZERO, _ZERO, _ZERO
    whole = count - count % 4
    for f in range(0, whole, 4):
        s0 += values[f]
        s1 += values[f + 1]
        s2 += values[f + 2]
        s3 += values[f + 3]
    for f in range(whole, count):
        s0 += values[f]
    mean = ((s0 + s1) + (s2 + s3)) / np.float32(count)
    for f in range(count):
        values[f] -= mean
    s0, s1, s2, s3 = _ZERO, _ZERO, _ZERO, _ZERO
    for f in range(0, whole, 4):
        s0 += values[f] * values[f]
        s1 += values[f + 1] * values[f + 1]
        s2 += values[f + 2] * values[f + 2]
        s3 += values[f + 3] * values[f + 3]
    for f in range(whole, count):
        s0 += values[f] * values[f]
    return ((s0 + s1) + (s2 + s3)) / np.float32(count)


@device
def _motions(first, rotation, translation, motion_weight, motion):
    """m_ij of every `CHUNKS`-th i (`reference.relative_motion`); the turns are those of i against each j before it."""
    parts, frames = rotation.shape[0], rotation.shape[3]
    x = np.empty(frames, np.float32)
    for i in range(first, parts, CHUNKS):
        for j in range(parts):
            deviation = _ZERO
            for a in range(3):
                _shifted(rotation, translation, i, a, j, x)
                deviation += np.float32(math.sqrt(_centred(x) + LEAST_SHIFT))
            motion[0, i, j] = motion_weight * deviation / np.float32(3)
        for j in range(i):
            deviation = _ZERO
            for a in range(3):
                for b in range(3):
                    _turned(rotation, i, a, j, b, x)
                    deviation += np.float32(math.sqrt(max(_centred(x), LEAST_TURN)))
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
def _slopes(first, rotation, translation, motion_weight, gate, g_rotation, g_translation):
    """The gradients from the pairs of every `CHUNKS`-th i, added to zeros; layouts as above."""
    parts, frames = rotation.shape[0], rotation.shape[3]
    x = np.empty(frames, np.float32)
    each = _ONE / np.float32(frames)
    for i in range(first, parts, CHUNKS):
        for j in range(parts):
            for a in range(3):
                if i == j:
                    continue
                _shifted(rotation, translation, i, a, j, x)
                variance = _centred(x) + LEAST_SHIFT
                scale = each * motion_weight / np.float32(3) * gate[i, j] / np.float32(math.sqrt(variance))
                for k in range(3):
                    for f in range(frames):
                        g = scale * x[f]
                        along = g * rotation[i, k, a, f]
                        g_rotation[i, k, a, f] += g * (translation[j, k, f] - translation[i, k, f])
                        g_translation[j, k, f] += along
                        g_translation[i, k, f] -= along
        for j in range(i):
            for a in range(3):
                for b in range(3):
                    _turned(rotation, i, a, j, b, x)
                    variance = _centred(x)
                    if variance < LEAST_TURN:
                        continue
                    scale = each * (gate[i, j] + gate[j, i]) / np.float32(9 * math.sqrt(variance))
                    for k in range(3):
                        for f in range(frames):
                            g = scale * x[f]
                            g_rotation[i, k, a, f] += g * rotation[j, k, b, f]
                            g_rotation[j, k, b, f] += g * rotation[i, k, a, f]


@kernel
def _loss(rotation, translation, distance, motion_weight, g_rotation, g_translation):
    """The loss, and its gradients by chunk, which are zero before; layouts as above."""
    parts = rotation.shape[0]
    motion, gate = np.empty((2, parts, parts), np.float32), np.zeros((parts, parts), np.float32)
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _motions(chunk, rotation, translation, motion_weight, motion)
            chunk = claim(turn)
    _joined(motion)
    loss = _gated(motion[0], distance, gate)
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _slopes(
                chunk,
                rotation,
                translation,
                motion_weight,
                gate,
                g_rotation[chunk],
                g_translation[chunk],
            )
            chunk = claim(turn)
    return loss


class _MergeLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rotation, translation, distance, motion_weight):  # type: ignore[override]
        posed = [np.ascontiguousarray(np.moveaxis(x, 0, -1)) for x in arrays(rotation, translation)]
        gradients = [np.zeros((CHUNKS, *x.shape), np.float32) for x in posed]
        loss = _loss(*posed, np.float32(distance), np.float32(motion_weight), *gradients)
        ctx.gradients = [x.sum(0) for x in gradients]
        return torch.tensor(loss, dtype=torch.float32)

    @staticmethod
    def backward(ctx, g_loss):  # type: ignore[override]
        scale = np.float32(g_loss.item())
        return *(torch.from_numpy(np.moveaxis(scale * g, -1, 0)) for g in ctx.gradients), None, None


def merge_loss(rotation: Tensor, translation: Tensor, distance: float, motion_weight: float) -> Tensor:
    """See ``reference.merge_loss``: the same result for CPU float32 tensors."""
    if rotation.shape[1] < 2:
        return translation.sum() * 0
    return _MergeLoss.apply(rotation, translation, distance, motion_weight)
