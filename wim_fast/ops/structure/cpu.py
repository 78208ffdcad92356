"""The losses of structure and the running distances compiled by numba: gradients are found with the losses.

Going backward scales them. All of it is a few thousand numbers, so it runs on one thread.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from wim_fast.ops.compiled import arrays, device, kernel
from wim_fast.ops.structure.reference import StructureLosses

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)


@device
def _arm(semi_axes, part, candidate, share):
    """How far along its semi-axis a joint candidate lies, with its sign."""
    arm = share * semi_axes[part, candidate // 2]
    return arm if candidate % 2 == 0 else -arm


@functools.partial(kernel, parallel=False)
def _losses(rotation, translation, semi_axes, edges, edge_candidates, share, sigma, losses, g_rotation, g_translation,
            g_axes, g_separated):  # fmt: skip
    """The gradients of the joint loss, and of the separation loss with respect to translation; all of them zero before."""
    frames, parts = translation.shape[:2]
    gap = np.empty(3, np.float32)
    each = _ONE / np.float32(max(frames * (parts - 1), 1))
    each_pair = _TWO / np.float32(max(frames * parts * (parts - 1), 1))
    narrow = _ONE / (sigma * sigma)
    joint = separation = 0.0
    for f in range(frames):
        for e in range(parts - 1):
            for k in range(3):
                gap[k] = _ZERO
            for end in range(2):
                p, c = edges[e, end], edge_candidates[e, end]
                arm = _arm(semi_axes, p, c, share)
                for k in range(3):
                    point = translation[f, p, k] + arm * rotation[f, p, k, c // 2]
                    gap[k] += point if end == 0 else -point
            joint += gap[0] * gap[0] + gap[1] * gap[1] + gap[2] * gap[2]
            for end in range(2):
                p, c = edges[e, end], edge_candidates[e, end]
                arm = _arm(semi_axes, p, c, share)
                along = _ZERO
                for k in range(3):
                    g = _TWO * each * (gap[k] if end == 0 else -gap[k])
                    g_translation[f, p, k] += g
                    g_rotation[f, p, k, c // 2] += g * arm
                    along += g * rotation[f, p, k, c // 2]
                g_axes[p, c // 2] += along * (share if c % 2 == 0 else -share)
        for i in range(parts):
            for j in range(i):
                for k in range(3):
                    gap[k] = translation[f, i, k] - translation[f, j, k]
                squared = gap[0] * gap[0] + gap[1] * gap[1] + gap[2] * gap[2]
                near = np.float32(math.exp(-squared * narrow / _TWO))
                separation += near
                for k in range(3):
                    g = each_pair * near * narrow * gap[k]
                    g_separated[f, i, k] -= g
                    g_separated[f, j, k] += g
    losses[0] = joint * each
    losses[1] = separation * each_pair


class _StructureLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rotation, translation, semi_axes, edges, edge_candidates, share, sigma):  # type: ignore[override]
        inputs = arrays(rotation, translation, semi_axes, edges, edge_candidates)
        losses = np.empty((2, 1), np.float32)
        ctx.gradients = [np.zeros_like(inputs[k]) for k in (0, 1, 2, 1)]
        _losses(*inputs, np.float32(share), np.float32(sigma), losses[:, 0], *ctx.gradients)
        return tuple(torch.from_numpy(loss).squeeze(0) for loss in losses)

    @staticmethod
    def backward(ctx, g_joint, g_separation):  # type: ignore[override]
        rotation, translation, axes, separated = ctx.gradients
        joint, separation = np.float32(g_joint.item()), np.float32(g_separation.item())
        found = joint * rotation, joint * translation + separation * separated, joint * axes
        return *(torch.from_numpy(g) for g in found), *([None] * 4)


def structure_losses(
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    edges: Tensor,
    edge_candidates: Tensor,
    share: float,
    sigma: float,
) -> StructureLosses:
    """See ``reference.structure_losses``: the same result for CPU float32 tensors."""
    return StructureLosses(
        *_StructureLosses.apply(rotation, translation, semi_axes, edges, edge_candidates, share, sigma)
    )


@functools.partial(kernel, parallel=False)
def _observe(rotation, translation, semi_axes, candidate_distance, center_distance, share, moved):
    """By products of the parts' axes and centres, of which each is in several pairs of candidates."""
    frames, parts = translation.shape[:2]
    each = _ONE / np.float32(frames)
    gap = np.empty(3, np.float32)
    of_gap = np.empty((2, 3), np.float32)  # mean products of the axes of part i, and of part j, with the gap
    of_axes = np.empty((3, 3), np.float32)  # and with each other
    for i in range(parts):
        for j in range(i, parts):
            squared = _ZERO
            of_gap[:] = _ZERO
            of_axes[:] = _ZERO
            for f in range(frames):
                for k in range(3):
                    gap[k] = translation[f, i, k] - translation[f, j, k]
                    squared += gap[k] * gap[k]
                for a in range(3):
                    for k in range(3):
                        of_gap[0, a] += rotation[f, i, k, a] * gap[k]
                        of_gap[1, a] += rotation[f, j, k, a] * gap[k]
                        for b in range(3):
                            of_axes[a, b] += rotation[f, i, k, a] * rotation[f, j, k, b]
            squared *= each
            center_distance[i, j] += moved * (squared - center_distance[i, j])
            center_distance[j, i] = center_distance[i, j]
            for m in range(6):
                x = _arm(semi_axes, i, m, share)
                for n in range(6):
                    y = _arm(semi_axes, j, n, share)
                    mixed = x * of_gap[0, m // 2] - y * of_gap[1, n // 2] - x * y * of_axes[m // 2, n // 2]
                    now = max(squared + x * x + y * y + _TWO * each * mixed, _ZERO)
                    candidate_distance[i, j, m, n] += moved * (now - candidate_distance[i, j, m, n])
            for m in range(6):
                for n in range(6):
                    candidate_distance[j, i, n, m] = candidate_distance[i, j, m, n]


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
    """See ``reference.observe_distances``: the same result for CPU float32 tensors of rotations."""
    moved = np.float32(1.0 if int(steps) == 0 else rate)
    posed = arrays(rotation, translation, semi_axes)
    _observe(*posed, candidate_distance.numpy(), center_distance.numpy(), np.float32(share), moved)
    steps += 1
