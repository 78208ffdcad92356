"""A small MLP without biases, in plain torch: what tiny-cuda-nn's fused MLP computes, and the specification of the kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "tanh": torch.tanh}


def mlp(x: Tensor, weights: Sequence[Tensor], activation: str, *, precision: str = "float") -> Tensor:
    """``y = W_H a(... a(W_1 a(W_0 x)))`` (N, out) of `x` (N, in): `activation` between the layers, none at the end.

    Args:
        weights: one matrix (out, in) for each layer; there are no biases.
        activation: "relu" or "tanh".
        precision: "float", or "half": input, weights, what each layer passes on and the result are rounded to float16
            on their way, sums are not. Gradients pass through the rounding unchanged and are not rounded themselves.
    """
    act = ACTIVATIONS[activation]
    rounded = {"float": lambda t: t, "half": _through_half}[precision]
    x = rounded(x)
    for i, weight in enumerate(weights):
        x = x @ rounded(weight).t()
        x = rounded(act(x) if i + 1 < len(weights) else x)
    return x


def _through_half(x: Tensor) -> Tensor:
    """`x` rounded to float16, with the gradient of the identity."""
    return x + (x.half().to(x.dtype) - x).detach()
