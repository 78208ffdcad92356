"""What launching a Triton kernel takes beside the kernel."""

from __future__ import annotations

import torch
from torch import Tensor


def device_scalar(x: float | Tensor, device: torch.device) -> Tensor:
    """() float32 on `device`. Kernels load scalars from memory, so that a recorded graph sees them change."""
    if isinstance(x, Tensor):
        return x.detach().to(device, torch.float32)
    return torch.full((), x, device=device)


def given(gradient: Tensor | None, like: Tensor, *shape: int) -> Tensor:
    """A gradient as a kernel takes it, zeros of `shape` where there is none. (Left to torch, they would also be made for
    outputs that have no gradient: a launch for each.)
    """
    return like.new_zeros(shape) if gradient is None else gradient.contiguous()
