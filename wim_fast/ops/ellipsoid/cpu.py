"""One point against many ellipsoids, compiled: device functions for the other CPU kernels.

They work on the rows of a scratch array, one column for each ellipsoid. The rows lie a constant distance apart, so that
the compiler sees that they do not overlap and works on 8 or 16 ellipsoids at once: five to ten times faster than one
after another.
"""

from __future__ import annotations

import numpy as np

from wim_fast.ops.compiled import device
from wim_fast.ops.ellipsoid.reference import NEWTON_STEPS, OFF_PLANE
from wim_fast.ops.vectors import (
    at_least,
    at_most,
    larger,
    lowest,
    lowest_bit,
    magnitude,
    octet,
    put,
    root,
    signed_as,
    smaller,
    where_positive,
)

PITCH = 272  # columns of a scratch array, more than ModelConfig.parts allows; a power of two would crowd the cache
WORD = 64  # bits
LANES = 8  # ellipsoids are worked on in so many at once: what is left over would be done one after another
X, Y, Z = (k * PITCH for k in range(3))  # the point in the frame of each ellipsoid
RX, RY, RZ, IX, IY, IZ, R_MAX, R_MIN = (k * PITCH for k in range(3, 11))  # semi-axes, 1 / semi-axes
LOWER, UPPER = 11 * PITCH, 12 * PITCH  # bounds of the distance
SDF, QX, QY, QZ, INVERSE = (k * PITCH for k in range(13, 18))  # see `distances`
ROWS = 18

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TINY = np.float32(1e-9)
_SQUARE_TINY = np.float32(1e-12)
_OFF_PLANE = np.float32(OFF_PLANE)
_FAR = np.float32(1e30)
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
    for p in range(0, m, LANES):
        x, y, z = octet(w, X + p), octet(w, Y + p), octet(w, Z + p)
        ix, iy, iz = octet(w, IX + p), octet(w, IY + p), octet(w, IZ + p)
        length = root(x * x + y * y + z * z)
        x, y, z = x * ix, y * iy, z * iz
        square = x * x + y * y + z * z + _SQUARE_TINY
        k0 = root(square)
        x, y, z = x * ix, y * iy, z * iz
        outer = smaller(smaller(ix, iy), iz)  # makes the bound at the centre -max(r)
        k1 = root(x * x + y * y + z * z + _SQUARE_TINY * (outer * outer))
        excess = k0 - _ONE
        inverse = _ONE / (k0 * k1)  # one division in place of two
        plane = square * excess * inverse
        sphere = length - octet(w, R_MAX + p)
        put(w, LOWER + p, larger(plane, sphere))
        outside = length * k1 * inverse
        put(w, UPPER + p, excess * where_positive(excess, outside, octet(w, R_MIN + p)))


@device
def distances(w, m):
    """Rows SDF, QX, QY, QZ, INVERSE of the first `m` columns (and some more): the normal is q / |q|, and x_e / r = r q.

    The same solve as ``reference.closest_point``.
    """
    for p in range(0, m, LANES):
        rx, ry, rz = octet(w, RX + p), octet(w, RY + p), octet(w, RZ + p)
        x = larger(magnitude(octet(w, X + p)), _OFF_PLANE * rx)
        y = larger(magnitude(octet(w, Y + p)), _OFF_PLANE * ry)
        z = larger(magnitude(octet(w, Z + p)), _OFF_PLANE * rz)
        px, py, pz = rx * x, ry * y, rz * z
        sx, sy, sz = rx * rx, ry * ry, rz * rz
        lam = larger(larger(px - sx, py - sy), pz - sz)
        before = lam  # no step has been taken
        for step in range(NEWTON_STEPS):
            ix, iy, iz = _inverses(sx + lam, sy + lam, sz + lam)
            gx, gy, gz = px * ix, py * iy, pz * iz
            gx, gy, gz = gx * gx, gy * gy, gz * gz
            square = gx + gy + gz
            excess = root(square) - _ONE
            further = lam + excess * square / (gx * ix + gy * iy + gz * iz)
            # an ellipsoid's steps are its own, whatever stands beside it in the vector: two, and until it has converged
            lam = further if step < 2 else where_positive(before - _CONVERGED, further, lam)
            before = excess
            if step > 0 and at_least(excess, _CONVERGED) == 0:
                break
        ix, iy, iz = _inverses(sx + lam, sy + lam, sz + lam)
        qx, qy, qz = x * ix, y * iy, z * iz
        length = root(qx * qx + qy * qy + qz * qz)
        put(w, SDF + p, larger(lam * length, _ZERO - octet(w, R_MIN + p)))
        put(w, QX + p, signed_as(qx, octet(w, X + p)))
        put(w, QY + p, signed_as(qy, octet(w, Y + p)))
        put(w, QZ + p, signed_as(qz, octet(w, Z + p)))
        put(w, INVERSE + p, _ONE / larger(length, _TINY))


@device
def _inverses(x, y, z):
    return _ONE / larger(x, _TINY), _ONE / larger(y, _TINY), _ONE / larger(z, _TINY)


@device
def take_near(w, m, cut, near, first, ids):
    """What `distances` reads of the ellipsoids that may be within `cut` of the nearest, as columns of `near` from `first` on.

    Fills `ids` with their columns in `w`, from `first` on; returns how many they are. There must be room for `m`.
    """
    reach = least(w, UPPER, m) + cut
    count = first
    for p in range(0, m, WORD):
        bits = 0
        for v in range(0, min(m - p, WORD), LANES):
            bits |= at_most(octet(w, LOWER + p + v), reach) << v
        while bits != 0:
            k = p + lowest_bit(bits)
            bits &= bits - 1
            ids[count] = k
            near[X + count] = w[X + k]
            near[Y + count] = w[Y + k]
            near[Z + count] = w[Z + k]
            near[RX + count] = w[RX + k]
            near[RY + count] = w[RY + k]
            near[RZ + count] = w[RZ + k]
            near[R_MIN + count] = w[R_MIN + k]
            count += 1
    return count - first


@device
def least(w, row, m):
    """Of row LOWER or UPPER; columns after the `m`-th are to be `out_of_reach`."""
    found = octet(w, row)
    for p in range(LANES, m, LANES):
        found = smaller(found, octet(w, row + p))
    return lowest(found)


@device
def out_of_reach(w, m):
    """The columns from the `m`-th to where vectors end, so that their bounds are far away, now and by `distance_bounds`."""
    for p in range(m, padded(m)):
        w[X + p] = w[Y + p] = w[Z + p] = _ZERO
        w[R_MAX + p] = w[R_MIN + p] = -_FAR
        w[LOWER + p] = w[UPPER + p] = _FAR
