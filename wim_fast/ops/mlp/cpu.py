"""The MLP on the CPU: a narrow one with one hidden layer in a kernel of our own, others by torch's matrix products.

What the hidden layer says of a block of samples stays in the processor's cache, and the backward pass computes it again in
place of reading it: it is several times as much as goes in and comes out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.compiled import arrays, claim, device, kernel
from wim_fast.ops.vectors import (
    LANES,
    number,
    plus_product,
    plus_scaled,
    put,
    total,
    vector,
    where_positive,
    zeros,
)

CHUNKS = 16
BLOCK = 64  # samples whose hidden layer is kept at a time
GROUP = 4  # samples, inputs or outputs at a time, so many as there are registers for
_IN_PLACE = {"relu": torch.relu_, "tanh": torch.tanh_}


@device
def _products(x, first, count, columns, w, width, h):
    """h (BLOCK, width) = x w of samples `first`, `first + 1`, ...; x (N, columns), w (columns, width). All arrays are flat."""
    for s in range(0, count, GROUP):
        a = (first + s) * columns
        b = (first + min(s + 1, count - 1)) * columns
        c = (first + min(s + 2, count - 1)) * columns
        d = (first + min(s + 3, count - 1)) * columns
        for j in range(0, width, LANES):
            h_a, h_b, h_c, h_d = zeros(), zeros(), zeros(), zeros()
            for k in range(columns):
                row = vector(w, k * width + j)
                h_a = plus_scaled(h_a, number(x, a + k), row)
                h_b = plus_scaled(h_b, number(x, b + k), row)
                h_c = plus_scaled(h_c, number(x, c + k), row)
                h_d = plus_scaled(h_d, number(x, d + k), row)
            i = s * width + j
            put(h, i, h_a)
            put(h, i + width, h_b)
            put(h, i + 2 * width, h_c)
            put(h, i + 3 * width, h_d)


@device
def _keep_positive(count, width, condition, h):
    """h (BLOCK, width) = 0 where `condition` (BLOCK, width) is not positive."""
    for i in range(0, count * width, LANES):
        put(h, i, where_positive(vector(condition, i), vector(h, i), zeros()))


@device
def _back_products(h, first, count, width, w, columns, x):
    """x (N, columns) = h w^T of samples `first`, `first + 1`, ...; h (BLOCK, width), w (columns, width)."""
    for s in range(count):
        for k in range(0, columns, GROUP):
            x_a, x_b, x_c, x_d = zeros(), zeros(), zeros(), zeros()
            for j in range(0, width, LANES):
                row, i = vector(h, s * width + j), k * width + j
                x_a = plus_product(x_a, row, vector(w, i))
                x_b = plus_product(x_b, row, vector(w, i + width))
                x_c = plus_product(x_c, row, vector(w, i + 2 * width))
                x_d = plus_product(x_d, row, vector(w, i + 3 * width))
            i = (first + s) * columns + k
            put(x, i, total(x_a))
            put(x, i + 1, total(x_b))
            put(x, i + 2, total(x_c))
            put(x, i + 3, total(x_d))


@device
def _add_outer(x, first, count, columns, h, width, g, start):
    """g (columns, width) += x^T h of samples `first`, `first + 1`, ...; x (N, columns), h (BLOCK, width); g at `start`."""
    for k in range(0, columns, GROUP):
        for j in range(0, width, LANES):
            i = start + k * width + j
            g_a, g_b = vector(g, i), vector(g, i + width)
            g_c, g_d = vector(g, i + 2 * width), vector(g, i + 3 * width)
            for s in range(count):
                row, at = vector(h, s * width + j), (first + s) * columns + k
                g_a = plus_scaled(g_a, number(x, at), row)
                g_b = plus_scaled(g_b, number(x, at + 1), row)
                g_c = plus_scaled(g_c, number(x, at + 2), row)
                g_d = plus_scaled(g_d, number(x, at + 3), row)
            put(g, i, g_a)
            put(g, i + width, g_b)
            put(g, i + 2 * width, g_c)
            put(g, i + 3 * width, g_d)


@device
def _decode(chunk, x, rows, columns, w_in, width, w_out, outputs, out):
    """What the network says of a chunk of the samples."""
    size = (rows + CHUNKS - 1) // CHUNKS
    hidden = np.empty(BLOCK * width, np.float32)
    end = min(rows, (chunk + 1) * size)
    for first in range(chunk * size, end, BLOCK):
        count = min(BLOCK, end - first)
        _products(x, first, count, columns, w_in, width, hidden)
        _keep_positive(count, width, hidden, hidden)
        _back_products(hidden, first, count, width, w_out, outputs, out)


@kernel
def _forward(x, rows, columns, w_in, width, w_out, outputs, out):
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _decode(chunk, x, rows, columns, w_in, width, w_out, outputs, out)
            chunk = claim(turn)


@device
def _go_back(chunk, x, rows, columns, w_in, width, w_out, outputs, g_out, g_x, g_in, g_w_out):
    """The gradients that a chunk of the samples gives."""
    size = (rows + CHUNKS - 1) // CHUNKS
    hidden, g_hidden = np.empty(BLOCK * width, np.float32), np.empty(BLOCK * width, np.float32)
    end = min(rows, (chunk + 1) * size)
    for first in range(chunk * size, end, BLOCK):
        count = min(BLOCK, end - first)
        _products(x, first, count, columns, w_in, width, hidden)
        _keep_positive(count, width, hidden, hidden)
        _products(g_out, first, count, outputs, w_out, width, g_hidden)
        _keep_positive(count, width, hidden, g_hidden)
        _add_outer(g_out, first, count, outputs, hidden, width, g_w_out, chunk * outputs * width)
        _add_outer(x, first, count, columns, g_hidden, width, g_in, chunk * columns * width)
        _back_products(g_hidden, first, count, width, w_in, columns, g_x)


@kernel
def _backward(x, rows, columns, w_in, width, w_out, outputs, g_out, g_x, g_in, g_w_out):
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _go_back(chunk, x, rows, columns, w_in, width, w_out, outputs, g_out, g_x, g_in, g_w_out)
            chunk = claim(turn)


class _NarrowMLP(torch.autograd.Function):
    """One hidden layer with relu; see `is_narrow`."""

    @staticmethod
    def forward(ctx, x, first, last):  # type: ignore[override]
        x_, w_in, w_out = arrays(x, first.t(), last)
        out = np.empty((len(x_), len(w_out)), np.float32)
        ctx.arguments = (
            x_.reshape(-1),
            *x_.shape,
            w_in.reshape(-1),
            w_in.shape[1],
            w_out.reshape(-1),
            len(w_out),
        )
        _forward(*ctx.arguments, out.reshape(-1))
        return torch.from_numpy(out)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):  # type: ignore[override]
        _, rows, columns, _, width, _, outputs = ctx.arguments
        sizes = (rows, columns), (CHUNKS, columns, width), (CHUNKS, outputs, width)
        g_x, g_in, g_out = (np.zeros(size, np.float32) for size in sizes)
        _backward(*ctx.arguments, arrays(grad)[0].reshape(-1), *(g.reshape(-1) for g in (g_x, g_in, g_out)))
        return torch.from_numpy(g_x), torch.from_numpy(g_in.sum(0).T), torch.from_numpy(g_out.sum(0))


class _MLP(torch.autograd.Function):
    """Gradients in the order in which the products are fast, and without autograd between."""

    @staticmethod
    def forward(ctx, x, activation, *weights):  # type: ignore[override]
        inputs = [x]  # of each layer
        for weight in weights[:-1]:
            x = _IN_PLACE[activation](x @ weight.t())
            inputs.append(x)
        ctx.activation = activation
        ctx.save_for_backward(*inputs, *weights)
        return inputs[-1] @ weights[-1].t()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):  # type: ignore[override]
        layers = len(ctx.saved_tensors) // 2
        inputs, weights = ctx.saved_tensors[:layers], ctx.saved_tensors[layers:]
        g_weights = []
        for i in range(layers - 1, -1, -1):
            g_weights.insert(0, _transposed_product(grad, inputs[i]))
            if i == 0 and not ctx.needs_input_grad[0]:
                return None, None, *g_weights
            grad = grad @ weights[i] if i else (weights[0].t() @ grad.t()).t()
            if i and ctx.activation == "relu":
                grad = torch.ops.aten.threshold_backward(grad, inputs[i], 0)
            elif i:
                grad = torch.ops.aten.tanh_backward(grad, inputs[i])
        return grad, None, *g_weights


def _transposed_product(a: Tensor, b: Tensor) -> Tensor:
    """``a^T b``, the narrower one first: five times as fast where the wider one has 64 columns and the other 8."""
    return a.t() @ b if a.shape[1] <= b.shape[1] else (b.t() @ a).t()


def is_narrow(x: Tensor, weights: Sequence[Tensor], activation: str) -> bool:
    """Whether our kernel can: a hidden layer of whole vectors, and as many inputs and outputs as it takes at a time."""
    if len(weights) != 2 or activation != "relu" or x.dtype != torch.float32:
        return False
    width, columns = weights[0].shape
    return width % LANES == 0 and columns % GROUP == 0 and len(weights[1]) % GROUP == 0


def mlp(x: Tensor, weights: Sequence[Tensor], activation: str) -> Tensor:
    """See ``reference.mlp``: the same for CPU tensors, in their own precision."""
    if is_narrow(x, weights, activation):
        return _NarrowMLP.apply(x, *weights)
    return _MLP.apply(x, activation, *weights)
