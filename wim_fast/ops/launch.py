"""What launching a Triton kernel takes beside the kernel."""

from __future__ import annotations

import torch
from torch import Tensor


def device_scalar(x: float | Tensor, device: torch.device) -> Tensor:
    """() float32 on `device`. Kernels load scalars from memory, so that a recorded graph sees them change."""
    if isinstance(x, Tensor):
        return x.detach().to(device, torch.float32)
    return torch.full((), x, device=device)
