"""Signed distance to an axis-aligned ellipsoid and its closed-form gradient, in plain torch (supplement A.2)."""

from __future__ import annotations

import torch
from torch import Tensor

NEWTON_STEPS = (
    10  # at most; within 0.05 of the surface the distance is then good to 1e-4 (float32), see docs/results.md
)
OFF_PLANE = 1e-5  # share of a semi-axis by which points keep from its centre plane, where the closest point is not unique


def closest_point(x: Tensor, semi_axes: Tensor, steps: int = NEWTON_STEPS) -> tuple[Tensor, Tensor, Tensor]:
    """The closest surface point, the unit outward normal there, and the signed distance (no gradient).

    The closest point is ``x_e = r^2 / (r^2 + lam) * x`` with ``lam`` the largest root of
    ``|r x / (r^2 + lam)| = 1`` (A.2, eq. 3). Newton solves ``1 / |r x / (r^2 + lam)| = 1``, which is concave and nearly
    straight right of ``-min(r)^2``: from ``lam_0 = max_k(r_k |x_k| - r_k^2)``, left of the root, it rises to it without
    overshoot, in fewer steps than on the square (the secular equation of trust-region methods). With
    ``q = x / (r^2 + lam)`` the normal is ``q / |q|`` and the distance ``lam |q|``, sign included.

    Args:
        x: (..., 3) points in the ellipsoid's own frame, world units.
        semi_axes: (..., 3), broadcast against `x`; all positive.

    Returns:
        closest (..., 3), normal (..., 3), sdf (...), clamped from below at ``-min(semi_axes)``.
    """
    with torch.no_grad():
        x, r = torch.broadcast_tensors(x, semi_axes)
        x = torch.where(x.abs() > OFF_PLANE * r, x, torch.copysign(OFF_PLANE * r, x))
        r2 = r * r
        lam = (r * x.abs() - r2).amax(-1, keepdim=True)
        tiny = torch.finfo(x.dtype).tiny
        for _ in range(steps):
            inverse = 1.0 / (r2 + lam).clamp_min(tiny**0.25)
            g = (r * x * inverse) ** 2
            square = g.sum(-1, keepdim=True)
            lam = lam + (square.sqrt() - 1.0) * square / (g * inverse).sum(-1, keepdim=True)
        q = x / (r2 + lam).clamp_min(tiny**0.25)
        length = q.norm(dim=-1, keepdim=True)
        normal = q / length.clamp_min(tiny**0.5)
        sdf = (lam * length).squeeze(-1)
        sdf = torch.maximum(sdf, -r.amin(-1))
        return r2 * q, normal, sdf


class _EllipsoidSDF(torch.autograd.Function):
    """Forward by Newton, backward by d sdf/dx = n and d sdf/dr = -n * (x_e / r)."""

    @staticmethod
    def forward(ctx, x: Tensor, semi_axes: Tensor, steps: int) -> Tensor:  # type: ignore[override]
        closest, normal, sdf = closest_point(x, semi_axes, steps)
        ctx.save_for_backward(normal, closest / semi_axes)
        ctx.shapes = (x.shape, semi_axes.shape)
        return sdf

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        normal, on_sphere = ctx.saved_tensors
        g = grad.unsqueeze(-1) * normal
        x_shape, r_shape = ctx.shapes
        return g.sum_to_size(x_shape), (-g * on_sphere).sum_to_size(r_shape), None


def inflated_semi_axes(semi_axes: Tensor, distance: float | Tensor) -> Tensor:
    """Semi-axes (..., 3) of an ellipsoid, on the same axes, that holds every point within `distance` of the one with `semi_axes`.

    ``a_k^2 = (1 + 1/p) r_k^2 + (1 + p) d^2`` for any ``p > 0``. Proof: the points within d are the Minkowski sum of the
    ellipsoid ``E(A)``, ``A = diag(r^2)``, and the ball ``E(d^2 I)``. A convex body lies in another if its support function
    does, and that of ``E(A)`` in the direction u is ``sqrt(u^T A u)``. With ``g = sqrt(u^T A u)`` and ``h = d |u|``, that of
    the sum is ``g + h``, and ``(g + h)^2 = g^2 + h^2 + 2 g h <= (1 + 1/p) g^2 + (1 + p) h^2``, for
    ``2 g h <= g^2 / p + p h^2``; the right side is ``u^T diag(a^2) u``.

    With ``p = rho / d`` it touches the sum where ``g = rho |u|``, so that no ellipsoid on these axes lies inside it and
    still holds the sum. Here ``rho = (r_1 r_2 r_3)^(1/3)``, which keeps the volume small (docs/results.md) and is ``r + d`` for
    a sphere. The compiled kernels mirror this.

    Args:
        semi_axes: (..., 3) all positive, world units.
        distance: at least 0, world units; a number or a 0-dim tensor.
    """
    rho = semi_axes.log().mean(-1, keepdim=True).exp()
    return ((1 + distance / rho) * semi_axes**2 + distance * (distance + rho)).sqrt()


def ellipsoid_sdf(x: Tensor, semi_axes: Tensor, steps: int = NEWTON_STEPS) -> Tensor:
    """Signed distance (...) of `x` (..., 3) to the ellipsoid with `semi_axes` (..., 3); differentiable in both.

    The gradient in the semi-axes is that of the paper's re-parametrisation ``x_e = detach(x_e / r) * r``
    (A.2, eq. 6 and 7), which is the exact one, because the closest point is a stationary point of the distance.
    """
    return _EllipsoidSDF.apply(x, semi_axes, steps)
