"""The losses of structure and the running distances compiled by numba: gradients are found with the losses.

Going backward scales them. All of it is a few thousand vectors, so it runs on one thread.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from wim_fast.ops.compiled import arrays, device, kernel
from wim_fast.ops.structure.reference import StructureLosses
from wim_fast.ops.vectors import LANES, exponential, filled_up, plus_product, put, total, vector, zeros

ROWS = 4  # of a part's poses: its axes and its centre
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)
_HALF = np.float32(0.5)
_FAR = np.float32(1e4)  # from everything


@device
def _arm(semi_axes, part, candidate, share):
    """How far along its semi-axis a joint candidate lies, with its sign."""
    arm = share * semi_axes[part, candidate // 2]
    return arm if candidate % 2 == 0 else -arm


@device
def _join(
    rotation, translation, semi_axes, edges, edge_candidates, share, each, g_rotation, g_translation, g_axes
):
    """The sum of the squared gaps of a pose's joints; adds the gradients of `each` times that."""
    gap = np.empty(3, np.float32)
    found = 0.0
    for e in range(len(edges)):
        gap[:] = _ZERO
        for end in range(2):
            p, c = edges[e, end], edge_candidates[e, end]
            arm = _arm(semi_axes, p, c, share)
            for k in range(3):
                point = translation[p, k] + arm * rotation[p, k, c // 2]
                gap[k] += point if end == 0 else -point
        found += gap[0] * gap[0] + gap[1] * gap[1] + gap[2] * gap[2]
        for end in range(2):
            p, c = edges[e, end], edge_candidates[e, end]
            arm = _arm(semi_axes, p, c, share)
            along = _ZERO
            for k in range(3):
                g = _TWO * each * (gap[k] if end == 0 else -gap[k])
                g_translation[p, k] += g
                g_rotation[p, k, c // 2] += g * arm
                along += g * rotation[p, k, c // 2]
            g_axes[p, c // 2] += along * (share if c % 2 == 0 else -share)
    return found


@device
def _separate(translation, centers, narrow, each, g_separated):
    """The sum over the pairs of a pose's parts; sets the gradients of `each` times that.

    centers: flat, x of all parts, then y, then z; filled up to vectors by what is `_FAR`.
    """
    parts, row = len(translation), len(centers) // 3
    found = 0.0
    for i in range(parts):
        near = zeros()
        gx = zeros()
        gy = zeros()
        gz = zeros()
        for j in range(0, row, LANES):
            x = vector(centers, j) - translation[i, 0]
            y = vector(centers, row + j) - translation[i, 1]
            z = vector(centers, 2 * row + j) - translation[i, 2]
            shares = exponential((x * x + y * y + z * z) * (-_HALF * narrow))
            near = near + shares
            gx = plus_product(gx, shares, x)
            gy = plus_product(gy, shares, y)
            gz = plus_product(gz, shares, z)
        found += total(near) - _ONE  # itself
        g_separated[i, 0] = each * narrow * total(gx)
        g_separated[i, 1] = each * narrow * total(gy)
        g_separated[i, 2] = each * narrow * total(gz)
    return 0.5 * found


@functools.partial(kernel, parallel=False)
def _losses(rotation, translation, centers, semi_axes, edges, edge_candidates, share, sigma, losses, g_rotation,
            g_translation, g_axes, g_separated):  # fmt: skip
    """The gradients of the joint loss, zero before, and of the separation loss with respect to translation."""
    frames, parts = translation.shape[:2]
    each = _ONE / np.float32(max(frames * (parts - 1), 1))
    each_pair = _TWO / np.float32(max(frames * parts * (parts - 1), 1))
    narrow = _ONE / (sigma * sigma)
    joint = separation = 0.0
    for f in range(frames):
        joint += _join(rotation[f], translation[f], semi_axes, edges, edge_candidates, share, each, g_rotation[f],
                       g_translation[f], g_axes)  # fmt: skip
        separation += _separate(translation[f], centers[f], narrow, each_pair, g_separated[f])
    losses[0] = joint * each
    losses[1] = separation * each_pair


class _StructureLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rotation, translation, semi_axes, edges, edge_candidates, share, sigma):  # type: ignore[override]
        rotation_, translation_, *others = arrays(rotation, translation, semi_axes, edges, edge_candidates)
        frames, parts = translation_.shape[:2]
        centers = np.full((frames, 3, filled_up(parts)), _FAR)
        centers[..., :parts] = translation_.transpose(0, 2, 1)
        losses = np.empty((2, 1), np.float32)
        ctx.gradients = [np.zeros_like(x) for x in (rotation_, translation_, others[0], translation_)]
        _losses(rotation_, translation_, centers.reshape(frames, -1), *others, np.float32(share), np.float32(sigma),
                losses[:, 0], *ctx.gradients)  # fmt: skip
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


@device
def _with_axes(row, start, rows, part, length, found):
    """Sets `found` (3,): products of what is in `row` from `start` on with the axes of a part."""
    first = part * ROWS * length
    x = zeros()
    y = zeros()
    z = zeros()
    for v in range(0, length, LANES):
        here = vector(row, start + v)
        x = plus_product(x, here, vector(rows, first + v))
        y = plus_product(y, here, vector(rows, first + length + v))
        z = plus_product(z, here, vector(rows, first + 2 * length + v))
    found[0] = total(x)
    found[1] = total(y)
    found[2] = total(z)


@device
def _find_gap(rows, i, j, length, gap):
    """Sets `gap` (length,), between the centres of two parts; returns the sum of its squares."""
    first, second = (i * ROWS + 3) * length, (j * ROWS + 3) * length
    squares = zeros()
    for v in range(0, length, LANES):
        here = vector(rows, first + v) - vector(rows, second + v)
        put(gap, v, here)
        squares = plus_product(squares, here, here)
    return total(squares)


@functools.partial(kernel, parallel=False)
def _observe(rows, length, frames, semi_axes, candidate_distance, center_distance, share, moved):
    """By mean products of the parts' axes and centres, of which each is in several pairs of candidates.

    rows: flat, `ROWS` of each part, which are `length` long: x, y and z of an axis, or of the centre, in all frames.
    """
    parts = len(semi_axes)
    each = _ONE / np.float32(frames)
    gap = np.empty(length, np.float32)
    of_gap = np.empty((2, 3), np.float32)  # products of the axes of part i, and of part j, with the gap
    of_axes = np.empty((3, 3), np.float32)  # and with each other
    for i in range(parts):
        for j in range(i, parts):
            squared = each * _find_gap(rows, i, j, length, gap)
            _with_axes(gap, 0, rows, i, length, of_gap[0])
            _with_axes(gap, 0, rows, j, length, of_gap[1])
            for a in range(3):
                _with_axes(rows, (i * ROWS + a) * length, rows, j, length, of_axes[a])
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
    rotation_, translation_, axes = arrays(rotation, translation, semi_axes)
    frames, parts = translation_.shape[:2]
    rows = np.zeros((parts, ROWS, filled_up(3 * frames)), np.float32)
    rows[:, :3, : 3 * frames] = rotation_.transpose(1, 3, 2, 0).reshape(parts, 3, -1)
    rows[:, 3, : 3 * frames] = translation_.transpose(1, 2, 0).reshape(parts, -1)
    distances = candidate_distance.numpy(), center_distance.numpy()
    _observe(rows.reshape(-1), rows.shape[2], frames, axes, *distances, np.float32(share), moved)
    steps += 1
