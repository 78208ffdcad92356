"""The merge loss compiled by numba: its gradients are found with it, and going backward scales them.

Frames lie one after another, so that loops over them are vectors. A few hundred thousand numbers: one thread.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from wim_fast.ops.compiled import arrays, device, kernel
from wim_fast.ops.merging import reference

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
    """Take the mean from the values, and return their variance."""
    mean = values.sum() / np.float32(len(values))
    square = _ZERO
    for f in range(len(values)):
        values[f] -= mean
        square += values[f] * values[f]
    return square / np.float32(len(values))


@device
def _motions(rotation, translation, motion_weight, motion):
    """m_ij of all pairs (`reference.relative_motion`); the turns of a pair are seen alike from both of its parts."""
    parts, frames = rotation.shape[0], rotation.shape[3]
    x = np.empty(frames, np.float32)
    for i in range(parts):
        for j in range(parts):
            deviation = _ZERO
            for a in range(3):
                _shifted(rotation, translation, i, a, j, x)
                deviation += np.float32(math.sqrt(_centred(x) + LEAST_SHIFT))
            motion[i, j] = motion_weight * deviation / np.float32(3)
    for i in range(parts):
        for j in range(i):
            deviation = _ZERO
            for a in range(3):
                for b in range(3):
                    _turned(rotation, i, a, j, b, x)
                    deviation += np.float32(math.sqrt(max(_centred(x), LEAST_TURN)))
            motion[i, j] += deviation / np.float32(9)
            motion[j, i] += deviation / np.float32(9)


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


@functools.partial(kernel, parallel=False)
def _loss(rotation, translation, distance, motion_weight, g_rotation, g_translation):
    """The loss, and its gradients, which are zero before; layouts as above."""
    parts, frames = rotation.shape[0], rotation.shape[3]
    motion, gate = np.empty((parts, parts), np.float32), np.zeros((parts, parts), np.float32)
    _motions(rotation, translation, motion_weight, motion)
    loss = _gated(motion, distance, gate)
    x = np.empty(frames, np.float32)
    each = _ONE / np.float32(frames)
    for i in range(parts):
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
    return loss


class _MergeLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rotation, translation, distance, motion_weight):  # type: ignore[override]
        posed = [np.ascontiguousarray(np.moveaxis(x, 0, -1)) for x in arrays(rotation, translation)]
        gradients = [np.zeros_like(x) for x in posed]
        loss = _loss(*posed, np.float32(distance), np.float32(motion_weight), *gradients)
        ctx.gradients = gradients
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
