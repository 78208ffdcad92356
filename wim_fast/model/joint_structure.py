"""The state from which joints are chosen: running distances between joint candidates (paper section 3.5, A.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wim_fast.model.structure import joint_ends


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
        chain = torch.arange(parts - 1)
        self.register_buffer("edges", torch.stack([chain, chain + 1], dim=1))
        self.register_buffer("edge_candidates", torch.zeros(parts - 1, 2, dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def observe(self, candidates: Tensor, translation: Tensor, rate: float) -> None:
        """Take the poses of one step into the running means.

        candidates (F, P, 6, 3) and translation (F, P, 3). The first call sets the means, later ones move them by `rate` of
        the way. Of several processes each takes in its own poses; the means of what comes out are those of all poses.
        """
        frames, parts = translation.shape[:2]
        points = torch.cat([candidates, translation[:, :, None]], 2) - translation.mean((0, 1))
        rows = points.permute(1, 2, 0, 3).reshape(parts * 7, frames * 3)
        inner = rows @ rows.t() / frames
        norms = inner.diagonal()
        pairs = (norms[:, None] + norms - 2 * inner).clamp_min_(0).view(parts, 7, parts, 7).transpose(1, 2)
        share = torch.where(self.steps == 0, 1.0, rate)
        self.candidate_distance.lerp_(pairs[:, :, :6, :6], share)
        self.center_distance.lerp_(pairs[:, :, 6, 6], share)
        self.steps += 1

    @torch.no_grad()
    def choose(self, edges: Tensor, edge_candidates: Tensor) -> None:
        """Set the tree, from ``structure.spanning_tree`` of the running distances."""
        self.edges.copy_(edges)
        self.edge_candidates.copy_(edge_candidates)

    def joint_ends(self, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """The two candidates (F, P - 1, 3) of every edge of the tree; the joint is their midpoint."""
        return joint_ends(candidates, self.edges, self.edge_candidates)
