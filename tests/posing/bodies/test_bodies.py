"""Bodies of known mechanisms: order, number and tree, with noise; the cost of a union against least squares."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from moving_parts import ShiftJudge, bodies_of
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from wim_fast.posing.bodies.sequence import BodySequence, pose_noise
from wim_fast.posing.bodies.unions import (
    Union,
    body_centers,
    largest_parts,
    union_sequence,
    united,
)
from wim_fast.posing.ellipsoids import part_contacts, surface_metric
from wim_fast.posing.rigid import exponential, inverse, logarithm, mean_motion, moved, rigid

FRAMES = 40
SEMI_AXES = np.array([0.16, 0.05, 0.05])


def limb(order: list[int], noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """A chain of three links of two parts each, 0.24 apart, that turn about the joints between them and drift.

    order: of the six parts. Poses (T, 6, 4, 4), semi-axes, and the link of each part.
    """
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 2 * np.pi, FRAMES)
    drift = rigid(
        Rotation.from_rotvec(0.3 * rng.normal(size=3) * np.sin(time)[:, None]).as_matrix(), np.zeros(3)
    )
    at, poses = drift, []
    for link in range(3):
        if link:
            turn = Rotation.from_rotvec(np.sin((link + 1) * time)[:, None] * [0.0, 0.5, 0.3]).as_matrix()
            at = at @ rigid(np.eye(3), np.array([0.48, 0.0, 0.0])) @ rigid(turn, np.zeros(3))
        for x in (0.12, 0.36):
            mount = rigid(
                Rotation.from_rotvec(rng.normal(size=3) * [1, 0, 0]).as_matrix(), np.array([x, 0, 0])
            )
            poses.append(at @ mount)
    learned = np.stack(poses, axis=1)[:, order]
    learned = learned @ exponential(noise * rng.normal(size=(FRAMES, 6, 6)))
    return learned, np.tile(SEMI_AXES, (6, 1)), [part // 2 for part in order]


def found(order: list[int], noise: float = 0.0) -> tuple[BodySequence, list[int]]:
    poses, semi_axes, link = limb(order, noise)
    return bodies_of(poses, semi_axes), link


@pytest.mark.parametrize("noise", [0.0, 0.003])
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [3, 0, 5, 1, 2, 4]])
def test_links_of_a_limb(order: list[int], noise: float) -> None:
    sequence, link = found(order, noise)
    bodies = sequence.at()
    assert bodies.count == sequence.proposed == 3
    same = np.array(link)[:, None] == link
    np.testing.assert_array_equal(bodies.body_of_part[:, None] == bodies.body_of_part, same)
    of_body = [link[parts[0]] for parts in bodies.parts()]
    assert {frozenset(of_body[b] for b in edge) for edge in bodies.edges.tolist()} == {
        frozenset((0, 1)),
        frozenset((1, 2)),
    }


def test_joints_are_where_links_meet() -> None:
    sequence, _ = found([0, 1, 2, 3, 4, 5])
    bodies = sequence.at()
    for edge, joint in zip(bodies.edges.tolist(), bodies.joints.swapaxes(0, 1), strict=True):
        upper = bodies.parts()[max(edge)][0]
        true = moved(sequence.poses[:, upper], np.array([-0.12, 0.0, 0.0]))
        np.testing.assert_allclose(joint, true, atol=0.01)


def test_any_number_can_be_asked_for() -> None:
    sequence, _ = found([0, 1, 2, 3, 4, 5], 0.003)
    for count in range(1, 7):
        bodies = sequence.at(count)
        assert (bodies.count, len(bodies.edges), bodies.joints.shape[1]) == (count, count - 1, count - 1)
        assert sorted(part for parts in bodies.parts() for part in parts) == list(range(6))
    assert sequence.criterion.shape == (6,)
    costs = np.array([step.cost for step in sequence.steps])
    assert (np.diff(costs) > -1e-12).all()
    np.testing.assert_allclose(
        sequence.criterion[::-1], np.arange(1, 7) + np.append(0, costs).cumsum()[::-1] / sequence.worth
    )


def test_what_never_moved_is_one_body() -> None:
    poses, semi_axes, _ = limb([0, 1, 2, 3, 4, 5])
    still = bodies_of(np.repeat(poses[:1], 10, axis=0), semi_axes)
    assert still.proposed == 1


def test_parts_that_do_not_touch_are_united_last() -> None:
    poses, semi_axes, _ = limb([0, 1, 2, 3, 4, 5])
    poses = poses[:, [0, 1, 0]]
    poses[:, 2] = rigid(np.eye(3), np.array([0.0, 5.0, 0.0])) @ poses[:, 2]
    touching = part_contacts(poses, semi_axes[:3]).touching
    assert touching.tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    far = poses[:, [0, 1, 0]]  # moves exactly as the first
    metric = surface_metric(semi_axes[:3])
    steps = union_sequence(far, metric, touching, ShiftJudge(far, metric))
    assert [step.pair for step in steps] == [(0, 1), (0, 2)]


@pytest.mark.parametrize(("noise", "bodies"), [(1e-6, 4), (1e-4, 3), (3e-4, 2)])
def test_a_body_must_be_worth_more_where_poses_are_worse(noise: float, bodies: int) -> None:
    sequence, _ = found([0, 1, 2, 3, 4, 5])
    steps = [Union((0, 1), cost) for cost in [noise] * 5 + [5e-4, 1e-3, 2e-3]]
    assert dataclasses.replace(sequence, steps=steps).proposed == bodies


def test_few_unions_are_judged() -> None:
    """Those with what was united only when they may be the cheapest."""
    poses, semi_axes, _ = limb([0, 1, 2, 3, 4, 5], 0.003)
    metric = surface_metric(semi_axes)
    judge = ShiftJudge(poses, metric)
    touching = part_contacts(poses, semi_axes).touching
    steps = union_sequence(poses, metric, touching, judge)
    assert judge.judged <= np.triu(touching, 1).sum() + 2 * len(steps)


@pytest.mark.parametrize(("frames", "parts"), [(40, 1), (1, 6), (1, 1)])
def test_of_one(frames: int, parts: int) -> None:
    poses, semi_axes, _ = limb([0, 1, 2, 3, 4, 5])
    bodies = bodies_of(poses[:frames, :parts], semi_axes[:parts]).at()
    assert bodies.count == 1
    assert bodies.joints.shape == (frames, 0, 3)


def test_cost_of_a_union_is_the_least_shift() -> None:
    """Against least squares over the common motion and the places on it."""
    rng = np.random.default_rng(1)
    poses = exponential(0.1 * rng.normal(size=(4, 2, 6)))
    poses[:, 1] = (
        poses[:, 0]
        @ exponential(np.array([0.3, 0, 0, 0, 0.2, 0]))
        @ exponential(0.01 * rng.normal(size=(4, 6)))
    )
    metric = surface_metric(np.array([[0.2, 0.1, 0.05], [0.1, 0.1, 0.3]]))
    step = union_sequence(poses, metric, np.ones((2, 2), bool), ShiftJudge(poses, metric))[0]
    roots = np.swapaxes(np.linalg.cholesky(metric), -1, -2)
    relative = mean_motion(inverse(poses[:, 0]) @ poses[:, 1])

    def residuals(x: np.ndarray) -> np.ndarray:
        body = poses[:, 0] @ exponential(x[6:].reshape(4, 6))
        places = np.stack([body, body @ relative @ exponential(x[:6])], axis=1)
        return np.einsum("pij,tpj->tpi", roots, logarithm(inverse(poses) @ places)).ravel()

    assert step.cost == pytest.approx(2 * least_squares(residuals, np.zeros(30)).cost / 4, rel=0.02)
    bodies = united(poses, metric, [step])
    assert bodies.metric.shape == (1, 6, 6)
    assert bodies.body_of_part.tolist() == [0, 0]


def test_a_hidden_part_goes_with_what_hides_it() -> None:
    poses, semi_axes, _ = limb([0, 1, 2, 3, 4, 5])
    inside = poses[:, 5] @ exponential(0.01 * np.random.default_rng(0).normal(size=(FRAMES, 6)))  # it rattles
    poses = np.concatenate([poses, inside[:, None]], axis=1)
    axes = np.concatenate([semi_axes, 0.02 * np.ones((1, 3))])
    assert part_contacts(poses, axes).exposed[6] == 0
    bodies = bodies_of(poses, axes).at()
    assert bodies.count == 3
    assert bodies.body_of_part[6] == bodies.body_of_part[5]


def test_of_bodies() -> None:
    body_of_part = np.array([0, 1, 0, 2])
    axes = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 3], [1, 1, 1]])
    centers = body_centers(body_of_part, np.arange(12.0).reshape(4, 3), axes)
    np.testing.assert_allclose(centers[0], 0.25 * np.array([0, 1, 2]) + 0.75 * np.array([6, 7, 8]))
    np.testing.assert_allclose(centers[1:], [[3, 4, 5], [9, 10, 11]])
    assert largest_parts(body_of_part, axes).tolist() == [2, 1, 3]
    assert pose_noise(150.0, 1.5, pixels=0.5) == pytest.approx(0.005)
    assert Union((0, 1), 2.0).pair == (0, 1)
