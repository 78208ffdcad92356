"""The losses of shape compiled by numba: their gradients are found with them, going backward scales these."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from wim_fast.ops.compiled import arrays, device, kernel
from wim_fast.ops.shape_losses.reference import ShapeLosses, tetrahedron

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)
_FOUR = np.float32(4.0)
CORNERS = tetrahedron(torch.device("cpu")).numpy()


@device
def _inside(sdf, inv_s):
    """Density, 0 to 1, and its derivative."""
    density = _ONE / (_ONE + np.float32(math.exp(inv_s * sdf)))
    return density, -inv_s * density * (_ONE - density)


@functools.partial(kernel, parallel=False)
def _losses(
    tap_sdf, light, void_sdf, unjudged, core_sdf, inside, tap, inv_s, losses, g_eikonal, g_volume, g_void, g_hull,
):  # fmt: skip
    """The gradients of the first two losses are with respect to `tap_sdf`."""
    taps, points, cores = tap_sdf.shape[1], void_sdf.shape[0], core_sdf.shape[0]
    eikonal = volume = void = hull = 0.0
    gradient = np.empty(3, np.float32)
    for i in range(taps):
        for k in range(3):
            gradient[k] = _ZERO
            for c in range(4):
                gradient[k] += CORNERS[c, k] * tap_sdf[c, i]
            gradient[k] /= _FOUR * tap
        length = np.float32(math.sqrt(gradient[0] ** 2 + gradient[1] ** 2 + gradient[2] ** 2))
        eikonal += (length - _ONE) ** 2 / np.float32(taps)
        scale = (
            _TWO * (length - _ONE) / (length * np.float32(taps) * _FOUR * tap) if length > _ZERO else _ZERO
        )
        for c in range(4):
            along = CORNERS[c, 0] * gradient[0] + CORNERS[c, 1] * gradient[1] + CORNERS[c, 2] * gradient[2]
            g_eikonal[c, i] = scale * along
            density, slope = _inside(tap_sdf[c, i], inv_s)
            volume += light[i] * density / np.float32(4 * taps)
            g_volume[c, i] = light[i] * slope / np.float32(4 * taps)
    for i in range(points):
        density, slope = _inside(void_sdf[i], inv_s)
        void += density / np.float32(points) if unjudged[i] else _ZERO
        g_void[i] = slope / np.float32(points) if unjudged[i] else _ZERO
    for i in range(cores):
        is_lost = inside[i] and core_sdf[i] > _ZERO
        hull += core_sdf[i] / np.float32(cores) if is_lost else _ZERO
        g_hull[i] = _ONE / np.float32(cores) if is_lost else _ZERO
    losses[0], losses[1], losses[2], losses[3] = eikonal, volume, void, hull


class _ShapeLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tap_sdf, light, void_sdf, unjudged, core_sdf, inside, tap, inv_s):  # type: ignore[override]
        inputs = arrays(tap_sdf, light, void_sdf, unjudged, core_sdf, inside)
        losses = np.empty((4, 1), np.float32)
        ctx.gradients = [np.empty_like(inputs[k]) for k in (0, 0, 2, 4)]
        _losses(*inputs, np.float32(tap), np.float32(float(inv_s)), losses[:, 0], *ctx.gradients)
        return tuple(torch.from_numpy(loss).squeeze(0) for loss in losses)

    @staticmethod
    def backward(ctx, *grads):  # type: ignore[override]
        eikonal, volume, void, hull = (np.float32(g.item()) for g in grads)
        of_eikonal, of_volume, of_void, of_hull = ctx.gradients
        found = eikonal * of_eikonal + volume * of_volume, void * of_void, hull * of_hull
        taps, points, cores = (torch.from_numpy(g) for g in found)
        return taps, None, points, None, cores, None, None, None


def shape_losses(
    tap_sdf: Tensor,
    light: Tensor,
    void_sdf: Tensor,
    unjudged: Tensor,
    core_sdf: Tensor,
    inside: Tensor,
    tap: float,
    inv_s: Tensor,
) -> ShapeLosses:
    """See ``reference.shape_losses``: the same result for CPU float32 tensors."""
    return ShapeLosses(*_ShapeLosses.apply(tap_sdf, light, void_sdf, unjudged, core_sdf, inside, tap, inv_s))
