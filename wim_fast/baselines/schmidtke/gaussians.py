"""Moved Gaussians: eq. 14 of the supplement, what a camera sees of them, and points that move with them.

Eq. 14 scales the rows of a rotation, Theta x = diag(s) R x + t: it takes a point of the world to the template, in which a
Gaussian has its centre m and its deviations sigma. Here a part's pose is the way back, part to world, as everywhere in
this package: ``R = rotation^T`` and ``t = m - diag(s) R center``, so that Theta takes `center` to m.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wim_fast.model.structure import CANDIDATE_SHARE
from wim_fast.ops.structure.reference import joint_candidates

REACH = 0.1  # r of eq. 18: from a part's centre to the points around it, world units


def theta(rotation: Tensor, center: Tensor, scale: Tensor, template_centers: Tensor) -> Tensor:
    """Upper three rows (F, P, 3, 4) of the matrices of eq. 14, world to template.

    Args:
        rotation: (F, P, 3, 3) part to world.
        center: (F, P, 3) of the Gaussians, world.
        scale: (P, 3) s, template units per world unit along the template's axes.
        template_centers: (P, 3) m.
    """
    linear = scale[..., None] * rotation.transpose(-1, -2)
    offset = template_centers - (linear @ center[..., None]).squeeze(-1)
    return torch.cat([linear, offset[..., None]], dim=-1)


def heat_maps(
    theta: Tensor, template_centers: Tensor, sigmas: Tensor, origins: Tensor, directions: Tensor
) -> Tensor:
    """What pixels see of every Gaussian exp(-|(Theta x - m) / sigma|^2 / 2), (F, P, N) in [0, 1].

    That is its largest value on the line through the pixel, which is its integral along the line over that of a line of
    the same direction through the centre: no approximation of perspective. Coordinates (Theta x - m) / sigma make of the
    Gaussian one that looks alike from everywhere, and of the line u + k v one at the distance |u x v| / |v| from its
    centre. Theta is affine, so u x v is linear in the direction.

    Args:
        theta: (F, P, 3, 4) world to template, one pose an image.
        template_centers, sigmas: (P, 3).
        origins: (F, 3) optical centres, world.
        directions: (F, N, 3) of the pixels, world, of any length.
    """
    linear = theta[..., :3] / sigmas[..., None]
    start = (theta[..., :3] @ origins[:, None, :, None] + theta[..., 3:]).squeeze(-1)
    start = (start - template_centers) / sigmas
    moment = torch.linalg.cross(start[..., None].expand_as(linear), linear, dim=-2)
    lines = directions.transpose(1, 2)
    shape = theta.shape[1], 3

    def squared_length(of: Tensor) -> Tensor:
        return (of.flatten(1, 2) @ lines).unflatten(1, shape).square().sum(2)

    return torch.exp(-0.5 * squared_length(moment) / squared_length(linear))


def to_world(
    points: Tensor, rotation: Tensor, center: Tensor, scale: Tensor, template_centers: Tensor
) -> Tensor:
    """The inverse of eq. 14: template points (..., 3), one for each of the P parts given, to the world (F, ..., 3)."""
    return center + (rotation @ ((points - template_centers) / scale)[..., None]).squeeze(-1)


def moving_points(rotation: Tensor, center: Tensor) -> Tensor:
    """Every part's centre and six points around it, center +- r times the columns of its rotation: (F, 7 P, 3), eq. 18."""
    around = joint_candidates(rotation, center, torch.full_like(center[0], REACH), 1.0)
    return torch.cat([center[..., None, :], around], dim=-2).flatten(-3, -2)


def reach_as_semi_axes(parts: int) -> np.ndarray:
    """(P, 3) semi-axes of ellipsoids whose joint candidates are these six points."""
    return np.full((parts, 3), REACH / CANDIDATE_SHARE)
