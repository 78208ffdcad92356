"""Shading compiled by numba, with a closed-form backward."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.compiled import arrays, claim, device, kernel
from wim_fast.ops.shading.reference import Shaded

CHUNKS = 16
_BASIS = 8
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_HALF = np.float32(0.5)
_THREE = np.float32(3.0)
_TINY = np.float32(1e-12)


@device
def _basis(nx, ny, nz, out):
    """See ``reference.lighting_basis``, of one normal."""
    scale = _ONE / max(np.float32(math.sqrt(nx * nx + ny * ny + nz * nz)), _TINY)
    x, y, z = nx * scale, ny * scale, nz * scale
    out[0] = x
    out[1] = y
    out[2] = z
    out[3] = x * y
    out[4] = y * z
    out[5] = z * x
    out[6] = x * x - y * y
    out[7] = _THREE * z * z - _ONE


@device
def _light(basis, lighting, c):
    light = _ONE
    for k in range(_BASIS):
        light += basis[k] * lighting[k, c]
    return light


@device
def _shade_points(chunk, x, union, normal, lighting, residual_max, sdf, rgb):
    """Signed distance and colour of a chunk of the points."""
    n, lit = x.shape[0], lighting.shape[0] > 0
    size = (n + CHUNKS - 1) // CHUNKS
    basis = np.empty(_BASIS, np.float32)
    for i in range(chunk * size, min(n, (chunk + 1) * size)):
        sdf[i] = union[i] + residual_max * x[i, 0]
        if lit:
            _basis(normal[i, 0], normal[i, 1], normal[i, 2], basis)
        for c in range(3):
            color = _HALF + _HALF * x[i, 1 + c]
            rgb[i, c] = color * _light(basis, lighting, c) if lit else color


@kernel
def _forward(x, union, normal, lighting, residual_max, sdf, rgb):
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _shade_points(chunk, x, union, normal, lighting, residual_max, sdf, rgb)
            chunk = claim(turn)


@device
def _go_back(chunk, x, normal, lighting, residual_max, g_sdf, g_rgb, g_x, g_lighting):
    """The gradients that a chunk of the points gives."""
    n, lit = x.shape[0], lighting.shape[0] > 0
    size = (n + CHUNKS - 1) // CHUNKS
    basis = np.empty(_BASIS, np.float32)
    for i in range(chunk * size, min(n, (chunk + 1) * size)):
        g_x[i, 0] = residual_max * g_sdf[i] * (_ONE - x[i, 0] * x[i, 0])
        if lit:
            _basis(normal[i, 0], normal[i, 1], normal[i, 2], basis)
        for c in range(3):
            value = x[i, 1 + c]
            g = g_rgb[i, c]
            if lit:
                for k in range(_BASIS):
                    g_lighting[chunk, k, c] += g * (_HALF + _HALF * value) * basis[k]
                g *= _light(basis, lighting, c)
            g_x[i, 1 + c] = _HALF * g * (_ONE - value * value)


@kernel
def _backward(x, normal, lighting, residual_max, g_sdf, g_rgb, g_x, g_lighting):
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _go_back(chunk, x, normal, lighting, residual_max, g_sdf, g_rgb, g_x, g_lighting)
            chunk = claim(turn)


class _Shade(torch.autograd.Function):
    @staticmethod
    def forward(ctx, decoded, union, normal, lighting, residual_max):  # type: ignore[override]
        x, union_, normal_ = arrays(torch.tanh(decoded.detach()), union, normal)
        light = np.empty((0, 3), np.float32) if lighting is None else arrays(lighting)[0]
        sdf, rgb = np.empty(len(x), np.float32), np.empty((len(x), 3), np.float32)
        _forward(x, union_, normal_, light, residual_max, sdf, rgb)
        ctx.arguments = x, normal_, light, residual_max
        return torch.from_numpy(sdf), torch.from_numpy(rgb)

    @staticmethod
    def backward(ctx, g_sdf, g_rgb):  # type: ignore[override]
        x, _, light, _ = ctx.arguments
        g_x, g_light = np.empty_like(x), np.zeros((CHUNKS, *light.shape), np.float32)
        _backward(*ctx.arguments, *arrays(g_sdf, g_rgb), g_x, g_light)
        return (
            torch.from_numpy(g_x),
            g_sdf,
            None,
            torch.from_numpy(g_light.sum(0)) if len(light) else None,
            None,
        )


def shade(
    decoded: Tensor, union: Tensor, normal: Tensor, lighting: Tensor | None, residual_max: float
) -> Shaded:
    """See ``reference.shade``: the same result for CPU float32 tensors."""
    return Shaded(*_Shade.apply(decoded, union, normal, lighting, np.float32(residual_max)))
