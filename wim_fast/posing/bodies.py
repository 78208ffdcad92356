"""Rigid bodies among parts: which parts moved as one, and in what order others would follow.

A body is a motion and a metric: twist^T metric twist is the squared shift of its surface. Two bodies that are to move
as one must give way to each other. Where r is the twist between them, off its mean, the least squared shift of both is
r^T (A^-1 + B^-1)^-1 r, the parallel sum of their metrics in one frame, and the union's metric is the sum of theirs. So
parts are united one pair after another, that which costs least first: Ward's clustering (1963), of motions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wim_fast.posing.mechanism import CONSTANTS, DIMENSIONS
from wim_fast.posing.rigid import adjoint, exponential, inverse, logarithm, mean_motion


@dataclass(frozen=True)
class Bodies:
    """B rigid bodies of P parts in T frames.

    Attributes:
        body_of_part: (P,) 0..B-1, in the order of the bodies' first parts.
        motion: (T, B, 4, 4) body to world; a body's frame is near that of its first part.
        metric: (B, 6, 6) in the body's frame, of all its parts.
    """

    body_of_part: np.ndarray
    motion: np.ndarray
    metric: np.ndarray

    @property
    def count(self) -> int:
        return len(self.metric)


@dataclass(frozen=True)
class Union:
    """One step of `union_sequence`.

    Attributes:
        pair: the first parts of the two bodies that become one, the smaller first.
        cost: sum over the frames of the squared shift by which they give way to each other, squared world units.
    """

    pair: tuple[int, int]
    cost: float


def union_sequence(poses: np.ndarray, metric: np.ndarray, touching: np.ndarray) -> list[Union]:
    """Parts united one pair after another, the cheapest of those that touch; where none does, the cheapest.

    Args:
        poses: (T, P, 4, 4) part to world.
        metric: (P, 6, 6) positive definite.
        touching: (P, P) bool.

    Returns:
        P - 1 steps, down to one body.
    """
    motion, metric, near = np.swapaxes(poses, 0, 1).copy(), metric.copy(), touching.copy()
    cost = np.full(near.shape, np.inf)
    rows, columns = np.triu_indices(len(metric), 1)
    cost[rows, columns] = _union_costs(motion, metric, rows, columns)
    steps = []
    for _ in range(len(metric) - 1):
        allowed = np.where(near, cost, np.inf)
        a, b = np.unravel_index((allowed if np.isfinite(allowed).any() else cost).argmin(), cost.shape)
        steps.append(Union((int(a), int(b)), float(cost[a, b])))
        motion[a], metric[a] = _united(motion[a], motion[b], metric[a], metric[b])
        near[a] |= near[b]
        near[:, a] |= near[:, b]
        cost[b] = cost[:, b] = np.inf
        others = np.flatnonzero(np.isfinite(np.fmin(cost[a], cost[:, a])))
        rows, columns = np.minimum(others, a), np.maximum(others, a)
        cost[rows, columns] = _union_costs(motion, metric, rows, columns)
    return steps


def united(poses: np.ndarray, metric: np.ndarray, steps: Sequence[Union]) -> Bodies:
    """What is left after some steps of a `union_sequence`, in the same frames or in others."""
    motion, metric = np.swapaxes(poses, 0, 1).copy(), metric.copy()
    first = np.arange(len(metric))
    for a, b in (step.pair for step in steps):
        motion[a], metric[a] = _united(motion[a], motion[b], metric[a], metric[b])
        first[first == b] = a
    kept, body_of_part = np.unique(first, return_inverse=True)
    return Bodies(body_of_part, np.swapaxes(motion[kept], 0, 1), metric[kept])


def _union_costs(motion: np.ndarray, metric: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(K,) of pairs `first`, `second` (K,) of bodies: motion (B, T, 4, 4), metric (B, 6, 6)."""
    twists, across = _twists(motion[first], motion[second])
    own = across @ np.linalg.inv(metric[first]) @ np.swapaxes(across, -1, -2)
    parallel = np.linalg.inv(np.linalg.inv(metric[second]) + own)
    return np.einsum("kti,kij,ktj->k", twists, parallel, twists, optimize=True)


def _united(
    first: np.ndarray, second: np.ndarray, metric_first: np.ndarray, metric_second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Motion (T, 4, 4) and metric (6, 6) of a union, in the first body's frame: both give way as little as they may."""
    twists, across = _twists(first, second)
    pulled = across.T @ metric_second
    metric = metric_first + pulled @ across
    return first @ exponential(np.linalg.solve(metric, pulled @ twists.T).T), metric


def _twists(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How the second body moves against the first: twists (..., T, 6) off the mean, in the second's frame.

    And what takes a twist in the first body's frame there, (..., 6, 6).
    """
    relative = inverse(first) @ second
    back = inverse(mean_motion(relative))
    return logarithm(back[..., None, :, :] @ relative), adjoint(back)


def body_criterion(steps: Sequence[Union], frames: int, noise: float) -> np.ndarray:
    """The Bayesian information criterion (P,) after 0, 1, ... steps, less a constant.

    Misfit / noise^2 + log(n) * (numbers that describe it): a body more takes at the least the value of a hinge in every
    frame, and what places it on the other.

    Args:
        noise: rms shift of a part's surface, world units, by which poses are off (`DIMENSIONS`).
    """
    misfit = np.concatenate([[0.0], np.cumsum([step.cost for step in steps])])
    bodies = np.arange(len(steps) + 1, 0, -1)
    numbers = (bodies - 1) * (frames + CONSTANTS["revolute"])
    samples = DIMENSIONS * frames * len(bodies)
    return DIMENSIONS * misfit / noise**2 + np.log(samples) * numbers


def body_centers(body_of_part: np.ndarray, part_centers: np.ndarray, semi_axes: np.ndarray) -> np.ndarray:
    """Centre of each body, its parts weighted by volume: (P,), (..., P, 3), (P, 3) -> (..., B, 3)."""
    bodies = np.arange(body_of_part.max() + 1)
    member = (body_of_part == bodies[:, None]) * np.prod(semi_axes, axis=1)
    return (member / member.sum(axis=1, keepdims=True)) @ np.asarray(part_centers, float)


def largest_parts(body_of_part: np.ndarray, semi_axes: np.ndarray) -> np.ndarray:
    """(B,) the part of the largest volume in each body: it stands for the body. body_of_part (P,), semi_axes (P, 3)."""
    volume = np.prod(semi_axes, axis=1)
    return np.where(body_of_part == np.arange(body_of_part.max() + 1)[:, None], volume, -1.0).argmax(axis=1)
