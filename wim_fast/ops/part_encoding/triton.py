"""The part encoding in Triton: a program for each block of samples, which loops over levels and parts."""

from __future__ import annotations

import functools

import torch
import triton
import triton.language as tl
from torch import Tensor

from wim_fast.ops.part_encoding.reference import FEATURES, MIN_WEIGHT, PRIMES, Atlas, GridLayout

assert FEATURES == 2, "an entry is read and written as one 64-bit word"

BLOCK = 128
NUM_WARPS = 4
_MIN_WEIGHT = tl.constexpr(MIN_WEIGHT)
_PRIME_Y = tl.constexpr(PRIMES[1])
_PRIME_Z = tl.constexpr(PRIMES[2])
_LEVEL_FIELDS = tl.constexpr(4)


@triton.jit
def _position(local, ids, weights, row, inside, tiles, half_extent, inverse_side):
    """Weight (0 if not read), place in the unit cube, and local coordinates; `row` counts (sample, slot) pairs."""
    weight = tl.load(weights + row, mask=inside, other=0.0)
    weight = tl.where(weight < _MIN_WEIGHT, 0.0, weight)
    read = weight > 0.0
    part = tl.load(ids + row, mask=read, other=0).to(tl.int32)
    x = tl.load(local + row * 3, mask=read, other=0.0)
    y = tl.load(local + row * 3 + 1, mask=read, other=0.0)
    z = tl.load(local + row * 3 + 2, mask=read, other=0.0)
    inverse = 1.0 / tiles.to(tl.float32)
    ux = _clamp(x, half_extent) * inverse_side + ((part % tiles).to(tl.float32) + 0.5) * inverse
    uy = _clamp(y, half_extent) * inverse_side + ((part // tiles % tiles).to(tl.float32) + 0.5) * inverse
    uz = _clamp(z, half_extent) * inverse_side + ((part // (tiles * tiles)).to(tl.float32) + 0.5) * inverse
    return weight, ux, uy, uz, x, y, z


@triton.jit
def _any_read(weights, sample, inside, K: tl.constexpr):
    """Whether any sample of the block reads any part: a block of padding does not."""
    largest = tl.full(sample.shape, 0.0, tl.float32)
    for k in tl.static_range(K):
        largest = tl.maximum(largest, tl.load(weights + sample * K + k, mask=inside, other=0.0))
    return tl.max(largest, axis=0) >= _MIN_WEIGHT


@triton.jit
def _clamp(x, limit):
    return tl.minimum(tl.maximum(x, -limit), limit)


@triton.jit
def _entry(x, y, z, side, start, size, dense):
    """Table entry of a grid point; past the end of a dense level it wraps, as in tiny-cuda-nn."""
    if dense:
        linear = x + side * (y + side * z)
        index = tl.where(linear >= size, linear - size, linear)
    else:  # a hashed level has a power of two of entries, so only low bits count
        mixed = x.to(tl.uint32) ^ (y.to(tl.uint32) * _PRIME_Y) ^ (z.to(tl.uint32) * _PRIME_Z)
        index = (mixed & (size - 1).to(tl.uint32)).to(tl.int32)
    return start + index


@triton.jit
def _features(table, entry, read):
    """The two features of an entry, in one 64-bit load."""
    word = tl.load(table.to(tl.pointer_type(tl.int64)) + entry, mask=read, other=0)
    return word.to(tl.int32).to(tl.float32, bitcast=True), (word >> 32).to(tl.int32).to(
        tl.float32, bitcast=True
    )


@triton.jit(do_not_specialize=["n", "tiles"])
def _forward(local, ids, weights, table, scales, levels, out, n, tiles, half_extent, inverse_side,
             K: tl.constexpr, LEVELS: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    sample = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = sample < n
    if not _any_read(weights, sample, inside, K):
        for column in range(2 * LEVELS):
            tl.store(out + sample * (2 * LEVELS) + column, tl.zeros([BLOCK], tl.float32), mask=inside)
        return
    for level in range(LEVELS):
        scale = tl.load(scales + level)
        side = tl.load(levels + level * _LEVEL_FIELDS)
        start = tl.load(levels + level * _LEVEL_FIELDS + 1)
        size = tl.load(levels + level * _LEVEL_FIELDS + 2)
        dense = tl.load(levels + level * _LEVEL_FIELDS + 3) != 0
        a = tl.zeros([BLOCK], tl.float32)
        b = tl.zeros([BLOCK], tl.float32)
        for k in tl.static_range(K):
            weight, ux, uy, uz, _, _, _ = _position(
                local, ids, weights, sample * K + k, inside, tiles, half_extent, inverse_side
            )
            px = ux * scale + 0.5
            py = uy * scale + 0.5
            pz = uz * scale + 0.5
            x = px.to(tl.int32)
            y = py.to(tl.int32)
            z = pz.to(tl.int32)
            fx = px - x.to(tl.float32)
            fy = py - y.to(tl.float32)
            fz = pz - z.to(tl.float32)
            for corner in tl.static_range(8):
                dx = corner % 2
                dy = corner // 2 % 2
                dz = corner // 4
                entry = _entry(x + dx, y + dy, z + dz, side, start, size, dense)
                first, second = _features(table, entry, weight > 0.0)
                w = weight * (fx if dx else 1.0 - fx) * (fy if dy else 1.0 - fy) * (fz if dz else 1.0 - fz)
                a += w * first
                b += w * second
        tl.store(out + sample * (2 * LEVELS) + 2 * level, a, mask=inside)
        tl.store(out + sample * (2 * LEVELS) + 2 * level + 1, b, mask=inside)


@triton.jit(do_not_specialize=["n", "tiles"])
def _backward(local, ids, weights, table, scales, levels, g_out, g_local, g_weights, g_table, n, tiles, half_extent,
              inverse_side, K: tl.constexpr, LEVELS: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    sample = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = sample < n
    levels_read = LEVELS if _any_read(weights, sample, inside, K) else 0
    for k in tl.static_range(K):
        row = sample * K + k
        weight, ux, uy, uz, lx, ly, lz = _position(
            local, ids, weights, row, inside, tiles, half_extent, inverse_side
        )
        read = weight > 0.0
        sum_w = tl.zeros([BLOCK], tl.float32)
        sum_x = tl.zeros([BLOCK], tl.float32)
        sum_y = tl.zeros([BLOCK], tl.float32)
        sum_z = tl.zeros([BLOCK], tl.float32)
        for level in range(levels_read):
            scale = tl.load(scales + level)
            side = tl.load(levels + level * _LEVEL_FIELDS)
            start = tl.load(levels + level * _LEVEL_FIELDS + 1)
            size = tl.load(levels + level * _LEVEL_FIELDS + 2)
            dense = tl.load(levels + level * _LEVEL_FIELDS + 3) != 0
            a = tl.load(g_out + sample * (2 * LEVELS) + 2 * level, mask=read, other=0.0)
            b = tl.load(g_out + sample * (2 * LEVELS) + 2 * level + 1, mask=read, other=0.0)
            px = ux * scale + 0.5
            py = uy * scale + 0.5
            pz = uz * scale + 0.5
            x = px.to(tl.int32)
            y = py.to(tl.int32)
            z = pz.to(tl.int32)
            fx = px - x.to(tl.float32)
            fy = py - y.to(tl.float32)
            fz = pz - z.to(tl.float32)
            carries = read & ((a != 0.0) | (b != 0.0))
            for corner in tl.static_range(8):
                dx = corner % 2
                dy = corner // 2 % 2
                dz = corner // 4
                entry = _entry(x + dx, y + dy, z + dz, side, start, size, dense)
                first, second = _features(table, entry, carries)
                wx = fx if dx else 1.0 - fx
                wy = fy if dy else 1.0 - fy
                wz = fz if dz else 1.0 - fz
                d = a * first + b * second
                sum_w += wx * wy * wz * d
                sum_x += (2 * dx - 1) * wy * wz * scale * d
                sum_y += (2 * dy - 1) * wx * wz * scale * d
                sum_z += (2 * dz - 1) * wx * wy * scale * d
                w = weight * wx * wy * wz
                pointers = g_table + 2 * entry[:, None] + tl.arange(0, 2)[None, :]
                tl.atomic_add(pointers, tl.join(w * a, w * b), mask=carries[:, None], sem="relaxed")
        slope = weight * inverse_side
        tl.store(g_weights + row, sum_w, mask=inside)
        tl.store(g_local + row * 3, tl.where(tl.abs(lx) < half_extent, slope * sum_x, 0.0), mask=inside)
        tl.store(g_local + row * 3 + 1, tl.where(tl.abs(ly) < half_extent, slope * sum_y, 0.0), mask=inside)
        tl.store(g_local + row * 3 + 2, tl.where(tl.abs(lz) < half_extent, slope * sum_z, 0.0), mask=inside)


@functools.lru_cache(maxsize=16)
def _levels(layout: GridLayout, device: torch.device) -> tuple[Tensor, Tensor]:
    """Scales (L,) and, for each level, (side, first entry, entries, dense) (L, 4) int32: copied to the device once."""
    sizes = [b - a for a, b in zip(layout.offsets, layout.offsets[1:], strict=False)]
    fields = list(zip(layout.resolutions, layout.offsets, sizes, layout.dense, strict=False))
    return (
        torch.tensor(layout.scales, dtype=torch.float32, device=device),
        torch.tensor(fields, dtype=torch.int32, device=device),
    )


class _PartEncoding(torch.autograd.Function):
    @staticmethod
    def forward(ctx, local, part_ids, part_weights, table, layout, atlas):  # type: ignore[override]
        inputs = [x.contiguous() for x in (local, part_ids, part_weights, table)]
        ctx.save_for_backward(*inputs)
        ctx.layout, ctx.atlas = layout, atlas
        out = local.new_empty(len(local), layout.num_levels * FEATURES)
        if len(local):
            _launch(_forward, inputs, (out,), layout, atlas)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g_out):  # type: ignore[override]
        local, _, part_weights, table = inputs = ctx.saved_tensors
        grads = torch.empty_like(local), torch.empty_like(part_weights), torch.zeros_like(table)
        if len(local):
            _launch(_backward, inputs, (g_out.contiguous(), *grads), ctx.layout, ctx.atlas)
        g_local, g_weights, g_table = grads
        return g_local, None, g_weights, g_table, None, None


def _launch(kernel, inputs, outputs, layout: GridLayout, atlas: Atlas) -> None:
    n, top_k = inputs[1].shape
    kernel[(triton.cdiv(n, BLOCK),)](
        *inputs, *_levels(layout, inputs[0].device), *outputs, n, atlas.tiles, atlas.half_extent, 1 / atlas.side,
        K=top_k, LEVELS=layout.num_levels, BLOCK=BLOCK, num_warps=NUM_WARPS,
    )  # fmt: skip


def part_encoding(
    local: Tensor, part_ids: Tensor, part_weights: Tensor, table: Tensor, layout: GridLayout, atlas: Atlas
) -> Tensor:
    """See ``reference.part_encoding``: the same features for float32 tensors on an NVIDIA GPU.

    A sample whose weights are all zero, such as padding, has zero features and neither gets nor gives a gradient.
    """
    return _PartEncoding.apply(local, part_ids, part_weights, table, layout, atlas)
