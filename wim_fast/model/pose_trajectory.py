"""Where every part is in every frame: a small network over a cosine basis of time (paper section 3.2, A.1)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from wim_fast.ops.mlp import reference as mlp_reference
from wim_fast.ops.poses import reference as poses_reference


def cosine_basis(moments: Tensor, num_frames: int, num_frequencies: int) -> Tensor:
    """(F, K) ``cos(pi k (t + 0.5) / T)`` at moments t (F,) of T frames, k = 0..K-1 (supplement A.1)."""
    return torch.cos(_frequencies(num_frequencies, num_frames, moments.device) * (moments[:, None] + 0.5))


@functools.cache
def _frequencies(count: int, num_frames: int, device: torch.device) -> Tensor:
    """(K,) radians per frame."""
    return math.pi / num_frames * torch.arange(count, device=device)


class PoseTrajectory(nn.Module):
    """Frame -> part-to-world rotation and translation of P parts.

    The input of frame f of T is ``cos(pi k (f + 0.5) / T)``, k = 0..K-1: K bounds how fast a part can move. The network
    has tanh and no biases (its first input is constant), as tiny-cuda-nn's fused MLP has none, and gives the difference to
    a learned rest pose: so half precision in it does not show, see docs/results.md.
    """

    def __init__(self, parts: int, num_frames: int, num_frequencies: int, width: int, layers: int) -> None:
        super().__init__()
        self.parts = parts
        self.num_frames = num_frames
        self.num_frequencies = num_frequencies
        sizes = [num_frequencies] + [width] * (layers - 1) + [9 * parts]
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(sizes))
        self.rest = nn.Parameter(torch.zeros(9 * parts))

    def start_at(self, rotation: Tensor, translation: Tensor, spread: float = 0.1) -> None:
        """Make every frame start near one pose: rotation (P, 3, 3), translation (P, 3), both part-to-world."""
        with torch.no_grad():
            self.layers[-1].weight.mul_(spread)  # type: ignore[operator]
            self.rest.copy_(torch.cat([translation, rotation[..., 0], rotation[..., 1]], dim=-1).flatten())

    def forward(
        self,
        frames: Tensor,
        mlp: Callable = mlp_reference.mlp,
        part_poses: Callable = poses_reference.part_poses,
    ) -> tuple[Tensor, Tensor]:
        """Rotation (F, P, 3, 3) and translation (F, P, 3) at `frames` (F,), which may be fractional.

        `mlp`, `part_poses`: the implementations of the network and of what becomes of its numbers, as in ``ops``.
        """
        x = cosine_basis(frames.float(), self.num_frames, self.num_frequencies)
        return part_poses(mlp(x, [layer.weight for layer in self.layers], "tanh"), self.rest)
