"""Vectors in numba's kernels against numpy."""

import numpy as np
import pytest
from numba import njit

from wim_fast.ops.vectors import (
    LANES,
    at_least,
    at_most,
    between,
    count_bits,
    dot,
    equal,
    exponential,
    gathered,
    larger,
    less,
    lowest,
    lowest_bit,
    magnitude,
    number,
    octet,
    octet_of,
    pair_of,
    plus_product,
    plus_scaled,
    put,
    quad,
    quad_of,
    root,
    scatter_added,
    signed_as,
    slope,
    smaller,
    spread,
    total,
    vector,
    where_positive,
    zeros,
)

RNG = np.random.default_rng(0)
V, W, U = (RNG.normal(size=LANES).astype(np.float32) for _ in range(3))
X = np.float32(0.3)


def kernel_of(function, operands):
    """What `function` makes of so many vectors, and a number, as a kernel that writes it down."""
    compiled = njit(function)
    if operands == 1:
        return njit(lambda out, v, w, u, x: put(out, 0, compiled(vector(v, 0))))
    if operands == 2:
        return njit(lambda out, v, w, u, x: put(out, 0, compiled(vector(v, 0), vector(w, 0))))
    if operands == 3:
        return njit(lambda out, v, w, u, x: put(out, 0, compiled(vector(v, 0), vector(w, 0), vector(u, 0))))
    return njit(lambda out, v, w, u, x: put(out, 0, compiled(vector(v, 0), x)))


@pytest.mark.parametrize(
    ("function", "operands", "expected"),
    [
        (lambda v, w: v + w, 2, V + W),
        (lambda v, w: v - w, 2, V - W),
        (lambda v, w: v * w, 2, V * W),
        (lambda v, w: v / w, 2, V / W),
        (lambda v, x: v - x, "x", V - X),
        (lambda v, x: x / v, "x", X / V),
        (lambda v: zeros() - v, 1, -V),
        (lambda v, x: v + x, "x", V + X),
        (lambda v, w, u: plus_product(v, w, u), 3, V + W * U),
        (lambda v, x: plus_scaled(v, x, v), "x", V + X * V),
        (lambda v: root(magnitude(v)), 1, np.sqrt(np.abs(V))),
        (lambda v: exponential(zeros() - magnitude(v)), 1, np.exp(-np.abs(V))),
        (lambda v, w: signed_as(v, w), 2, np.copysign(V, W)),
        (lambda v, w: larger(v, w), 2, np.maximum(V, W)),
        (lambda v, x: larger(v, x), "x", np.maximum(V, X)),
        (lambda v, w: smaller(v, w), 2, np.minimum(V, W)),
        (lambda v, w, u: where_positive(v, w, u), 3, np.where(V > 0, W, U)),
        (lambda v: slope(v), 1, V[8:] - V[:8]),
        (lambda v, x: between(v, x), "x", V[:8] + X * (V[8:] - V[:8])),
        (lambda v, x: spread(slope(v), x), "x", np.outer([1 - X, X], V[8:] - V[:8]).ravel()),
    ],
)
def test_lane_by_lane(function, operands, expected):
    out = np.zeros(LANES, np.float32)
    kernel_of(function, operands)(out, V, W, U, X)
    np.testing.assert_allclose(out[: len(expected)], expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda v, w: total(v), V.sum(dtype=float)),
        (lambda v, w: dot(v, w), V.astype(float) @ W),
        (lambda v, w: lowest(v), V.min()),
        (lambda v, w: lowest(slope(v)), (V[8:] - V[:8]).min()),
        (lambda v, w: count_bits(less(v, X)), (V < X).sum()),
        (lambda v, w: lowest_bit(less(v, X)), np.flatnonzero(V < X)[0]),
        (lambda v, w: at_least(v, X), ((V >= X) << np.arange(LANES)).sum()),
        (lambda v, w: at_most(v, X), ((V <= X) << np.arange(LANES)).sum()),
    ],
)
def test_of_all_lanes(function, expected):
    compiled = njit(function)
    found = njit(lambda v, w: compiled(vector(v, 0), vector(w, 0)))(V, W)
    assert found == pytest.approx(expected, rel=1e-6)


def test_equal_lanes():
    v = np.array([1, 2, 1, 3] * 4, np.float32)
    assert njit(lambda v: equal(vector(v, 0), v[0]))(v) == 0b0101010101010101


def test_exponential_is_that_of_the_library():
    x = -np.concatenate([np.linspace(0, 80, 4002), [0.0, 1e-8]]).astype(np.float32)
    x = x[: len(x) // 8 * 8]
    x[-1] = -1e30
    out = np.empty_like(x)

    @njit
    def of_all(x, out):
        for i in range(0, len(x), 8):
            put(out, i, exponential(octet(x, i)))

    of_all(x, out)
    np.testing.assert_allclose(out[:-1], np.exp(x[:-1].astype(np.float64)), rtol=5e-6)
    assert out[0] == 1
    assert 0 < out[-1] < 1e-37


@pytest.mark.parametrize("function", [larger, smaller])
def test_what_is_no_number_is_kept(function):
    """A bad number must not be taken for a good one: a step that meets it is to stop."""
    bad, out = np.full(LANES, np.nan, np.float32), np.zeros(LANES, np.float32)
    njit(lambda out, v, w: put(out, 0, function(vector(v, 0), vector(w, 0))))(out, bad, V)
    assert np.isnan(out).all()


def test_rows_of_a_table():
    """Eight rows gathered, and added to one after another, also where some are the same."""
    table = RNG.normal(size=(50, 2)).astype(np.float32)
    rows = np.array([3, 7, 3, 0, 49, 7, 3, 12])
    picked = tuple(np.uint32(row) for row in rows)
    out = np.zeros(16, np.float32)
    njit(lambda table, rows, out: put(out, 0, gathered(table, rows)))(table, picked, out)
    assert np.array_equal(out.reshape(8, 2), table[rows])
    expected = table.astype(float)
    np.add.at(expected, rows, V.reshape(8, 2))
    njit(lambda table, rows, v: scatter_added(table, rows, vector(v, 0)))(table, picked, V)
    np.testing.assert_allclose(table, expected, rtol=1e-5, atol=1e-6)


def test_numbers_and_vectors_of_them():
    out = np.zeros(20, np.float32)

    @njit
    def written(v, out):
        put(out, 3, number(v, 2))
        put(out, 0, pair_of(v[0], v[1]))
        put(out, 4, quad(v, 5))
        put(out, 8, quad_of(v[0], v[1], v[2], v[3]))
        put(out, 12, octet_of(v[7], v[6], v[5], v[4], v[3], v[2], v[1], v[0]))

    written(V, out)
    assert np.array_equal(out, [V[0], V[1], 0, V[2], *V[5:9], *V[:4], *V[7::-1]])


def test_arithmetic_is_between_vectors_of_one_size():
    with pytest.raises(Exception, match="No implementation of function"):
        njit(lambda v: total(vector(v, 0) + octet(v, 0)))(V)
