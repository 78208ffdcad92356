"""The state from which joints are chosen: running distances between joint candidates (paper section 3.5, A.4)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from wim_fast.ops.structure import reference


class JointStructure(nn.Module):
    """Buffers only: the running distances and the tree chosen from them. All of it is saved with the model."""

    candidate_distance: Tensor  # (P, P, 6, 6) running mean of squared distances, world units squared
    center_distance: Tensor  # (P, P)
    edges: Tensor  # (P - 1, 2) parts joined
    edge_candidates: Tensor  # (P - 1, 2) which candidate of either
    steps: Tensor  # () updates so far

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.register_buffer("candidate_distance", torch.zeros(parts, parts, 6, 6))
        self.register_buffer("center_distance", torch.zeros(parts, parts))
        chain = [[part, part + 1] for part in range(parts - 1)]
        self.register_buffer("edges", torch.tensor(chain, dtype=torch.int64).reshape(-1, 2))
        self.register_buffer("edge_candidates", torch.zeros(parts - 1, 2, dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def observe(
        self,
        rotation: Tensor,
        translation: Tensor,
        semi_axes: Tensor,
        share: float,
        rate: float,
        observe_distances: Callable = reference.observe_distances,
    ) -> None:
        """Take the poses of one step, rotation (F, P, 3, 3) and translation (F, P, 3), into the running means.

        The first call sets the means, later ones move them by `rate` of the way. Of several processes each takes in its own
        poses; the means of what comes out are those of all poses. `share`: where candidates lie on the semi-axes (P, 3).
        """
        means = self.candidate_distance, self.center_distance, self.steps
        observe_distances(rotation, translation, semi_axes, *means, share, rate)

    @torch.no_grad()
    def choose(self, edges: Tensor, edge_candidates: Tensor) -> None:
        """Set the tree, from ``structure.spanning_tree`` of the running distances."""
        self.edges.copy_(edges)
        self.edge_candidates.copy_(edge_candidates)
