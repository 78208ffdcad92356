"""The losses (paper section 3.6, and of our own: volume, hull, void). Pure functions of tensors, without their weights.

Those of colours and masks are ops: `ops.image_losses`, `ops.silhouette`.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from wim_fast.model.structure import relative_motion


def tap_gradient(sdf: Tensor, tap: float) -> Tensor:
    """Gradients (N, 3) of `sdf` (4, N) taken at ``x + tap * tetrahedron[k]``."""
    return sdf.t() @ tetrahedron(sdf.device).to(sdf.dtype) / (4 * tap)


def eikonal_loss(gradient: Tensor) -> Tensor:
    """Mean of (|grad sdf| - 1)^2; gradient (N, 3)."""
    return ((gradient.norm(dim=-1) - 1) ** 2).mean() if len(gradient) else gradient.sum()


def volume_loss(sdf: Tensor, inv_s: Tensor) -> Tensor:
    """Share of points (N,) near the surface that lie inside: what no view needs shrinks under it."""
    return torch.sigmoid(-inv_s * sdf).mean() if len(sdf) else sdf.sum()


@functools.cache
def tetrahedron(device: torch.device) -> Tensor:
    """Its corners (4, 3)."""
    return torch.tensor([[1.0, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], device=device)


def hull_loss(union: Tensor, inside: Tensor) -> Tensor:
    """Mean distance by which points (N,) that must lie in the object lie outside it; inside (N,) bool says which count."""
    return (union.relu() * inside).mean()


def void_loss(sdf: Tensor, inv_s: Tensor, counts: Tensor) -> Tensor:
    """Mean density of points (N,) that no camera judges; counts (N,) bool says which count."""
    return (counts * torch.sigmoid(-inv_s * sdf)).mean()


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


def merge_loss(rotation: Tensor, translation: Tensor, distance: float, motion_weight: float) -> Tensor:
    """Pulls together the parts that nearly move as one: mean of m_ij * stopgrad(sigmoid((D - m_ij) / D)).

    m_ij is `structure.relative_motion` of rotation (F, P, 3, 3) and translation (F, P, 3) with lambda_motion =
    `motion_weight`; D is `distance`, or the least m_ij if that is more.
    """
    parts = rotation.shape[1]
    if parts < 2:
        return translation.sum() * 0
    m = relative_motion(rotation, translation, motion_weight)
    with torch.no_grad():
        itself = torch.eye(parts, dtype=torch.bool, device=m.device)
        scale = m.masked_fill(itself, torch.inf).min().clamp_min(distance)
        gate = torch.sigmoid((scale - m) / scale).masked_fill(itself, 0)
    return (m * gate).sum() / (parts * (parts - 1))
