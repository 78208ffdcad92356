"""The whole MLP in one Triton kernel for each direction: what lies between the layers never leaves the processor.

Factors are float16, sums float32. Each block of samples scales its gradients to the range of float16, for they are
linear in the cotangent.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from wim_fast.ops.mlp import reference
from wim_fast.ops.mlp.reference import ACTIVATIONS

BLOCK = 32  # samples
WARPS = 4
BACKWARD_PROGRAMS = 264  # each sums the gradients of the weights over its share of the samples; two for each processor of an H100
LARGEST = 2048  # numbers of all matrices, padded, that the backward holds without spilling (docs/gpu.md)


@triton.jit
def _matrix(weights, start, ROWS: tl.constexpr, COLUMNS: tl.constexpr, ROWS_P: tl.constexpr,
            COLUMNS_P: tl.constexpr):  # fmt: skip
    """A (ROWS, COLUMNS) matrix of the packed weights in float16, padded with zeros."""
    row = tl.arange(0, ROWS_P)[:, None]
    column = tl.arange(0, COLUMNS_P)[None, :]
    mask = (row < ROWS) & (column < COLUMNS)
    return tl.load(weights + start + row * COLUMNS + column, mask=mask, other=0.0)


@triton.jit
def _store_matrix(out, start, matrix, ROWS: tl.constexpr, COLUMNS: tl.constexpr, ROWS_P: tl.constexpr,
                  COLUMNS_P: tl.constexpr):  # fmt: skip
    row = tl.arange(0, ROWS_P)[:, None]
    column = tl.arange(0, COLUMNS_P)[None, :]
    tl.store(out + start + row * COLUMNS + column, matrix, mask=(row < ROWS) & (column < COLUMNS))


@triton.jit
def _activate(x, TANH: tl.constexpr):
    if TANH:
        y = 2.0 * tl.sigmoid(2.0 * x) - 1.0
    else:
        y = tl.maximum(x, 0.0)
    return y.to(tl.float16)


@triton.jit
def _slope(y, TANH: tl.constexpr):
    """Derivative of the activation from its value."""
    y = y.to(tl.float32)
    return 1.0 - y * y if TANH else tl.where(y > 0.0, 1.0, 0.0)


@triton.jit
def _rows(x, row, n, COLUMNS: tl.constexpr, COLUMNS_P: tl.constexpr):
    column = tl.arange(0, COLUMNS_P)[None, :]
    return tl.load(
        x + row[:, None] * COLUMNS + column, mask=(row[:, None] < n) & (column < COLUMNS), other=0.0
    )


@triton.jit
def _store_rows(out, row, n, values, COLUMNS: tl.constexpr, COLUMNS_P: tl.constexpr):
    column = tl.arange(0, COLUMNS_P)[None, :]
    tl.store(out + row[:, None] * COLUMNS + column, values, mask=(row[:, None] < n) & (column < COLUMNS))


@triton.jit
def _largest(x):
    return tl.max(tl.max(tl.abs(x), axis=1), axis=0)


@triton.jit
def _hidden(x, weights, IN: tl.constexpr, WIDTH: tl.constexpr, IN_P: tl.constexpr, WIDTH_P: tl.constexpr,
            HIDDEN: tl.constexpr, TANH: tl.constexpr):  # fmt: skip
    """The values of every hidden layer, a tuple of (BLOCK, WIDTH_P) float16."""
    h = _activate(tl.dot(x, tl.trans(_matrix(weights, 0, WIDTH, IN, WIDTH_P, IN_P))), TANH)
    hidden = (h,)
    for i in tl.static_range(HIDDEN - 1):
        w = _matrix(weights, WIDTH * IN + i * WIDTH * WIDTH, WIDTH, WIDTH, WIDTH_P, WIDTH_P)
        h = _activate(tl.dot(h, tl.trans(w)), TANH)
        hidden = hidden + (h,)  # type: ignore[assignment]  # noqa: RUF005
    return hidden


@triton.jit(do_not_specialize=["n"])
def _forward(x, weights, out, n, IN: tl.constexpr, WIDTH: tl.constexpr, OUT: tl.constexpr, HIDDEN: tl.constexpr,
             IN_P: tl.constexpr, WIDTH_P: tl.constexpr, OUT_P: tl.constexpr, TANH: tl.constexpr,
             BLOCK: tl.constexpr):  # fmt: skip
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    values = _rows(x, row, n, IN, IN_P)
    if _largest(values) == 0.0:  # padding; without biases zero gives zero
        _store_rows(out, row, n, tl.zeros([BLOCK, OUT_P], tl.float32), OUT, OUT_P)
        return
    hidden = _hidden(values.to(tl.float16), weights, IN, WIDTH, IN_P, WIDTH_P, HIDDEN, TANH)
    w = _matrix(weights, WIDTH * IN + (HIDDEN - 1) * WIDTH * WIDTH, OUT, WIDTH, OUT_P, WIDTH_P)
    _store_rows(out, row, n, tl.dot(hidden[HIDDEN - 1], tl.trans(w)), OUT, OUT_P)


@triton.jit(do_not_specialize=["n"])
def _backward(x, weights, g_out, g_x, g_weights, n, IN: tl.constexpr, WIDTH: tl.constexpr, OUT: tl.constexpr,
              HIDDEN: tl.constexpr, IN_P: tl.constexpr, WIDTH_P: tl.constexpr, OUT_P: tl.constexpr,
              TANH: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Each program writes its sum of the gradients of the weights to its own row of `g_weights`."""
    last = WIDTH * IN + (HIDDEN - 1) * WIDTH * WIDTH
    sum_first = tl.zeros([WIDTH_P, IN_P], tl.float32)
    sum_last = tl.zeros([OUT_P, WIDTH_P], tl.float32)
    sums = ()
    for _ in tl.static_range(HIDDEN - 1):
        sums = sums + (tl.zeros([WIDTH_P, WIDTH_P], tl.float32),)  # type: ignore[assignment]  # noqa: RUF005
    for block in range(tl.program_id(0), tl.cdiv(n, BLOCK), tl.num_programs(0)):
        row = block * BLOCK + tl.arange(0, BLOCK)
        cotangent = _rows(g_out, row, n, OUT, OUT_P)
        unit = _largest(cotangent)
        if unit == 0.0:
            _store_rows(g_x, row, n, tl.zeros([BLOCK, IN_P], tl.float32), IN, IN_P)
        else:
            values = _rows(x, row, n, IN, IN_P).to(tl.float16)
            g = (cotangent / unit).to(tl.float16)
            hidden = _hidden(values, weights, IN, WIDTH, IN_P, WIDTH_P, HIDDEN, TANH)
            sum_last += unit * tl.dot(tl.trans(g), hidden[HIDDEN - 1])
            w = _matrix(weights, last, OUT, WIDTH, OUT_P, WIDTH_P)
            g = (tl.dot(g, w) * _slope(hidden[HIDDEN - 1], TANH)).to(tl.float16)
            new_sums = ()
            for j in tl.static_range(HIDDEN - 1):
                start = WIDTH * IN + (HIDDEN - 2 - j) * WIDTH * WIDTH
                w = _matrix(weights, start, WIDTH, WIDTH, WIDTH_P, WIDTH_P)
                g_w = unit * tl.dot(tl.trans(g), hidden[HIDDEN - 2 - j])
                new_sums = new_sums + (sums[j] + g_w,)  # type: ignore[assignment]  # noqa: RUF005
                g = (tl.dot(g, w) * _slope(hidden[HIDDEN - 2 - j], TANH)).to(tl.float16)
            sums = new_sums
            sum_first += unit * tl.dot(tl.trans(g), values)
            w = _matrix(weights, 0, WIDTH, IN, WIDTH_P, IN_P)
            _store_rows(g_x, row, n, unit * tl.dot(g, w), IN, IN_P)
    mine = tl.program_id(0) * (last + OUT * WIDTH)
    _store_matrix(g_weights, mine, sum_first, WIDTH, IN, WIDTH_P, IN_P)
    _store_matrix(g_weights, mine + last, sum_last, OUT, WIDTH, OUT_P, WIDTH_P)
    for j in tl.static_range(HIDDEN - 1):
        start = mine + WIDTH * IN + (HIDDEN - 2 - j) * WIDTH * WIDTH
        _store_matrix(g_weights, start, sums[j], WIDTH, WIDTH, WIDTH_P, WIDTH_P)


