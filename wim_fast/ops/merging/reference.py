"""How parts move against each other, and the loss that merges those that nearly move as one, in plain torch.

Tensors of any precision: training calls them in float32 with gradients, `posing` in float64 with arrays.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_TURN = 1e-6  # of the variance of a relative rotation's entry
LEAST_SHIFT = 1e-12  # added to the variance of a relative translation, world units squared


def relative_motion(
    rotation: Tensor, translation: Tensor, motion_weight: float, *, exact: bool = False
) -> Tensor:
    """m_ij (P, P): how much part j moves as seen from part i over F frames (paper section 3.5).

    The standard deviation over time of the relative rotation R_i^T R_j, averaged over its 9 entries, plus `motion_weight`
    times that of the relative translation R_i^T (t_j - t_i), averaged over its 3. Not symmetric: the translation is seen
    in part i's frame.

    Args:
        rotation: (F, P, 3, 3) part to world.
        translation: (F, P, 3) world units.
        exact: without it, deviations of rotations have a floor of 0.001, where gradients are finite and float32 holds the
            mean of squares that is faster to compute.
    """
    if exact:
        turn = torch.einsum("fiab,fjac->fijbc", rotation, rotation)
        rotation_deviation = turn.std(0, correction=0).mean((-1, -2))
    else:
        rotation_deviation = _variance_of_turns(rotation).clamp_min(LEAST_TURN).sqrt().mean((1, 3))
    offset = translation[:, None] - translation[:, :, None]  # (F, i, j, 3) = t_j - t_i
    relative_translation = offset @ rotation  # (F, i, j, 3) = R_i^T (t_j - t_i)
    centered = relative_translation - relative_translation.mean(0)
    floor = 0.0 if exact else LEAST_SHIFT
    translation_deviation = ((centered**2).mean(0) + floor).sqrt().mean(-1)
    return rotation_deviation + motion_weight * translation_deviation


def _variance_of_turns(rotation: Tensor) -> Tensor:
    """Over time, of the entries of R_i^T R_j: (P, 3, P, 3), from E[x] and E[x^2] as two matrix products."""
    frames, parts = rotation.shape[:2]
    columns = rotation.permute(1, 3, 0, 2)  # (P, b, F, a)
    products = (columns[..., :, None] * columns[..., None, :]).reshape(parts * 3, -1)
    columns = columns.reshape(parts * 3, -1)
    mean, mean_square = columns @ columns.T / frames, products @ products.T / frames
    return (mean_square - mean**2).view(parts, 3, parts, 3)


def merge_loss(rotation: Tensor, translation: Tensor, distance: float, motion_weight: float) -> Tensor:
    """Pulls together the parts that nearly move as one: mean of m_ij * stopgrad(sigmoid((D - m_ij) / D)).

    (Paper section 3.6.) m_ij is `relative_motion` of rotation (F, P, 3, 3) and translation (F, P, 3) with lambda_motion =
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
