"""The loss that merges parts (paper section 3.6), a pure function of tensors, without its weight.

The other losses are ops: `ops.image_losses`, `ops.shape_losses`, `ops.silhouette`, `ops.structure`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wim_fast.model.structure import relative_motion


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
