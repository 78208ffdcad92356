"""Linear maps between point sets that move together: the regressions of supplement A.10."""

from __future__ import annotations

import numpy as np

from wim_fast.posing.tree import joint_candidates

PAPER_RIDGE = {"points": 0.5, "joints": 0.1}
"""The paper's lambda where the vertices of a body drive, and where its joints do; lengths in world units."""

RIDGE = 1e-3
"""Our ridge. The paper's 0.5 was set for SMPL's 6890 vertices; on tens of points about 1.2 units
across it shrinks the motion visibly. On synthetic arms and quadrupeds (60 frames, parts off by 0.5 % and
2 degrees) the joint error (A.10, six fit frames) is 3 to 5 % with 0.5 and 1.0 to 1.7 % with anything
from 1e-4 to 1e-2; driven parts are off by 13 to 16 degrees with 0.5 and, up to 1e-3, by 2 to 3: their
own noise."""


def fit_linear_map(source: np.ndarray, target: np.ndarray, ridge: float = RIDGE) -> np.ndarray:
    """X that minimises sum_t |X source(t) - target(t)|^2 + ridge |X|^2 (supplement A.10, eq. 15 and 19).

    One weight serves x, y and z, so the map commutes with rotations. Solved in the smaller of the primal and
    the dual form; with ridge 0 it is the least-squares solution of least norm.

    Args:
        source: (T, M, 3).
        target: (T, N, 3).

    Returns:
        (N, M); apply with `X @ source`.
    """
    a = np.asarray(source, float).transpose(0, 2, 1).reshape(-1, np.shape(source)[1])  # (3T, M)
    b = np.asarray(target, float).transpose(0, 2, 1).reshape(-1, np.shape(target)[1])  # (3T, N)
    if ridge == 0.0:
        return np.linalg.lstsq(a, b, rcond=None)[0].T
    rows, columns = a.shape
    if columns <= rows:
        return np.linalg.solve(a.T @ a + ridge * np.eye(columns), a.T @ b).T
    return (a.T @ np.linalg.solve(a @ a.T + ridge * np.eye(rows), b)).T


def part_points(part_rotation: np.ndarray, part_translation: np.ndarray, semi_axes: np.ndarray) -> np.ndarray:
    """P(t) of supplement A.10: each part's centre, then its six joint candidates; (..., 7 P, 3)."""
    center = np.asarray(part_translation, float)[..., None, :]
    points = np.concatenate([center, joint_candidates(part_rotation, part_translation, semi_axes)], axis=-2)
    return points.reshape(*points.shape[:-3], -1, 3)


def rest_points(semi_axes: np.ndarray) -> np.ndarray:
    """(P, 7, 3) the same points of parts with semi-axes (P, 3), each part's in its own frame."""
    count = len(semi_axes)
    return part_points(np.tile(np.eye(3), (count, 1, 1)), np.zeros((count, 3)), semi_axes).reshape(
        count, 7, 3
    )
