"""Rigid motions and twists against the matrix exponential."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from wim_fast.posing.rigid import adjoint, exponential, inverse, logarithm, skew


def matrix(twist: np.ndarray) -> np.ndarray:
    out = np.zeros((4, 4))
    out[:3, :3], out[:3, 3] = skew(twist[3:]), twist[:3]
    return out


@pytest.mark.parametrize("size", [0.0, 1e-7, 1e-3, 0.5, 1.5])
def test_exponential_and_logarithm(size: float) -> None:
    twists = size * np.random.default_rng(0).uniform(-1, 1, (20, 6))
    motions = exponential(twists)
    assert np.allclose(motions, [expm(matrix(x)) for x in twists], atol=1e-12)
    assert np.allclose(logarithm(motions), twists, atol=1e-9)
    assert np.allclose(motions @ inverse(motions), np.eye(4), atol=1e-12)


def test_the_adjoint_takes_a_twist_to_another_frame() -> None:
    a, b = exponential(np.random.default_rng(1).normal(size=(2, 6)))
    twist = 0.3 * np.arange(6.0)
    assert np.allclose(a @ exponential(twist) @ inverse(a), exponential(adjoint(a) @ twist))
    assert np.allclose(adjoint(a @ b), adjoint(a) @ adjoint(b))
