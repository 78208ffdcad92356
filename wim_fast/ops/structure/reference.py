"""Joint candidates, what is lost where joints gape or parts coincide, and the running distances, in plain torch.

Tensors of any precision: training calls them in float32 with gradients, `posing` in float64 with arrays.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class StructureLosses(NamedTuple):
    """Scalars without their weights."""

    joint: Tensor
    separation: Tensor


def joint_candidates(rotation: Tensor, translation: Tensor, semi_axes: Tensor, share: float) -> Tensor:
    """Six joint candidates of every part in the world (supplement A.4, eq. 8 and 9), differentiable.

    Args:
        rotation: (..., P, 3, 3) part to world.
        translation: (..., P, 3) part centres, world.
        semi_axes: (P, 3).
        share: where they lie on the semi-axes.

    Returns:
        (..., P, 6, 3) world; candidate 2k is +share of semi-axis k, candidate 2k + 1 is -share of it.
    """
    arms = (share * rotation * semi_axes[:, None, :]).transpose(-1, -2)  # (..., P, axis, 3)
    offsets = torch.stack([arms, -arms], dim=-2).flatten(-3, -2)
    return translation[..., None, :] + offsets


def joint_ends(candidates: Tensor, edges: Tensor, edge_candidates: Tensor) -> tuple[Tensor, Tensor]:
    """The two candidates (..., P - 1, 3) that every edge brings together; the joint is their midpoint (A.8, eq. 11).

    candidates (..., P, 6, 3); edges (P - 1, 2) the parts joined; edge_candidates (P - 1, 2) which candidate of either.
    """
    (first, second), (m, n) = edges.unbind(1), edge_candidates.unbind(1)
    return candidates[..., first, m, :], candidates[..., second, n, :]


def structure_losses(
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    edges: Tensor,
    edge_candidates: Tensor,
    share: float,
    sigma: float,
) -> StructureLosses:
    """Both losses of F poses of P parts; `sigma`: see `separation_loss`, the others: see `joint_candidates`, `joint_ends`."""
    candidates = joint_candidates(rotation, translation, semi_axes, share)
    joint = joint_loss(*joint_ends(candidates, edges, edge_candidates))
    return StructureLosses(joint, separation_loss(translation, sigma))


def joint_loss(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared distance of the chosen candidate pairs, (F, P - 1, 3) each."""
    return ((first - second) ** 2).sum(-1).mean() if first.numel() else first.sum()


def separation_loss(centers: Tensor, sigma: float) -> Tensor:
    """Mean over pairs of exp(-d^2 / (2 sigma^2)) of the part centres (F, P, 3), world units."""
    parts = centers.shape[1]
    if parts < 2:
        return centers.sum() * 0
    i, j = torch.triu_indices(parts, parts, 1, device=centers.device)
    squared = ((centers[:, i] - centers[:, j]) ** 2).sum(-1)
    return torch.exp(-squared / (2 * sigma**2)).mean()


@torch.no_grad()
def observe_distances(
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    candidate_distance: Tensor,
    center_distance: Tensor,
    steps: Tensor,
    share: float,
    rate: float,
) -> None:
    """Move running means towards the mean squared distances, over F poses, of all pairs of candidates and of centres.

    Args:
        rotation, translation, semi_axes, share: see `joint_candidates`.
        candidate_distance: (P, P, 6, 6), world units squared; [i, j, m, n] of candidate m of part i and n of part j, and so
            the same as [j, i, n, m].
        center_distance: (P, P).
        steps: () int64, how often that was done; 0: the means are set, not moved. All three are changed in place.
        rate: how much of the way the means are moved.
    """
    frames, parts = translation.shape[:2]
    candidates = joint_candidates(rotation, translation, semi_axes, share)
    points = torch.cat([candidates, translation[:, :, None]], 2) - translation.mean((0, 1))
    rows = points.permute(1, 2, 0, 3).reshape(parts * 7, frames * 3)
    inner = rows @ rows.t() / frames
    norms = inner.diagonal()
    pairs = (norms[:, None] + norms - 2 * inner).clamp_min_(0).view(parts, 7, parts, 7).transpose(1, 2)
    moved = torch.where(steps == 0, 1.0, rate)
    candidate_distance.lerp_(pairs[:, :, :6, :6], moved)
    center_distance.lerp_(pairs[:, :, 6, 6], moved)
    steps += 1
