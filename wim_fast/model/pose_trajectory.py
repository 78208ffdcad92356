"""Where every part is in every frame: a small network over a cosine basis of time (paper section 3.2, A.1)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


def rotation_from_6d(x: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) whose first two columns are the Gram-Schmidt of two 3-vectors `x` (..., 6).

    Zhou et al., "On the continuity of rotation representations in neural networks", section B.
    """
    first = normalize(x[..., :3], dim=-1)
    second = normalize(x[..., 3:] - (first * x[..., 3:]).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


class PoseTrajectory(nn.Module):
    """Frame -> part-to-world rotation and translation of P parts.

    The input of frame f of T is ``cos(pi k (f + 0.5) / T)``, k = 0..K-1: K bounds how fast a part can move.
    """

    def __init__(self, parts: int, num_frames: int, num_frequencies: int, width: int, layers: int) -> None:
        super().__init__()
        self.parts = parts
        self.num_frames = num_frames
        self.num_frequencies = num_frequencies
        sizes = [num_frequencies] + [width] * (layers - 1) + [9 * parts]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def start_at(self, rotation: Tensor, translation: Tensor, spread: float = 0.1) -> None:
        """Make every frame start near one pose: rotation (P, 3, 3), translation (P, 3), both part-to-world."""
        with torch.no_grad():
            last = self.layers[-1]
            assert isinstance(last, nn.Linear)
            last.weight.mul_(spread)
            last.bias.copy_(torch.cat([translation, rotation[..., 0], rotation[..., 1]], dim=-1).flatten())

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Rotation (F, P, 3, 3) and translation (F, P, 3) at `frames` (F,), which may be fractional."""
        k = torch.arange(self.num_frequencies, device=frames.device)
        x = torch.cos(math.pi / self.num_frames * k * (frames[:, None].float() + 0.5))
        for layer in self.layers[:-1]:
            x = nn.functional.elu(layer(x))
        x = self.layers[-1](x).view(len(frames), self.parts, 9)
        return rotation_from_6d(x[..., 3:]), x[..., :3]
