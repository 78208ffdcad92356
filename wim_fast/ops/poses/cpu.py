"""Poses of parts compiled by numba: a few numbers, which twenty operations of torch would take long to pass on."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from wim_fast.ops.compiled import arrays, device, kernel

_TINY = np.float32(1e-12)


@device
def _gram_schmidt(x, rest, b):
    """Columns 0, 1 and 2 of the rotation into `b` (3, 3), a column in each row, of numbers 3 to 8 of `x` + `rest` (9,).

    Returns the first vector's length, how much of the first column is in the second vector, and the rest's length.
    """
    for k in range(3):
        b[0, k] = x[3 + k] + rest[3 + k]
        b[1, k] = x[6 + k] + rest[6 + k]
    length = max(np.float32(math.sqrt(b[0, 0] * b[0, 0] + b[0, 1] * b[0, 1] + b[0, 2] * b[0, 2])), _TINY)
    for k in range(3):
        b[0, k] /= length
    along = b[0, 0] * b[1, 0] + b[0, 1] * b[1, 1] + b[0, 2] * b[1, 2]
    for k in range(3):
        b[1, k] -= along * b[0, k]
    across = max(np.float32(math.sqrt(b[1, 0] * b[1, 0] + b[1, 1] * b[1, 1] + b[1, 2] * b[1, 2])), _TINY)
    for k in range(3):
        b[1, k] /= across
    b[2, 0] = b[0, 1] * b[1, 2] - b[0, 2] * b[1, 1]
    b[2, 1] = b[0, 2] * b[1, 0] - b[0, 0] * b[1, 2]
    b[2, 2] = b[0, 0] * b[1, 1] - b[0, 1] * b[1, 0]
    return length, along, across


@functools.partial(kernel, parallel=False)
def _forward(difference, rest, rotation, translation):
    b = np.empty((3, 3), np.float32)
    for f in range(translation.shape[0]):
        for p in range(translation.shape[1]):
            _gram_schmidt(difference[f, p], rest[p], b)
            for k in range(3):
                translation[f, p, k] = difference[f, p, k] + rest[p, k]
                for column in range(3):
                    rotation[f, p, k, column] = b[column, k]


@functools.partial(kernel, parallel=False)
def _backward(difference, rest, g_rotation, g_translation, g_difference, g_rest):
    b = np.empty((3, 3), np.float32)
    g = np.empty((3, 3), np.float32)  # of the columns
    for f in range(difference.shape[0]):
        for p in range(difference.shape[1]):
            length, along, across = _gram_schmidt(difference[f, p], rest[p], b)
            for k in range(3):
                for column in range(3):
                    g[column, k] = g_rotation[f, p, k, column]
            for k in range(3):  # the third is the first two's cross product
                i, j = (k + 1) % 3, (k + 2) % 3
                g[0, k] += b[1, i] * g[2, j] - b[1, j] * g[2, i]
                g[1, k] += g[2, i] * b[0, j] - g[2, j] * b[0, i]
            inward = b[1, 0] * g[1, 0] + b[1, 1] * g[1, 1] + b[1, 2] * g[1, 2]
            for k in range(3):
                g[1, k] = (g[1, k] - inward * b[1, k]) / across
            inward = b[0, 0] * g[1, 0] + b[0, 1] * g[1, 1] + b[0, 2] * g[1, 2]
            for k in range(3):
                second = difference[f, p, 6 + k] + rest[p, 6 + k]
                g[0, k] -= along * g[1, k] + inward * second
                g[1, k] -= inward * b[0, k]
            inward = b[0, 0] * g[0, 0] + b[0, 1] * g[0, 1] + b[0, 2] * g[0, 2]
            for k in range(3):
                g_difference[f, p, k] = g_translation[f, p, k]
                g_difference[f, p, 3 + k] = (g[0, k] - inward * b[0, k]) / length
                g_difference[f, p, 6 + k] = g[1, k]
            for k in range(9):
                g_rest[p, k] += g_difference[f, p, k]


class _PartPoses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, difference, rest):  # type: ignore[override]
        frames, parts = len(difference), len(rest) // 9
        difference_, rest_ = arrays(difference, rest)
        ctx.inputs = difference_.reshape(frames, parts, 9), rest_.reshape(parts, 9)
        rotation = np.empty((frames, parts, 3, 3), np.float32)
        translation = np.empty((frames, parts, 3), np.float32)
        _forward(*ctx.inputs, rotation, translation)
        return torch.from_numpy(rotation), torch.from_numpy(translation)

    @staticmethod
    def backward(ctx, g_rotation, g_translation):  # type: ignore[override]
        difference, rest = ctx.inputs
        g_difference, g_rest = np.empty_like(difference), np.zeros_like(rest)
        _backward(difference, rest, *arrays(g_rotation, g_translation), g_difference, g_rest)
        return torch.from_numpy(g_difference.reshape(len(difference), -1)), torch.from_numpy(g_rest.ravel())


def part_poses(difference: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    """See ``reference.part_poses``: the same result for CPU float32 tensors."""
    return _PartPoses.apply(difference, rest)
