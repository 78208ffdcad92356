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
    light: Tensor,
    void_sdf: Tensor,
    unjudged: Tensor,
    core_sdf: Tensor,
    inside: Tensor,
    tap: float,
    inv_s: Tensor,
) -> ShapeLosses:
    """Losses of the signed distances of the model, world units, at points near its surface and outside of what is seen.

    Args:
        tap_sdf: (4, N) at points ``x + tap * tetrahedron[k]``, x near the surface; light: (N,) the share of its ray's light
            that reaches x.
        void_sdf: (V,) at some points; unjudged: (V,) bool, which of them no camera judges.
        core_sdf: (M,) at points of which those that are `inside` (M,) bool must lie in the object.
        inv_s: () sharpness of the surface, 1 / world units.
    """
    return ShapeLosses(
        eikonal_loss(tap_gradient(tap_sdf, tap)),
        volume_loss(tap_sdf, inv_s, light),
        void_loss(void_sdf, inv_s, unjudged),
        hull_loss(core_sdf, inside),
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


def volume_loss(sdf: Tensor, inv_s: Tensor, light: Tensor) -> Tensor:
    """Mean density of points near the surface, sdf (..., N), by the light (N,) that reaches them.

    What no view needs shrinks under it from outside. Without the light it would also be eaten up from inside, where next
    to nothing shows, until a thin shell is left.
    """
    return (light * torch.sigmoid(-inv_s * sdf)).mean() if sdf.numel() else sdf.sum()


def void_loss(sdf: Tensor, inv_s: Tensor, counts: Tensor) -> Tensor:
    """Mean density of points (N,) that no camera judges; counts (N,) bool says which count."""
    return (counts * torch.sigmoid(-inv_s * sdf)).mean() if len(sdf) else sdf.sum()


def hull_loss(sdf: Tensor, inside: Tensor) -> Tensor:
    """Mean distance by which points (N,) that must lie in the object lie outside it; inside (N,) bool says which count."""
    return (sdf.relu() * inside).mean() if len(sdf) else sdf.sum()
