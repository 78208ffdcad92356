"""The network of time that both baselines share (supplement A.1, A.9)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from wim_fast.model.pose_trajectory import cosine_basis
from wim_fast.ops.mlp.reference import mlp

LAYERS = 4  # supplement A.1
SPREAD = 0.1  # of the last layer at first: every moment starts near `rest`


class TimeNetwork(nn.Module):
    """Moment -> (outputs,): `rest` + a network over ``cos(pi k (t + 0.5) / T)``, k = 0..K-1, tanh, no biases.

    As `model.pose_trajectory.PoseTrajectory`, but for what it gives.
    """

    def __init__(self, rest: Tensor, num_frames: int, num_frequencies: int, width: int) -> None:
        super().__init__()
        self.num_frames, self.num_frequencies = num_frames, num_frequencies
        sizes = [num_frequencies] + [width] * (LAYERS - 1) + [len(rest)]
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(sizes))
        self.rest = nn.Parameter(rest.clone())
        with torch.no_grad():
            self.layers[-1].weight.mul_(SPREAD)  # type: ignore[operator]

    def forward(self, moments: Tensor) -> Tensor:
        """(F, outputs) at moments (F,), in frames trained on, perhaps between two."""
        x = cosine_basis(moments.to(self.rest.dtype), self.num_frames, self.num_frequencies)
        weights: list[Any] = [layer.weight for layer in self.layers]
        return self.rest + mlp(x, weights, "tanh")
