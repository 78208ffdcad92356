"""Rigid bodies among parts: which parts moved as one, and in what order others would follow.

A body is a motion and a metric: twist^T metric twist is the squared shift of its surface. Two bodies that are to move
as one must give way to each other, and do so by the least squared shift of both: the union's metric is the sum of
theirs. What a union costs is how much of what is seen changes by it. So parts are united one pair after another, that
which costs least first: Ward's clustering (1963), of motions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple, Protocol

import numpy as np

from wim_fast.posing.rigid import (
    adjoint,
    carried,
    exponential,
    inverse,
    logarithm,
    mean_motion,
    moved,
)


class Moved(NamedTuple):
    """Parts that move otherwise than they were learned, n of P."""

    parts: list[int]
    poses: np.ndarray  # (T, n, 4, 4) part to world


class Trial(NamedTuple):
    """What comes of moving some parts so, the others as they did when it was judged. `state` is what a judge keeps of it."""

    cost: float
    state: Any


class Judge(Protocol):
    """Tells how much changes if parts move otherwise, the others as they do by now."""

    def trials(self, moved: Sequence[Moved]) -> list[Trial]:
        """Of some motions, one at a time: how much more changes than now."""

    def take(self, trial: Trial) -> None:
        """Parts move so from now on."""


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
        cost: how much more changes than with two bodies.
    """

    pair: tuple[int, int]
    cost: float


class _Body(NamedTuple):
    parts: list[int]
    motion: np.ndarray  # (T, 4, 4)
    metric: np.ndarray  # (6, 6)

    def united_with(self, other: _Body) -> _Body:
        """Both as one."""
        united = _united(self.motion, other.motion, self.metric, other.metric)
        return _Body(self.parts + other.parts, *united)

    def moved(self, poses: np.ndarray) -> Moved:
        """Its parts at their mean places on it; `poses` (T, P, 4, 4) as they were learned."""
        return Moved(self.parts, carried(self.motion[:, None], poses[:, self.parts]))


def union_sequence(poses: np.ndarray, metric: np.ndarray, touching: np.ndarray, judge: Judge) -> list[Union]:
    """Parts united one pair after another, the cheapest of those that touch; where none does, the cheapest.

    A union with a third body is taken to cost no less than that of either with it, and is judged when no other can cost
    less.

    Args:
        poses: (T, P, 4, 4) part to world.
        metric: (P, 6, 6) positive definite.
        touching: (P, P) bool.

    Returns:
        P - 1 steps, down to one body.
    """
    bodies = {part: _Body([part], poses[:, part], metric[part]) for part in range(len(metric))}
    cost = dict.fromkeys(combinations(bodies, 2), 0.0)  # of each pair at the least
    near = {pair for pair in cost if touching[pair]}
    judged: dict[tuple[int, int], tuple[_Body, Trial]] = {}
    steps = []
    while cost:
        pair = min(near or cost, key=cost.__getitem__)
        if pair not in judged:
            alike = [other for other in near or cost if cost[other] == cost[pair] and other not in judged]
            new = [bodies[first].united_with(bodies[second]) for first, second in alike]
            trials = judge.trials([body.moved(poses) for body in new])
            judged |= zip(alike, zip(new, trials, strict=True), strict=True)
            cost |= {other: trial.cost for other, trial in zip(alike, trials, strict=True)}
            continue
        first, second = pair
        steps.append(Union(pair, cost.pop(pair)))
        near.discard(pair)
        bodies[first], trial = judged.pop(pair)
        judge.take(trial)
        del bodies[second]
        for other in bodies.keys() - {first}:
            kept, gone = ((min(body, other), max(body, other)) for body in pair)
            cost[kept] = max(cost[kept], cost.pop(gone))
            if gone in near:
                near.remove(gone)
                near.add(kept)
            judged.pop(kept, None)
            judged.pop(gone, None)
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


def body_centers(body_of_part: np.ndarray, part_centers: np.ndarray, semi_axes: np.ndarray) -> np.ndarray:
    """Centre of each body, its parts weighted by volume: (P,), (..., P, 3), (P, 3) -> (..., B, 3)."""
    bodies = np.arange(body_of_part.max() + 1)
    member = (body_of_part == bodies[:, None]) * np.prod(semi_axes, axis=1)
    return (member / member.sum(axis=1, keepdims=True)) @ np.asarray(part_centers, float)


def body_origins(motion: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Where bodies (T, B, 4, 4) carry the mean place of their centres (T, B, 3) on them: (T, B, 3)."""
    return moved(motion, moved(inverse(motion), centers).mean(axis=0))


def largest_parts(body_of_part: np.ndarray, semi_axes: np.ndarray) -> np.ndarray:
    """(B,) the part of the largest volume in each body: it stands for the body. body_of_part (P,), semi_axes (P, 3)."""
    volume = np.prod(semi_axes, axis=1)
    return np.where(body_of_part == np.arange(body_of_part.max() + 1)[:, None], volume, -1.0).argmax(axis=1)
