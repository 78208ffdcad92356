"""Driving: a model's poses from any points that move with the object, by a linear map (supplement A.10).

SMPL vertices, mocap joints or points on a robot's links: a linear map from them to the part centres and joint
candidates is learned on the training frames, and each part's rotation follows by Procrustes.

The paper maps the points alone, as they lie in the world (`drive_as_published`). Ours (`fit_drive`, `drive`) takes them
about their centroid, so that an object may travel. With a few points on every rigid link that is all there is to know,
and it is what is chosen then. Where there are fewer (joints only), a link's turn about its own axis shows only in how
its neighbours lie, so two kinds of vectors may join the points: the axes of the world (an arm's base does not move) and
cross products of bones (hinge axes). They are vectors like the points, so one weight still serves x, y and z. Held-out
blocks of training frames decide which of them helps; on synthetic arms driven by joints alone both together take the
rotation error of the parts from 25 to 10 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from wim_fast.posing.regression import RIDGE, fit_linear_map, rest_points
from wim_fast.posing.rigid import nearest_rotation

MAX_POINTS = 690  # of more, so many drive, evenly by index: neighbours on a mesh move alike
MAX_POINTS_FOR_BONES = 64
MAX_POINTS_FOR_ALL_TRIPLES = 12
CROSS_SCALE = 5.0
"""Cross products of bones 0.2 world units long become 0.2 long again: to the ridge they are like points."""


@dataclass(frozen=True)
class DriveFit:
    """A learned map from driving points to N points of a model.

    Attributes:
        weights: (N, F) from driving vectors to the model's points, relative to the driving points' centroid.
        chosen: (M,) which of the points given drive.
        triples: (C, 3) driving points a, b, c whose cross product (b - a) x (c - a) joins the vectors.
        world_axes: whether the three axes of the world join them.
        held_out_error: mean distance (world units) of the points on training frames that were held out.
    """

    weights: np.ndarray
    chosen: np.ndarray
    triples: np.ndarray
    world_axes: bool
    held_out_error: float


def fit_drive(points: np.ndarray, moving: np.ndarray, ridge: float = RIDGE) -> DriveFit:
    """Learns the map on the training frames (supplement A.10, eq. 15; see `RIDGE` for its lambda).

    Args:
        points: (T, M, 3) driving points, world units.
        moving: (T, N, 3) points of a model in the same frames: of ours `regression.part_points`.
    """
    points, targets = np.asarray(points, float), np.asarray(moving, float)
    if points.ndim != 3 or points.shape[-1] != 3 or len(points) != len(targets) or not points.shape[1]:
        raise ValueError(f"driving points are {points.shape}: (T={len(targets)}, M, 3) is needed")
    if not np.isfinite(points).all():
        raise ValueError("driving points hold NaN or infinite values")
    chosen = np.unique(np.linspace(0, points.shape[1] - 1, MAX_POINTS).astype(int))
    points = points[:, chosen]
    targets = targets - _centroid(points)

    best: tuple[float, np.ndarray, bool] | None = None
    for triples in _triple_choices(points):
        for world_axes in (False, True):
            error = _held_out_error(_driving_vectors(points, triples, world_axes), targets, ridge)
            if best is None or error < 0.95 * best[0]:  # what is added must earn its place
                best = error, triples, world_axes
    assert best is not None
    error, triples, world_axes = best
    weights = fit_linear_map(_driving_vectors(points, triples, world_axes), targets, ridge)
    return DriveFit(weights, chosen, triples, world_axes, error)


def refit(fit: DriveFit, points: np.ndarray, moving: np.ndarray, ridge: float = RIDGE) -> DriveFit:
    """The map of the same vectors learned anew: points (T, M, 3) and moving (T, N, 3) in other frames."""
    points = np.asarray(points, float)[:, fit.chosen]
    vectors = _driving_vectors(points, fit.triples, fit.world_axes)
    return replace(fit, weights=fit_linear_map(vectors, moving - _centroid(points), ridge))


def drive(fit: DriveFit, points: np.ndarray) -> np.ndarray:
    """The model's points (T, N, 3) for new positions of the driving points (supplement A.10, eq. 16).

    Args:
        points: (T, M, 3), the points that `fit` has learned from, in the same order.
    """
    points = np.asarray(points, float)[:, fit.chosen]
    return fit.weights @ _driving_vectors(points, fit.triples, fit.world_axes) + _centroid(points)


def drive_as_published(
    points: np.ndarray, fit_points: np.ndarray, moving: np.ndarray, ridge: float
) -> np.ndarray:
    """The model's points (N, K, 3) by supplement A.10, eq. 15 and 16, to the letter: all points drive, as they lie in the
    world, and nothing else.

    Args:
        points: (N, M, 3) driving points, world units.
        fit_points: (T, M, 3) the same ones on the training frames.
        moving: (T, K, 3) points of a model in the training frames.
        ridge: lambda; see `PAPER_RIDGE`.
    """
    return fit_linear_map(fit_points, moving, ridge) @ np.asarray(points, float)


def part_poses(points: np.ndarray, semi_axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (T, P, 3, 3) and translation (T, P, 3) of parts (supplement A.10, eq. 17).

    Args:
        points: (T, 7 P, 3) as of `regression.part_points`, but perhaps not quite rigid.
        semi_axes: (P, 3).
    """
    semi_axes = np.asarray(semi_axes, float)
    points = points.reshape(len(points), len(semi_axes), 7, 3)
    center, candidates = points[:, :, 0], points[:, :, 1:]
    return procrustes(rest_points(semi_axes)[:, 1:], candidates - center[:, :, None]), center


