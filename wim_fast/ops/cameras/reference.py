"""Cameras that are corrected while a model is learned, and the rays through their pixels, in plain torch."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

NUMBERS = 9  # that correct a camera
TERMS = 12  # of the kernels' series for sine and cosine: exact in float32 up to half a turn


class CorrectedCameras(NamedTuple):
    """Calibration of V cameras."""

    intrinsics: Tensor  # (V, 3, 3); carry no gradient
    inverse_intrinsics: Tensor  # (V, 3, 3)
    rotation: Tensor  # (V, 3, 3) camera-to-world
    center: Tensor  # (V, 3) world


def corrected_cameras(
    numbers: Tensor, intrinsics: Tensor, inverse_intrinsics: Tensor, rotation: Tensor, center: Tensor
) -> CorrectedCameras:
    """Cameras as they are found to be, from as they were given; gradients go to `numbers` alone.

    Args:
        numbers: (V, 9) rotation vector, radians, and shift of the optical centre, world units, both in the given camera's
            frame; by what share the focal length is more; the principal point's shift in focal lengths, x and y.
        intrinsics, inverse_intrinsics, rotation, center: see `CorrectedCameras`.
    """
    lens, turn = lens_of(numbers), rotation_about(numbers[:, :3])
    zoom, principal = lens[:, 0, 0], lens[:, :2, 2]
    scale = torch.stack([1 / zoom, 1 / zoom, torch.ones_like(zoom)], -1)
    unlens = torch.eye(3, device=zoom.device, dtype=zoom.dtype) - pad(principal[..., None], (2, 0, 0, 1))
    shift = (rotation @ numbers[:, 3:6, None]).squeeze(-1)
    return CorrectedCameras(
        intrinsics @ lens.detach(),
        scale[..., None] * unlens @ inverse_intrinsics,
        rotation @ turn,
        center + shift,
    )


def lens_of(numbers: Tensor) -> Tensor:
    """(V, 3, 3) what intrinsics are multiplied by from the right; numbers (V, 9)."""
    zoom, principal = 1 + numbers[:, 6], numbers[:, 7:]
    lens = torch.diag_embed(torch.stack([zoom, zoom, torch.ones_like(zoom)], -1))
    return lens + pad(principal[..., None], (2, 0, 0, 1))


def rotation_about(vector: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3), radians (Rodrigues); smooth at zero."""
    angle = (vector.square().sum(-1) + 1e-12).sqrt()[..., None, None]
    zero = torch.zeros_like(vector[..., 0])
    x, y, z = vector.unbind(-1)
    K = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(*vector.shape, 3)
    half = torch.sinc(angle / (2 * math.pi))
    eye = torch.eye(3, device=vector.device, dtype=vector.dtype)
    return eye + torch.sinc(angle / math.pi) * K + 0.5 * half.square() * (K @ K)


def camera_rays(
    inverse_intrinsics: Tensor, rotation: Tensor, center: Tensor, camera: Tensor, pixels: Tensor
) -> tuple[Tensor, Tensor]:
    """Origins and unit directions (B, N, 3) through `pixels` (B, N, 2) of cameras `camera` (B,); centres at +0.5.

    The others: see `CorrectedCameras`; to these go the gradients.
    """
    to_world = rotation[camera] @ inverse_intrinsics[camera]  # (B, 3, 3)
    through = to_world.transpose(1, 2)
    directions = torch.baddbmm(through[:, 2:], pixels, through[:, :2])
    directions = directions / directions.norm(dim=-1, keepdim=True)
    return center[camera][:, None].expand_as(directions), directions
