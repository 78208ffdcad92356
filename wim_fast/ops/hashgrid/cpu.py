"""The hash grid compiled by numba. The backward runs level by level, so no two threads write the same entry."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from wim_fast.ops.ellipsoid.cpu import FASTMATH
from wim_fast.ops.hashgrid.reference import GridLayout

CHUNKS = 16
_ONE = np.float32(1.0)
_HALF = np.float32(0.5)
_ZERO = np.float32(0.0)
_PRIME_Y = np.uint32(2654435761)
_PRIME_Z = np.uint32(805459861)


@njit(inline="always")
def _entry(x, y, z, side, size, dense):
    """Entry of a grid point within its level."""
    if dense:
        e = x + side * (y + side * z)
        return e if e < size else e % size  # past the last grid point it wraps, as in tiny-cuda-nn
    return np.int64((np.uint32(x) ^ (np.uint32(y) * _PRIME_Y) ^ (np.uint32(z) * _PRIME_Z)) % np.uint32(size))


@njit(parallel=True, fastmath=FASTMATH, cache=True, nogil=True)
def _forward(positions, table, scales, sides, offsets, dense, out):
    n = positions.shape[0]
    levels = scales.shape[0]
    features = table.shape[1]
    size = (n + CHUNKS - 1) // CHUNKS
    for chunk in prange(CHUNKS):
        for level in range(levels):
            scale = scales[level]
            side = sides[level]
            start = offsets[level]
            entries = offsets[level + 1] - start
            is_dense = dense[level]
            for i in range(chunk * size, min(n, (chunk + 1) * size)):
                px = positions[i, 0] * scale + _HALF
                py = positions[i, 1] * scale + _HALF
                pz = positions[i, 2] * scale + _HALF
                x = np.int64(math.floor(px))
                y = np.int64(math.floor(py))
                z = np.int64(math.floor(pz))
                fx = px - np.float32(x)
                fy = py - np.float32(y)
                fz = pz - np.float32(z)
                for f in range(features):
                    out[i, level * features + f] = _ZERO
                for dz in range(2):
                    wz = fz if dz else _ONE - fz
                    for dy in range(2):
                        wyz = wz * (fy if dy else _ONE - fy)
                        for dx in range(2):
                            w = wyz * (fx if dx else _ONE - fx)
                            e = start + _entry(x + dx, y + dy, z + dz, side, entries, is_dense)
                            for f in range(features):
                                out[i, level * features + f] += w * table[e, f]


@njit(parallel=True, fastmath=FASTMATH, cache=True, nogil=True)
def _backward(positions, table, scales, sides, offsets, dense, g_out, g_table, g_positions):
    n = positions.shape[0]
    features = table.shape[1]
    for level in prange(scales.shape[0]):
        scale = scales[level]
        side = sides[level]
        start = offsets[level]
        entries = offsets[level + 1] - start
        is_dense = dense[level]
        for i in range(n):
            px = positions[i, 0] * scale + _HALF
            py = positions[i, 1] * scale + _HALF
            pz = positions[i, 2] * scale + _HALF
            x = np.int64(math.floor(px))
            y = np.int64(math.floor(py))
            z = np.int64(math.floor(pz))
            fx = px - np.float32(x)
            fy = py - np.float32(y)
            fz = pz - np.float32(z)
            gx = _ZERO
            gy = _ZERO
            gz = _ZERO
            for dz in range(2):
                wz = fz if dz else _ONE - fz
                for dy in range(2):
                    wy = fy if dy else _ONE - fy
                    for dx in range(2):
                        wx = fx if dx else _ONE - fx
                        e = start + _entry(x + dx, y + dy, z + dz, side, entries, is_dense)
                        dot = _ZERO
                        for f in range(features):
                            g = g_out[i, level * features + f]
                            g_table[e, f] += wx * wy * wz * g
                            dot += g * table[e, f]
                        gx += dot * wy * wz * (_ONE if dx else -_ONE)
                        gy += dot * wx * wz * (_ONE if dy else -_ONE)
                        gz += dot * wx * wy * (_ONE if dz else -_ONE)
            g_positions[level, i, 0] = gx * scale
            g_positions[level, i, 1] = gy * scale
            g_positions[level, i, 2] = gz * scale


class _HashGrid(torch.autograd.Function):
    @staticmethod
    def forward(ctx, positions, table, layout):  # type: ignore[override]
        out = torch.empty(positions.shape[0], layout.num_levels * layout.num_features)
        arguments = (
            positions.detach().contiguous().numpy(),
            table.detach().numpy(),
            np.asarray(layout.scales, np.float32),
            np.asarray(layout.resolutions, np.int64),
            np.asarray(layout.offsets, np.int64),
            np.asarray(layout.dense, np.bool_),
        )
        _forward(*arguments, out.numpy())
        ctx.arguments = arguments
        return out

    @staticmethod
    def backward(ctx, g_out):  # type: ignore[override]
        positions, table, scales = ctx.arguments[:3]
        g_table = torch.zeros(table.shape)
        g_positions = torch.empty(len(scales), *positions.shape)
        _backward(*ctx.arguments, g_out.contiguous().numpy(), g_table.numpy(), g_positions.numpy())
        return g_positions.sum(0), g_table, None


def hashgrid(positions: Tensor, table: Tensor, layout: GridLayout) -> Tensor:
    """See ``reference.hashgrid``: the same features for CPU float32 tensors."""
    return _HashGrid.apply(positions, table, layout)
