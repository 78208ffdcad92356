"""Shading compiled by numba, with a closed-form backward."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.compiled import arrays, claim, device, kernel
from wim_fast.ops.shading.reference import Shaded
from wim_fast.ops.vectors import dot, octet, octet_of, plus_scaled, put

CHUNKS = 16
_BASIS = 8
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_HALF = np.float32(0.5)
_THREE = np.float32(3.0)
_TINY = np.float32(1e-12)


@device
def _basis(nx, ny, nz):
    """See ``reference.lighting_basis``, of one normal: an octet."""
    scale = _ONE / max(np.float32(math.sqrt(nx * nx + ny * ny + nz * nz)), _TINY)
    x, y, z = nx * scale, ny * scale, nz * scale
    return octet_of(x, y, z, x * y, y * z, z * x, x * x - y * y, _THREE * z * z - _ONE)


@device
def _shade_points(chunk, x, union, normal, lighting, residual_max, sdf, rgb):
    """Signed distance and colour of a chunk of the points."""
    n, lit = x.shape[0], lighting.shape[0] > 0
    size = (n + CHUNKS - 1) // CHUNKS
    for i in range(chunk * size, min(n, (chunk + 1) * size)):
        sdf[i] = union[i] + residual_max * x[i, 0]
        basis = _basis(normal[i, 0], normal[i, 1], normal[i, 2])
        for c in range(3):
            light = _ONE + dot(basis, octet(lighting, _BASIS * c)) if lit else _ONE
            rgb[i, c] = (_HALF + _HALF * x[i, 1 + c]) * light


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
    for i in range(chunk * size, min(n, (chunk + 1) * size)):
        g_x[i, 0] = residual_max * g_sdf[i] * (_ONE - x[i, 0] * x[i, 0])
        basis = _basis(normal[i, 0], normal[i, 1], normal[i, 2])
        for c in range(3):
            value = x[i, 1 + c]
            g = g_rgb[i, c]
            if lit:
                here = (3 * chunk + c) * _BASIS
                put(
                    g_lighting, here, plus_scaled(octet(g_lighting, here), g * (_HALF + _HALF * value), basis)
                )
                g *= _ONE + dot(basis, octet(lighting, _BASIS * c))
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
        light = np.empty(0, np.float32) if lighting is None else arrays(lighting.t())[0].reshape(-1)
        sdf, rgb = np.empty(len(x), np.float32), np.empty((len(x), 3), np.float32)
        _forward(x, union_, normal_, light, residual_max, sdf, rgb)
        ctx.arguments = x, normal_, light, residual_max
        return torch.from_numpy(sdf), torch.from_numpy(rgb)

    @staticmethod
    def backward(ctx, g_sdf, g_rgb):  # type: ignore[override]
        x, _, light, _ = ctx.arguments
        g_x, g_light = np.empty_like(x), np.zeros((CHUNKS, len(light)), np.float32)
        _backward(*ctx.arguments, *arrays(g_sdf, g_rgb), g_x, g_light.reshape(-1))
        return (
            torch.from_numpy(g_x),
            g_sdf,
            None,
            torch.from_numpy(g_light.sum(0).reshape(3, _BASIS).T) if len(light) else None,
            None,
        )


def shade(
    decoded: Tensor, union: Tensor, normal: Tensor, lighting: Tensor | None, residual_max: float
) -> Shaded:
    """See ``reference.shade``: the same result for CPU float32 tensors."""
    return Shaded(*_Shade.apply(decoded, union, normal, lighting, np.float32(residual_max)))
