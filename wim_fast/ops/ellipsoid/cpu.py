"""One point against many ellipsoids, compiled: device functions for the other CPU kernels.

They work on the rows of a scratch array, one column for each ellipsoid. The rows lie a constant distance apart, so that
the compiler sees that they do not overlap and works on 8 or 16 ellipsoids at once: five to ten times faster than one
after another.
"""

from __future__ import annotations

import math

import numpy as np

from wim_fast.ops.compiled import device
from wim_fast.ops.ellipsoid.reference import NEWTON_STEPS, OFF_PLANE

PITCH = 272  # columns of a scratch array, more than ModelConfig.parts allows; a power of two would crowd the cache
LANES = 8  # ellipsoids are worked on in so many at once: what is left over would be done one after another
X, Y, Z = (k * PITCH for k in range(3))  # the point in the frame of each ellipsoid
RX, RY, RZ, IX, IY, IZ, R_MAX, R_MIN = (k * PITCH for k in range(3, 11))  # semi-axes, 1 / semi-axes
LOWER, UPPER = 11 * PITCH, 12 * PITCH  # bounds of the distance
SDF, QX, QY, QZ, LENGTH = (k * PITCH for k in range(13, 18))  # see `distances`
_LAM = 18 * PITCH
ROWS = 19

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TINY = np.float32(1e-9)
_SQUARE_TINY = np.float32(1e-12)
_OFF_PLANE = np.float32(OFF_PLANE)
_CONVERGED = np.float32(5e-4)  # convergence is quadratic: the step just taken leaves about the square of this


def inflated_semi_axes(semi_axes: np.ndarray, distance: np.float32) -> np.ndarray:
    """See ``reference.inflated_semi_axes``."""
    rho = np.exp(np.log(semi_axes).mean(-1, keepdims=True))
    return np.sqrt((1 + distance / rho) * semi_axes**2 + distance * (distance + rho))


def ellipsoid_shapes(semi_axes: np.ndarray) -> np.ndarray:
    """(8 * PITCH,) float32: the rows RX to R_MIN of `semi_axes` (P, 3)."""
    axes = semi_axes.T
    parts = axes.shape[1]
    rows = np.ones((8, PITCH), np.float32)
    rows[:3, :parts] = axes
    rows[3:6, :parts] = 1 / axes
    rows[6, :parts] = axes.max(0)
    rows[7, :parts] = axes.min(0)
    return rows.ravel()


@device
def padded(m):
    """`m` columns, and those that fill up the last `LANES`."""
    return (m + LANES - 1) // LANES * LANES


@device
def distance_bounds(w, m):
    """Rows LOWER and UPPER of the first `m` columns (and some more) from their point and semi-axes.

    From below: a convex body lies behind each of its supporting planes. The plane whose normal is that of the level set
    through the point, ``x / r^2``, gives ``k0 (k0 - 1) / k1`` with ``k0 = |x / r|``, ``k1 = |x / r^2|``; the sphere round
    it ``|x| - max(r)``. From above: the surface point on the way to the centre is ``|x| (1 - 1 / k0)`` away; from inside
    the ellipsoid through the point, no surface point is nearer than ``min(r) (1 - k0)``.
    """
    for p in range(padded(m)):
        x = w[X + p]
        y = w[Y + p]
        z = w[Z + p]
        length = np.float32(math.sqrt(x * x + y * y + z * z))
        x *= w[IX + p]
        y *= w[IY + p]
        z *= w[IZ + p]
        k0 = np.float32(math.sqrt(x * x + y * y + z * z + _SQUARE_TINY))
        x *= w[IX + p]
        y *= w[IY + p]
        z *= w[IZ + p]
        outer = _ONE / w[R_MAX + p]  # makes the bound at the centre -max(r)
        k1 = np.float32(math.sqrt(x * x + y * y + z * z + _SQUARE_TINY * outer * outer))
        excess = k0 - _ONE
        plane = k0 * excess / k1
        sphere = length - w[R_MAX + p]
        w[LOWER + p] = plane if plane > sphere else sphere
        outside = length / k0
        inside = w[R_MIN + p]
        w[UPPER + p] = excess * (outside if excess > _ZERO else inside)


