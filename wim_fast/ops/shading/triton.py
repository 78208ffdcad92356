"""Shading in Triton: one launch each way, and one for the sum of the light's gradients over blocks."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wim_fast.ops.shading.reference import Shaded

BLOCK = 128  # points
WARPS = 4
TINY = tl.constexpr(1e-12)


@triton.jit
def _tanh(x):
    return 2.0 * tl.sigmoid(2.0 * x) - 1.0


@triton.jit
def _basis(normal, row, is_row):
    """See ``reference.lighting_basis``: eight numbers of each normal."""
    x = tl.load(normal + 3 * row, mask=is_row, other=0.0)
    y = tl.load(normal + 3 * row + 1, mask=is_row, other=0.0)
    z = tl.load(normal + 3 * row + 2, mask=is_row, other=0.0)
    scale = 1.0 / tl.maximum(tl.sqrt(x * x + y * y + z * z), TINY)
    x, y, z = x * scale, y * scale, z * scale
    return x, y, z, x * y, y * z, z * x, x * x - y * y, 3.0 * z * z - 1.0


@triton.jit
def _light(lighting, c, b0, b1, b2, b3, b4, b5, b6, b7):
    light = 1.0 + b0 * tl.load(lighting + c) + b1 * tl.load(lighting + 3 + c) + b2 * tl.load(lighting + 6 + c)
    light += (
        b3 * tl.load(lighting + 9 + c) + b4 * tl.load(lighting + 12 + c) + b5 * tl.load(lighting + 15 + c)
    )
    return light + b6 * tl.load(lighting + 18 + c) + b7 * tl.load(lighting + 21 + c)


@triton.jit(do_not_specialize=["count"])
def _forward(
    decoded, union, normal, lighting, sdf, rgb, residual_max, count, LIT: tl.constexpr, BLOCK: tl.constexpr
):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_row = row < count
    residual = _tanh(tl.load(decoded + 4 * row, mask=is_row, other=0.0))
    tl.store(sdf + row, tl.load(union + row, mask=is_row, other=0.0) + residual_max * residual, mask=is_row)
    b0, b1, b2, b3, b4, b5, b6, b7 = _basis(normal, row, is_row)
    for c in tl.static_range(3):
        color = 0.5 + 0.5 * _tanh(tl.load(decoded + 4 * row + 1 + c, mask=is_row, other=0.0))
        if LIT:
            color *= _light(lighting, c, b0, b1, b2, b3, b4, b5, b6, b7)
        tl.store(rgb + 3 * row + c, color, mask=is_row)


@triton.jit(do_not_specialize=["count"])
def _backward(
    decoded, normal, lighting, g_sdf, g_rgb, g_decoded, g_lighting, residual_max, count, LIT: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_row = row < count
    residual = _tanh(tl.load(decoded + 4 * row, mask=is_row, other=0.0))
    g = residual_max * tl.load(g_sdf + row, mask=is_row, other=0.0) * (1.0 - residual * residual)
    tl.store(g_decoded + 4 * row, g, mask=is_row)
    b0, b1, b2, b3, b4, b5, b6, b7 = _basis(normal, row, is_row)
    for c in range(3):
        value = _tanh(tl.load(decoded + 4 * row + 1 + c, mask=is_row, other=0.0))
        g = tl.load(g_rgb + 3 * row + c, mask=is_row, other=0.0)
        if LIT:
            of_light = g * (0.5 + 0.5 * value)
            g *= _light(lighting, c, b0, b1, b2, b3, b4, b5, b6, b7)
            at = g_lighting + 24 * tl.program_id(0) + c
            tl.store(at, tl.sum(of_light * b0))
            tl.store(at + 3, tl.sum(of_light * b1))
            tl.store(at + 6, tl.sum(of_light * b2))
            tl.store(at + 9, tl.sum(of_light * b3))
            tl.store(at + 12, tl.sum(of_light * b4))
            tl.store(at + 15, tl.sum(of_light * b5))
            tl.store(at + 18, tl.sum(of_light * b6))
            tl.store(at + 21, tl.sum(of_light * b7))
        tl.store(g_decoded + 4 * row + 1 + c, 0.5 * g * (1.0 - value * value), mask=is_row)


class _Shade(torch.autograd.Function):
    @staticmethod
    def forward(ctx, decoded, union, normal, lighting, residual_max):  # type: ignore[override]
        lit = lighting is not None
        inputs = [x.detach().contiguous() for x in (decoded, union, normal, lighting if lit else union)]
        count, blocks = len(decoded), triton.cdiv(len(decoded), BLOCK)
        sdf, rgb = union.new_empty(count), union.new_empty(count, 3)
        if count:
            _forward[(blocks,)](
                *inputs, sdf, rgb, residual_max, count, LIT=lit, BLOCK=BLOCK, num_warps=WARPS,
            )  # fmt: skip
        ctx.save_for_backward(inputs[0], *inputs[2:])
        ctx.lit, ctx.residual_max = lit, residual_max
        return sdf, rgb

    @staticmethod
    def backward(ctx, g_sdf, g_rgb):  # type: ignore[override]
        decoded, normal, lighting = ctx.saved_tensors
        count, blocks = len(decoded), triton.cdiv(len(decoded), BLOCK)
        g_decoded, g_lighting = torch.empty_like(decoded), decoded.new_empty(blocks, 8, 3)
        if count:
            _backward[(blocks,)](
                decoded, normal, lighting, g_sdf.contiguous(), g_rgb.contiguous(), g_decoded, g_lighting, ctx.residual_max,
                count, LIT=ctx.lit, BLOCK=BLOCK, num_warps=WARPS,
            )  # fmt: skip
        return g_decoded, g_sdf, None, g_lighting.sum(0) if ctx.lit else None, None


def shade(
    decoded: Tensor, union: Tensor, normal: Tensor, lighting: Tensor | None, residual_max: float
) -> Shaded:
    """See ``reference.shade``: the same result for float32 tensors on a GPU."""
    return Shaded(*_Shade.apply(decoded, union, normal, lighting, residual_max))
