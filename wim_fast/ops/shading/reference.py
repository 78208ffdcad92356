"""From what the decoder says of points to signed distance and colour, in plain torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Shaded(NamedTuple):
    """The field at N points."""

    sdf: Tensor  # (N,) signed distance, world units
    rgb: Tensor  # (N, 3) in [0, 1] before lighting


def shade(
    decoded: Tensor, union: Tensor, normal: Tensor, lighting: Tensor | None, residual_max: float
) -> Shaded:
    """``sdf = union + d_max tanh(x_0)`` and ``rgb = (1 + tanh(x_1..3)) / 2`` times the light of the normal.

    Args:
        decoded: (N, 4) x, by the decoder.
        union: (N,) distance from the union of the ellipsoids, world units.
        normal: (N, 3) world; about unit vectors. No gradient.
        lighting: (8, 3) coefficients of `lighting_basis`, of each colour; None: the colour as it is.
        residual_max: d_max, world units (paper section 3.3).
    """
    x = torch.tanh(decoded)
    rgb = 0.5 + 0.5 * x[:, 1:]
    if lighting is not None:
        rgb = rgb * light(normal.detach(), lighting)
    return Shaded(union + residual_max * x[:, 0], rgb)


def light(normal: Tensor, lighting: Tensor) -> Tensor:
    """By what the light of directions `normal` (N, 3) multiplies colours, (N, 3); `lighting` (8, 3)."""
    return 1 + lighting_basis(normal) @ lighting


def lighting_basis(normal: Tensor) -> Tensor:
    """Quadratic basis (N, 8) of directions `normal` (N, 3): the spherical harmonics up to order 2 but the constant.

    The light that a matt surface receives from far away is nearly such a function of its normal (Ramamoorthi and
    Hanrahan, 2001).
    """
    n = torch.nn.functional.normalize(normal, dim=-1)
    x, y, z = n.unbind(-1)
    return torch.stack([x, y, z, x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1], dim=-1)
