"""From the numbers of a pose network to the poses of parts, in plain torch: the specification of the compiled kernels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def part_poses(difference: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation (F, P, 3, 3) and translation (F, P, 3), both part to world.

    Args:
        difference: (F, 9 P) to the rest pose, in each of F poses.
        rest: (9 P,) for each part its translation and two 3-vectors for its rotation, see `rotation_from_6d`.
    """
    x = (rest + difference).view(len(difference), -1, 9)
    return rotation_from_6d(x[..., 3:]), x[..., :3]


def rotation_from_6d(x: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) whose first two columns are the Gram-Schmidt of two 3-vectors `x` (..., 6).

    Zhou et al., "On the continuity of rotation representations in neural networks", section B.
    """
    first = normalize(x[..., :3], dim=-1)
    second = normalize(x[..., 3:] - (first * x[..., 3:]).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)
