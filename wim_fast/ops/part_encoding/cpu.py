"""The part encoding compiled by numba. The backward runs level by level, so no two threads write the same entry."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.compiled import arrays, claim, device, kernel
from wim_fast.ops.part_encoding.reference import FEATURES, MIN_WEIGHT, PRIMES, Atlas, GridLayout

CHUNKS = 16
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_HALF = np.float32(0.5)
_MIN_WEIGHT = np.float32(MIN_WEIGHT)
_UNIT = np.uint32(1)
_PRIME_Y = np.uint32(PRIMES[1])
_PRIME_Z = np.uint32(PRIMES[2])


@device
def _tile_origin(part, tiles):
    """Centre of a part's tile in the unit cube."""
    inverse = _ONE / np.float32(tiles)
    x = (np.float32(part % tiles) + _HALF) * inverse
    y = (np.float32(part // tiles % tiles) + _HALF) * inverse
    z = (np.float32(part // (tiles * tiles)) + _HALF) * inverse
    return x, y, z


@device
def _corners(x, y, z, side, size, dense, start):
    """Entries of the eight corners of a cell, x fastest. Out of range they wrap within the level, as in tiny-cuda-nn.

    All numbers are uint32: an index that could be negative would be checked for that at every access.
    """
    if dense:
        e = x + side * (y + side * z)
        plane = side * side
        return (
            start + e % size,
            start + (e + _UNIT) % size,
            start + (e + side) % size,
            start + (e + side + _UNIT) % size,
            start + (e + plane) % size,
            start + (e + plane + _UNIT) % size,
            start + (e + plane + side) % size,
            start + (e + plane + side + _UNIT) % size,
        )
    mask = size - _UNIT  # a hashed level has a power of two of entries, so only low bits count
    x1 = x + _UNIT
    y0 = y * _PRIME_Y
    y1 = y0 + _PRIME_Y
    z0 = z * _PRIME_Z
    z1 = z0 + _PRIME_Z
    return (start + ((x ^ y0 ^ z0) & mask), start + ((x1 ^ y0 ^ z0) & mask), start + ((x ^ y1 ^ z0) & mask),
            start + ((x1 ^ y1 ^ z0) & mask), start + ((x ^ y0 ^ z1) & mask), start + ((x1 ^ y0 ^ z1) & mask),
            start + ((x ^ y1 ^ z1) & mask), start + ((x1 ^ y1 ^ z1) & mask))  # fmt: skip


@device
def _within(x, most):
    """x in [-most, most]; of what is no number, an end: it must not become an index."""
    if not x > -most:
        return -most
    return x if x < most else most


@device
def _encode(chunk, local, ids, weights, table, scales, sides, offsets, dense, tiles, half_extent,
            inverse_side, out):  # fmt: skip
    """The features of a chunk of the points."""
    n, top_k = ids.shape
    levels = scales.shape[0]
    size = (n + CHUNKS - 1) // CHUNKS
    for i in range(chunk * size, min(n, (chunk + 1) * size)):
        for c in range(levels * FEATURES):
            out[i, c] = _ZERO
        for k in range(top_k):
            weight = weights[i, k]
            if weight < _MIN_WEIGHT:
                continue
            tx, ty, tz = _tile_origin(ids[i, k], tiles)
            ux = _within(local[i, k, 0], half_extent) * inverse_side + tx
            uy = _within(local[i, k, 1], half_extent) * inverse_side + ty
            uz = _within(local[i, k, 2], half_extent) * inverse_side + tz
            for level in range(levels):
                px = ux * scales[level] + _HALF
                py = uy * scales[level] + _HALF
                pz = uz * scales[level] + _HALF
                x, y, z = np.uint32(px), np.uint32(py), np.uint32(pz)
                fx = px - np.float32(x)
                fy = py - np.float32(y)
                fz = pz - np.float32(z)
                start = offsets[level]
                e0, e1, e2, e3, e4, e5, e6, e7 = _corners(
                    x, y, z, sides[level], offsets[level + 1] - start, dense[level], start
                )
                gx = _ONE - fx
                w00 = (_ONE - fy) * (_ONE - fz) * weight
                w10 = fy * (_ONE - fz) * weight
                w01 = (_ONE - fy) * fz * weight
                w11 = fy * fz * weight
                for f in range(FEATURES):
                    out[i, level * FEATURES + f] += (
                        w00 * (gx * table[e0, f] + fx * table[e1, f])
                        + w10 * (gx * table[e2, f] + fx * table[e3, f])
                        + w01 * (gx * table[e4, f] + fx * table[e5, f])
                        + w11 * (gx * table[e6, f] + fx * table[e7, f])
                    )


@kernel
def _forward(local, ids, weights, table, scales, sides, offsets, dense, tiles, half_extent, inverse_side,
             out):  # fmt: skip
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _encode(chunk, local, ids, weights, table, scales, sides, offsets, dense, tiles, half_extent,
                    inverse_side, out)  # fmt: skip
            chunk = claim(turn)


@device
def _level_gradients(level, local, ids, weights, table, scales, sides, offsets, dense, tiles, half_extent,
                     inverse_side, g_out, g_table, g_local, g_weights):  # fmt: skip
    """The gradients of a level."""
    n, top_k = ids.shape
    scale = scales[level]
    side = sides[level]
    start = offsets[level]
    size = offsets[level + 1] - start
    is_dense = dense[level]
    slope = scale * inverse_side
    for e in range(start, start + size):
        for f in range(FEATURES):
            g_table[e, f] = _ZERO
    for i in range(n):
        a = g_out[i, level * FEATURES]
        b = g_out[i, level * FEATURES + 1]
        for k in range(top_k):
            weight = weights[i, k]
            if weight < _MIN_WEIGHT:
                g_weights[level, i, k] = _ZERO
                g_local[level, i, k, 0] = _ZERO
                g_local[level, i, k, 1] = _ZERO
                g_local[level, i, k, 2] = _ZERO
                continue
            tx, ty, tz = _tile_origin(ids[i, k], tiles)
            lx, ly, lz = local[i, k, 0], local[i, k, 1], local[i, k, 2]
            px = (_within(lx, half_extent) * inverse_side + tx) * scale + _HALF
            py = (_within(ly, half_extent) * inverse_side + ty) * scale + _HALF
            pz = (_within(lz, half_extent) * inverse_side + tz) * scale + _HALF
            x, y, z = np.uint32(px), np.uint32(py), np.uint32(pz)
            fx = px - np.float32(x)
            fy = py - np.float32(y)
            fz = pz - np.float32(z)
            e0, e1, e2, e3, e4, e5, e6, e7 = _corners(x, y, z, side, size, is_dense, start)
            d0 = a * table[e0, 0] + b * table[e0, 1]
            d1 = a * table[e1, 0] + b * table[e1, 1]
            d2 = a * table[e2, 0] + b * table[e2, 1]
            d3 = a * table[e3, 0] + b * table[e3, 1]
            d4 = a * table[e4, 0] + b * table[e4, 1]
            d5 = a * table[e5, 0] + b * table[e5, 1]
            d6 = a * table[e6, 0] + b * table[e6, 1]
            d7 = a * table[e7, 0] + b * table[e7, 1]
            gx, gy, gz = _ONE - fx, _ONE - fy, _ONE - fz
            x00 = gx * d0 + fx * d1
            x10 = gx * d2 + fx * d3
            x01 = gx * d4 + fx * d5
            x11 = gx * d6 + fx * d7
            y0 = gy * x00 + fy * x10
            y1 = gy * x01 + fy * x11
            g_weights[level, i, k] = gz * y0 + fz * y1
            g = weight * slope
            gradient_x = gz * (gy * (d1 - d0) + fy * (d3 - d2)) + fz * (gy * (d5 - d4) + fy * (d7 - d6))
            g_local[level, i, k, 0] = g * gradient_x if abs(lx) < half_extent else _ZERO
            g_local[level, i, k, 1] = (
                g * (gz * (x10 - x00) + fz * (x11 - x01)) if abs(ly) < half_extent else _ZERO
            )
            g_local[level, i, k, 2] = g * (y1 - y0) if abs(lz) < half_extent else _ZERO
            a_w = a * weight
            b_w = b * weight
            w00 = gy * gz
            w10 = fy * gz
            w01 = gy * fz
            w11 = fy * fz
            g_table[e0, 0] += w00 * gx * a_w
            g_table[e0, 1] += w00 * gx * b_w
            g_table[e1, 0] += w00 * fx * a_w
            g_table[e1, 1] += w00 * fx * b_w
            g_table[e2, 0] += w10 * gx * a_w
            g_table[e2, 1] += w10 * gx * b_w
            g_table[e3, 0] += w10 * fx * a_w
            g_table[e3, 1] += w10 * fx * b_w
            g_table[e4, 0] += w01 * gx * a_w
            g_table[e4, 1] += w01 * gx * b_w
            g_table[e5, 0] += w01 * fx * a_w
            g_table[e5, 1] += w01 * fx * b_w
            g_table[e6, 0] += w11 * gx * a_w
            g_table[e6, 1] += w11 * gx * b_w
            g_table[e7, 0] += w11 * fx * a_w
            g_table[e7, 1] += w11 * fx * b_w


@kernel
def _backward(local, ids, weights, table, scales, sides, offsets, dense, tiles, half_extent, inverse_side,
              g_out, g_table, g_local, g_weights):  # fmt: skip
    turn = np.zeros(1, np.int64)
    for _ in prange(scales.shape[0]):
        level = claim(turn)
        while level < scales.shape[0]:
            _level_gradients(level, local, ids, weights, table, scales, sides, offsets, dense, tiles, half_extent,
                             inverse_side, g_out, g_table, g_local, g_weights)  # fmt: skip
            level = claim(turn)


class _PartEncoding(torch.autograd.Function):
    @staticmethod
    def forward(ctx, local, part_ids, part_weights, table, layout, atlas):  # type: ignore[override]
        out = torch.empty(len(local), layout.num_levels * FEATURES)
        ctx.arguments = (
            *arrays(local, part_ids, part_weights, table),
            *_levels(layout),
            atlas.tiles,
            np.float32(atlas.half_extent),
            np.float32(1 / atlas.side),
        )
        _forward(*ctx.arguments, out.numpy())
        return out

    @staticmethod
    def backward(ctx, g_out):  # type: ignore[override]
        local, table, scales = ctx.arguments[0], ctx.arguments[3], ctx.arguments[4]
        g_table = np.empty(table.shape, np.float32)
        g_local = np.empty((len(scales), *local.shape), np.float32)
        g_weights = np.empty(g_local.shape[:3], np.float32)
        _backward(*ctx.arguments, *arrays(g_out), g_table, g_local, g_weights)
        g_local, g_weights, g_table = (
            torch.from_numpy(g) for g in (g_local.sum(0), g_weights.sum(0), g_table)
        )
        return g_local, None, g_weights, g_table, None, None


@functools.lru_cache(maxsize=16)
def _levels(layout: GridLayout) -> tuple[np.ndarray, ...]:
    """Of each level the scale, the points a side, where it begins in the table, and whether it is dense."""
    types = (layout.scales, np.float32), (layout.resolutions, np.uint32), (layout.offsets, np.uint32)
    return *(np.asarray(x, dtype) for x, dtype in types), np.asarray(layout.dense, np.bool_)


def part_encoding(
    local: Tensor, part_ids: Tensor, part_weights: Tensor, table: Tensor, layout: GridLayout, atlas: Atlas
) -> Tensor:
    """See ``reference.part_encoding``: the same features for CPU float32 tensors."""
    return _PartEncoding.apply(local, part_ids, part_weights, table, layout, atlas)
