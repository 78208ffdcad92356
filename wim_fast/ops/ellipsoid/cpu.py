"""One point against one ellipsoid, compiled: a device function for the other CPU kernels."""

from __future__ import annotations

import math

import numpy as np

from wim_fast.ops.compiled import device
from wim_fast.ops.ellipsoid.reference import NEWTON_STEPS, OFF_PLANE

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TINY = np.float32(1e-9)
_OFF_PLANE = np.float32(OFF_PLANE)
_CONVERGED = np.float32(5e-4)  # convergence is quadratic: the step just taken leaves about the square of this


@device
def _off_plane(x, r):
    """`x` kept away from the centre plane, where the closest point is not unique."""
    least = _OFF_PLANE * r
    return x if abs(x) > least else (least if x >= _ZERO else -least)


@device
def newton_ellipsoid(x, y, z, rx, ry, rz):
    """Signed distance and q = x_e / r^2 not yet scaled: returns (sdf, |q|, qx, qy, qz); normal = q / |q|, x_e / r = r q.

    The same solve as ``reference.closest_point``; all float32 scalars.
    """
    x = _off_plane(x, rx)
    y = _off_plane(y, ry)
    z = _off_plane(z, rz)
    rx2 = rx * rx
    ry2 = ry * ry
    rz2 = rz * rz
    px = rx * abs(x)
    py = ry * abs(y)
    pz = rz * abs(z)
    lam = max(px - rx2, max(py - ry2, pz - rz2))
    for _ in range(NEWTON_STEPS):
        ix = _ONE / max(rx2 + lam, _TINY)
        iy = _ONE / max(ry2 + lam, _TINY)
        iz = _ONE / max(rz2 + lam, _TINY)
        gx = (px * ix) ** 2
        gy = (py * iy) ** 2
        gz = (pz * iz) ** 2
        square = gx + gy + gz
        excess = np.float32(math.sqrt(square)) - _ONE
        lam += excess * square / (gx * ix + gy * iy + gz * iz)
        if excess < _CONVERGED:
            break
    qx = x / max(rx2 + lam, _TINY)
    qy = y / max(ry2 + lam, _TINY)
    qz = z / max(rz2 + lam, _TINY)
    length = np.float32(math.sqrt(qx * qx + qy * qy + qz * qz))
    sdf = max(lam * length, -min(rx, min(ry, rz)))
    return sdf, max(length, _TINY), qx, qy, qz