class _MLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, settings, *weights):  # type: ignore[override]
        x = x.contiguous()
        packed = torch.cat([w.reshape(-1) for w in weights]).half()
        ctx.save_for_backward(x, packed)
        ctx.shapes = [w.shape for w in weights]
        ctx.settings = settings
        out = x.new_empty(len(x), len(weights[-1]))
        if len(x):
            _forward[(triton.cdiv(len(x), BLOCK),)](x, packed, out, len(x), **ctx.settings)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g_out):  # type: ignore[override]
        x, packed = ctx.saved_tensors
        g_x = torch.empty_like(x)
        programs = min(BACKWARD_PROGRAMS, triton.cdiv(len(x), BLOCK))
        g_packed = x.new_empty(programs, len(packed))
        if len(x):
            _backward[(programs,)](x, packed, g_out.contiguous(), g_x, g_packed, len(x), **ctx.settings)
        grads = g_packed.sum(0).split([s.numel() for s in ctx.shapes])
        return g_x, None, *(g.view(s) for g, s in zip(grads, ctx.shapes, strict=True))


def _settings(shapes: Sequence[torch.Size], activation: str) -> dict:
    """Everything about the MLP that the kernels are compiled for."""
    (width, columns), out = shapes[0], shapes[-1][0]
    padded = {
        name: max(16, triton.next_power_of_2(size))
        for name, size in (("IN_P", columns), ("WIDTH_P", width), ("OUT_P", out))
    }
    return {
        "IN": columns, "WIDTH": width, "OUT": out, "HIDDEN": len(shapes) - 1, **padded, "TANH": activation == "tanh",
        "BLOCK": BLOCK, "num_warps": WARPS,
    }  # fmt: skip


def _fits(settings: dict) -> bool:
    """Whether one program holds the gradients of all matrices."""
    width, inner = settings["WIDTH_P"], settings["HIDDEN"] - 1
    return width * (settings["IN_P"] + settings["OUT_P"] + inner * width) <= LARGEST


def mlp(x: Tensor, weights: Sequence[Tensor], activation: str) -> Tensor:
    """See ``reference.mlp`` in half precision: the same for float32 tensors on an NVIDIA GPU, hidden layers of one width.

    Networks too large for one kernel, such as the paper's of 256, are left to matrix products in float32: the reference.

    A block of samples whose `x` is all zero, such as padding, is skipped, in the backward one whose gradient is.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"no activation {activation!r}")
    sizes = [x.shape[1], *(w.shape[0] for w in weights)]
    widths = set(sizes[1:-1])
    if len(widths) != 1 or any(w.shape[1] != size for w, size in zip(weights, sizes, strict=False)):
        raise ValueError(
            f"matrices {[tuple(w.shape) for w in weights]} are not an MLP with hidden layers of one width"
        )
    settings = _settings([w.shape for w in weights], activation)
    if not _fits(settings):
        return reference.mlp(x, weights, activation)
    return _MLP.apply(x, settings, *weights)