def procrustes(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation R (det +1) that minimises sum_n |R source_n - target_n|^2 (supplement A.10, eq. 17).

    Args:
        source, target: (..., N, 3), already centred.

    Returns:
        (..., 3, 3).
    """
    return nearest_rotation(np.swapaxes(target, -1, -2) @ source)


def _centroid(points: np.ndarray) -> np.ndarray:
    return points.mean(axis=1, keepdims=True)


def _driving_vectors(points: np.ndarray, triples: np.ndarray, world_axes: bool) -> np.ndarray:
    """(T, F, 3) vectors that turn with the object and do not change when it is moved."""
    parts = [points - _centroid(points)]
    if world_axes:
        parts.append(np.broadcast_to(np.eye(3), (len(points), 3, 3)))
    if len(triples):
        a, b, c = (points[:, triples[:, k]] for k in range(3))
        parts.append(CROSS_SCALE * np.cross(b - a, c - a))
    return np.concatenate(parts, axis=1)


def _triple_choices(points: np.ndarray) -> list[np.ndarray]:
    """No triples; pairs of bones that meet; all triples, where points are few enough for each."""
    num_points = points.shape[1]
    choices: list[list[tuple[int, ...]]] = [[]]
    if 3 <= num_points <= MAX_POINTS_FOR_BONES:
        near = _bones(points)
        choices.append([(a, b, c) for a in range(num_points) for b, c in combinations(near[a], 2)])
    if 3 <= num_points <= MAX_POINTS_FOR_ALL_TRIPLES:
        choices.append(list(combinations(range(num_points), 3)))
    return [np.array(choice, dtype=int).reshape(-1, 3) for choice in choices]


def _bones(points: np.ndarray) -> list[list[int]]:
    """For each driving point the points it shares a bone with: a spanning tree of steady, short distances."""
    distance = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    cost = distance.std(axis=0) + 0.02 * distance.mean(axis=0)
    near: list[list[int]] = [[] for _ in range(len(cost))]
    inside = [0]
    outside = list(range(1, len(cost)))
    while outside:  # Prim
        block = cost[np.ix_(inside, outside)]
        row, column = np.unravel_index(block.argmin(), block.shape)
        a, b = inside[int(row)], outside.pop(int(column))
        near[a].append(b)
        near[b].append(a)
        inside.append(b)
    return [sorted(n) for n in near]


def _held_out_error(vectors: np.ndarray, targets: np.ndarray, ridge: float, folds: int = 5) -> float:
    """Mean distance on blocks of consecutive frames left out in turn; a lone frame is judged on itself."""
    frames = np.arange(len(vectors))
    if len(frames) == 1:
        folds = 1
    errors = []
    for block in np.array_split(frames, min(folds, len(frames))):
        rest = np.setdiff1d(frames, block) if len(frames) > 1 else frames
        weights = fit_linear_map(vectors[rest], targets[rest], ridge)
        errors.append(np.linalg.norm(weights @ vectors[block] - targets[block], axis=-1).mean(axis=1))
    return float(np.concatenate(errors).mean())