@device
def distances(w, m):
    """Rows SDF, QX, QY, QZ, LENGTH of the first `m` columns (and some more): the normal is q / |q|, and x_e / r = r q.

    The same solve as ``reference.closest_point``.
    """
    m = padded(m)
    for p in range(m):
        px = w[RX + p] * max(abs(w[X + p]), _OFF_PLANE * w[RX + p])
        py = w[RY + p] * max(abs(w[Y + p]), _OFF_PLANE * w[RY + p])
        pz = w[RZ + p] * max(abs(w[Z + p]), _OFF_PLANE * w[RZ + p])
        w[QX + p] = px
        w[QY + p] = py
        w[QZ + p] = pz
        a = px - w[RX + p] * w[RX + p]
        b = py - w[RY + p] * w[RY + p]
        c = pz - w[RZ + p] * w[RZ + p]
        b = b if b > c else c
        w[_LAM + p] = a if a > b else b
    for _ in range(NEWTON_STEPS):
        unfinished = 0
        for p in range(m):
            lam = w[_LAM + p]
            ix = _ONE / max(w[RX + p] * w[RX + p] + lam, _TINY)
            iy = _ONE / max(w[RY + p] * w[RY + p] + lam, _TINY)
            iz = _ONE / max(w[RZ + p] * w[RZ + p] + lam, _TINY)
            gx = w[QX + p] * ix
            gy = w[QY + p] * iy
            gz = w[QZ + p] * iz
            gx *= gx
            gy *= gy
            gz *= gz
            square = gx + gy + gz
            excess = np.float32(math.sqrt(square)) - _ONE
            w[_LAM + p] = lam + excess * square / (gx * ix + gy * iy + gz * iz)
            unfinished += 1 if excess >= _CONVERGED else 0
        if unfinished == 0:
            break
    for p in range(m):
        lam = w[_LAM + p]
        qx = max(abs(w[X + p]), _OFF_PLANE * w[RX + p]) / max(w[RX + p] * w[RX + p] + lam, _TINY)
        qy = max(abs(w[Y + p]), _OFF_PLANE * w[RY + p]) / max(w[RY + p] * w[RY + p] + lam, _TINY)
        qz = max(abs(w[Z + p]), _OFF_PLANE * w[RZ + p]) / max(w[RZ + p] * w[RZ + p] + lam, _TINY)
        length = np.float32(math.sqrt(qx * qx + qy * qy + qz * qz))
        w[SDF + p] = max(lam * length, -w[R_MIN + p])
        w[QX + p] = qx if w[X + p] >= _ZERO else -qx
        w[QY + p] = qy if w[Y + p] >= _ZERO else -qy
        w[QZ + p] = qz if w[Z + p] >= _ZERO else -qz
        w[LENGTH + p] = max(length, _TINY)


@device
def take_near(w, m, cut, near, ids):
    """What `distances` reads of the ellipsoids that may be within `cut` of the nearest, as columns of `near`.

    Fills `ids`, which is longer than `m`, with their columns in `w`; returns how many they are.
    """
    least = w[UPPER]
    for p in range(1, m):
        if w[UPPER + p] < least:
            least = w[UPPER + p]
    count = 0
    for p in range(m):  # without a branch, which the processor would guess wrong for every third part
        ids[count] = p
        count += 1 if w[LOWER + p] <= least + cut else 0
    for c in range(padded(count)):  # `distances` goes on until those that fill up have converged too
        p = ids[min(c, count - 1)]
        near[X + c] = w[X + p]
        near[Y + c] = w[Y + p]
        near[Z + c] = w[Z + p]
        near[RX + c] = w[RX + p]
        near[RY + c] = w[RY + p]
        near[RZ + c] = w[RZ + p]
        near[R_MIN + c] = w[R_MIN + p]
    return count
