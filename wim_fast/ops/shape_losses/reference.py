"""What is lost on the shape at points that no ray chose, in plain torch (paper section 3.6, and of our own: volume, void, hull).

A part of the points may be missing: the loss of none is zero.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor


class ShapeLosses(NamedTuple):
    """Scalars without their weights."""

    eikonal: Tensor
    volume: Tensor
    void: Tensor
    hull: Tensor


def shape_losses(
    tap_sdf: Tensor,
    void_sdf: Tensor,
    unjudged: Tensor,
    union: Tensor,
    inside: Tensor,
    tap: float,
    inv_s: Tensor,
) -> ShapeLosses:
    """Losses of the signed distances of the model, world units, at points near its surface and outside of what is seen.

    Args:
        tap_sdf: (4, N) at points ``x + tap * tetrahedron[k]``, x near the surface.
        void_sdf: (V,) at some points; unjudged: (V,) bool, which of them no camera judges.
        union: (M,) of the ellipsoids alone, at points of which those that are `inside` (M,) bool lie in the object.
        inv_s: () sharpness of the surface, 1 / world units.
    """
    return ShapeLosses(
        eikonal_loss(tap_gradient(tap_sdf, tap)),
        volume_loss(tap_sdf, inv_s),
        void_loss(void_sdf, inv_s, unjudged),
        hull_loss(union, inside),
    )


def tap_gradient(sdf: Tensor, tap: float) -> Tensor:
    """Gradients (N, 3) of `sdf` (4, N) taken at ``x + tap * tetrahedron[k]``."""
    return sdf.t() @ tetrahedron(sdf.device).to(sdf.dtype) / (4 * tap)


@functools.cache
def tetrahedron(device: torch.device) -> Tensor:
    """Its corners (4, 3)."""
    return torch.tensor([[1.0, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], device=device)


def eikonal_loss(gradient: Tensor) -> Tensor:
    """Mean of (|grad sdf| - 1)^2; gradient (N, 3)."""
    return ((gradient.norm(dim=-1) - 1) ** 2).mean() if len(gradient) else gradient.sum()


def volume_loss(sdf: Tensor, inv_s: Tensor) -> Tensor:
    """Share of points near the surface that lie inside: what no view needs shrinks under it."""
    return torch.sigmoid(-inv_s * sdf).mean() if sdf.numel() else sdf.sum()


def void_loss(sdf: Tensor, inv_s: Tensor, counts: Tensor) -> Tensor:
    """Mean density of points (N,) that no camera judges; counts (N,) bool says which count."""
    return (counts * torch.sigmoid(-inv_s * sdf)).mean() if len(sdf) else sdf.sum()


def hull_loss(union: Tensor, inside: Tensor) -> Tensor:
    """Mean distance by which points (N,) that must lie in the object lie outside it; inside (N,) bool says which count."""
    return (union.relu() * inside).mean() if len(union) else union.sum()
