"""Points against one ellipsoid: device functions for the other Triton kernels, elementwise on float32 blocks."""

from __future__ import annotations

import triton
import triton.language as tl

from wim_fast.ops.ellipsoid import reference

NEWTON_STEPS = tl.constexpr(reference.NEWTON_STEPS)
OFF_PLANE = tl.constexpr(reference.OFF_PLANE)
CONVERGED = tl.constexpr(
    5e-4
)  # convergence is quadratic: the step just taken leaves about the square of this
TINY = tl.constexpr(1e-9)


@triton.jit
def any_of(mask):
    """Whether `mask` holds anywhere in the block: a condition that the whole block agrees on."""
    return tl.max(mask.to(tl.int32)) > 0


@triton.jit
def off_plane(x, r):
    """`x` kept away from the centre plane, where the closest point is not unique."""
    least = OFF_PLANE * r
    return tl.where(tl.abs(x) > least, x, tl.where(x >= 0, least, -least))


@triton.jit
def distance_bounds(x, y, z, rx, ry, rz):
    """A lower and an upper bound of the signed distance, both true everywhere.

    Lower: ``|x| - max(r)``, and outside ``min(r) (|x / r| - 1)``. Upper: outside the distance to the surface point towards
    the centre, ``|x| (1 - 1 / |x / r|)``; inside ``min(r) (|x / r| - 1)``, because the ellipsoid is convex.
    """
    largest = tl.maximum(rx, tl.maximum(ry, rz))
    smallest = tl.minimum(rx, tl.minimum(ry, rz))
    length = tl.sqrt(x * x + y * y + z * z)
    sx = x / rx
    sy = y / ry
    sz = z / rz
    scaled = tl.sqrt(sx * sx + sy * sy + sz * sz)
    outside = scaled > 1.0
    by_scale = smallest * (scaled - 1.0)
    lower = length - largest
    lower = tl.where(outside, tl.maximum(lower, by_scale), lower)
    upper = tl.where(outside, length * (1.0 - 1.0 / tl.maximum(scaled, 1.0)), by_scale)
    return lower, upper


@triton.jit
def inflated_semi_axes(rx, ry, rz, distance):
    """See ``reference.inflated_semi_axes``, where the proof is."""
    rho = tl.exp((tl.log(rx) + tl.log(ry) + tl.log(rz)) / 3.0)
    scale = 1.0 + distance / rho
    shift = distance * (distance + rho)
    return (
        tl.sqrt(scale * rx * rx + shift),
        tl.sqrt(scale * ry * ry + shift),
        tl.sqrt(scale * rz * rz + shift),
    )


@triton.jit
def direction_at(x, y, z, rx, ry, rz, lam):
    """q = x / (r^2 + lam) and |q|: the normal is q / |q|, the closest point r^2 q, the distance lam |q|."""
    qx = off_plane(x, rx) / tl.maximum(rx * rx + lam, TINY)
    qy = off_plane(y, ry) / tl.maximum(ry * ry + lam, TINY)
    qz = off_plane(z, rz) / tl.maximum(rz * rz + lam, TINY)
    return qx, qy, qz, tl.maximum(tl.sqrt(qx * qx + qy * qy + qz * qz), TINY)


@triton.jit
def newton_ellipsoid(x, y, z, rx, ry, rz, wanted):
    """Signed distance and `lam` by the solve of ``reference.closest_point``, until all `wanted` points of the block converge."""
    rx2 = rx * rx
    ry2 = ry * ry
    rz2 = rz * rz
    px = rx * tl.abs(off_plane(x, rx))
    py = ry * tl.abs(off_plane(y, ry))
    pz = rz * tl.abs(off_plane(z, rz))
    lam = tl.maximum(px - rx2, tl.maximum(py - ry2, pz - rz2))
    excess = tl.where(wanted, 1.0, 0.0)
    for _ in range(NEWTON_STEPS):  # a `while` does not compile with Triton 3.5 to 3.8
        if tl.max(excess) >= CONVERGED:
            ix = 1.0 / tl.maximum(rx2 + lam, TINY)
            iy = 1.0 / tl.maximum(ry2 + lam, TINY)
            iz = 1.0 / tl.maximum(rz2 + lam, TINY)
            gx = px * ix * (px * ix)
            gy = py * iy * (py * iy)
            gz = pz * iz * (pz * iz)
            square = gx + gy + gz
            excess = tl.sqrt(square) - 1.0
            lam += excess * square / (gx * ix + gy * iy + gz * iz)
            excess = tl.where(wanted, excess, 0.0)
    _, _, _, length = direction_at(x, y, z, rx, ry, rz, lam)
    return tl.maximum(lam * length, -tl.minimum(rx, tl.minimum(ry, rz))), lam
