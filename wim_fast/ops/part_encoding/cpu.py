"""The part encoding compiled by numba. The backward runs level by level, so no two threads write the same entry."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.compiled import arrays, claim, device, kernel
from wim_fast.ops.part_encoding.reference import FEATURES, MIN_WEIGHT, PRIMES, Atlas, GridLayout
from wim_fast.ops.vectors import (
    between,
    dot,
    gathered,
    pair_of,
    plus_scaled,
    put,
    scatter_added,
    slope,
    spread,
)

CHUNKS = 16
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_HALF = np.float32(0.5)
_MIN_WEIGHT = np.float32(MIN_WEIGHT)
_UNIT = np.uint32(1)
_PRIME_Y = np.uint32(PRIMES[1])
_PRIME_Z = np.uint32(PRIMES[2])


@device
def _corners(x, y, z, side, size, dense, start):
    """Entries of the eight corners of a cell, x fastest. Out of range they wrap within the level, as in tiny-cuda-nn.

    All numbers are uint32: an index that could be negative would be checked for that at every access.
    """
    if dense:
        e = x + side * (y + side * z)
        plane = side * side
        return (
            start + _wrapped(e, size),
            start + _wrapped(e + _UNIT, size),
            start + _wrapped(e + side, size),
            start + _wrapped(e + side + _UNIT, size),
            start + _wrapped(e + plane, size),
            start + _wrapped(e + plane + _UNIT, size),
            start + _wrapped(e + plane + side, size),
            start + _wrapped(e + plane + side + _UNIT, size),
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
def _wrapped(entry, size):
    """Of a dense level: no corner of a cell is a whole level beyond its end."""
    return entry - size if entry >= size else entry


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
    columns = levels * FEATURES
    out_ = out.reshape(-1)
    size = (n + CHUNKS - 1) // CHUNKS
    for i in range(chunk * size, min(n, (chunk + 1) * size)):
        for c in range(columns):
            out[i, c] = _ZERO
        for k in range(top_k):
            weight = weights[i, k]
            if weight < _MIN_WEIGHT:
                continue
            part = ids[i, k]
            ux = _within(local[i, k, 0], half_extent) * inverse_side + tiles[part, 0]
            uy = _within(local[i, k, 1], half_extent) * inverse_side + tiles[part, 1]
            uz = _within(local[i, k, 2], half_extent) * inverse_side + tiles[part, 2]
            for level in range(levels):
                px = ux * scales[level] + _HALF
                py = uy * scales[level] + _HALF
                pz = uz * scales[level] + _HALF
                x, y, z = np.uint32(px), np.uint32(py), np.uint32(pz)
                fx = px - np.float32(x)
                fy = py - np.float32(y)
                fz = pz - np.float32(z)
                start = offsets[level]
                rows = _corners(x, y, z, sides[level], offsets[level + 1] - start, dense[level], start)
                corners = gathered(table, rows)
                found = between(between(between(corners, fz), fy), fx)
                here = i * columns + level * FEATURES
                put(out_, here, plus_scaled(pair_of(out_[here], out_[here + 1]), weight, found))


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
    slope_of_level = scale * inverse_side
    for e in range(start, start + size):
        for f in range(FEATURES):
            g_table[e, f] = _ZERO
    for i in range(n):
        g = pair_of(g_out[i, level * FEATURES], g_out[i, level * FEATURES + 1])
        for k in range(top_k):
            weight = weights[i, k]
            if weight < _MIN_WEIGHT:
                g_weights[level, i, k] = _ZERO
                g_local[level, i, k, 0] = _ZERO
                g_local[level, i, k, 1] = _ZERO
                g_local[level, i, k, 2] = _ZERO
                continue
            part = ids[i, k]
            lx, ly, lz = local[i, k, 0], local[i, k, 1], local[i, k, 2]
            px = (_within(lx, half_extent) * inverse_side + tiles[part, 0]) * scale + _HALF
            py = (_within(ly, half_extent) * inverse_side + tiles[part, 1]) * scale + _HALF
            pz = (_within(lz, half_extent) * inverse_side + tiles[part, 2]) * scale + _HALF
            x, y, z = np.uint32(px), np.uint32(py), np.uint32(pz)
            fx = px - np.float32(x)
            fy = py - np.float32(y)
            fz = pz - np.float32(z)
            rows = _corners(x, y, z, side, size, is_dense, start)
            corners = gathered(table, rows)
            plane = between(corners, fz)  # (y, x) at z
            edge = between(plane, fy)  # (x,) at y and z
            g_weights[level, i, k] = dot(g, between(edge, fx))
            g_x = dot(g, slope(edge))
            g_y = dot(g, between(slope(plane), fx))
            g_z = dot(g, between(between(slope(corners), fy), fx))
            steep = weight * slope_of_level
            g_local[level, i, k, 0] = steep * g_x if abs(lx) < half_extent else _ZERO
            g_local[level, i, k, 1] = steep * g_y if abs(ly) < half_extent else _ZERO
            g_local[level, i, k, 2] = steep * g_z if abs(lz) < half_extent else _ZERO
            g_corners = spread(spread(spread(weight * g, fx), fy), fz)
            scatter_added(g_table, rows, g_corners)


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
            _tile_centers(atlas.tiles),
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


@functools.lru_cache(maxsize=16)
def _tile_centers(tiles: int) -> np.ndarray:
    """(tiles^3, 3) float32: centres of the parts' tiles in the unit cube."""
    part, tiles_ = np.arange(tiles**3), np.float32(tiles)
    return (
        np.stack([(part // tiles**k % tiles).astype(np.float32) + _HALF for k in range(3)], axis=1) / tiles_
    )


def part_encoding(
    local: Tensor, part_ids: Tensor, part_weights: Tensor, table: Tensor, layout: GridLayout, atlas: Atlas
) -> Tensor:
    """See ``reference.part_encoding``: the same features for CPU float32 tensors."""
    return _PartEncoding.apply(local, part_ids, part_weights, table, layout, atlas)
