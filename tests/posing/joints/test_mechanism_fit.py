"""Mechanisms of known joints: the fit finds what moved, holds what it is told, and its steps follow the gradient."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from moving_joints import chain

from wim_fast.posing.ellipsoids import surface_metric
from wim_fast.posing.joints.choice import start_mechanism
from wim_fast.posing.joints.fit import correlation_time, fit_mechanism, misfit, residuals
from wim_fast.posing.joints.mechanism import (
    Joint,
    Mechanism,
    bodies,
    held_offset,
    neighbourhood,
    part_of,
    part_poses,
    put_back,
    spread,
    zeroed,
)
from wim_fast.posing.joints.start import turning_point


@pytest.fixture
def hinges() -> tuple[Mechanism, np.ndarray, np.ndarray]:
    poses, tree, _ = chain(["revolute"] * 3, seed=3)
    mechanism, _ = fit_mechanism(start_mechanism(poses, tree), poses.parts, poses.metric, 60, 1e-9)
    return mechanism, poses.parts, poses.metric


def test_hinges_without_noise_are_found_exactly(hinges) -> None:
    mechanism, parts, metric = hinges
    assert misfit(mechanism, parts, metric).max() < 1e-12
    assert np.abs(residuals(mechanism, parts)).max() < 1e-5


def test_the_metric_is_the_shift_along_the_normal() -> None:
    ball, disc = surface_metric(np.array([[0.2, 0.2, 0.2], [0.3, 0.3, 0.01]]), tangent_weight=0.0)
    assert np.allclose(ball[3:, 3:], 0, atol=1e-6)  # no turn of a ball shows
    assert np.allclose(ball[:3, :3], np.eye(3) / 3, atol=0.01)
    assert disc[2, 2] > 0.9  # a disc that moves along its axis is seen to do so
    assert disc[5, 5] < 1e-3 * disc[3, 3]  # and to turn, unless about that axis


def test_the_point_that_stands_still() -> None:
    poses, _, _ = chain(["ball"], seed=0)
    relative = np.linalg.inv(poses.parts[:, 0]) @ poses.parts[:, 1]
    joint = np.concatenate([poses.joints[:, 0], np.ones((len(relative), 1))], axis=1)
    truth = (np.linalg.inv(poses.parts[:, 0]) @ joint[..., None])[:, :3, 0]
    in_parent, in_child = turning_point(relative, truth + 0.05, weight=1e-9)
    assert np.allclose(in_parent, truth[0], atol=1e-6)
    assert np.allclose(relative[:, :3, :3] @ in_child + relative[:, :3, 3], truth, atol=1e-6)


def test_zero_is_where_it_is_put(hinges) -> None:
    mechanism, parts, _ = hinges
    moved = zeroed(mechanism, 7)
    assert np.allclose(part_poses(moved, len(parts)), part_poses(mechanism, len(parts)))
    assert all(np.allclose(joint.values()[7], 0, atol=1e-9) for joint in moved.joints if joint.kind != "free")


def test_another_mount_moves_nothing_that_hangs_from_it(hinges) -> None:
    mechanism, parts, _ = hinges
    joint = mechanism.joints[1]
    shifted = joint.mount.copy()
    shifted[0, 3] += 0.1
    moved = mechanism.replaced(1, dataclasses.replace(joint, mount=shifted))
    before, after = (part_poses(m, len(parts)) for m in (mechanism, moved))
    relative = [np.linalg.inv(x[:, 1]) @ x[:, 2] for x in (before, after)]
    assert np.allclose(*relative)
    assert not np.allclose(before[:, 1], after[:, 1])


def test_a_window_and_back(hinges) -> None:
    mechanism, parts, _ = hinges
    around = neighbourhood(mechanism.tree, 3, reach=1)
    assert around.tolist() == [1, 2, 3]
    window = part_of(mechanism, around, len(parts))
    assert np.allclose(part_poses(window, len(parts)), part_poses(mechanism, len(parts))[:, around])
    again = put_back(mechanism, window, around)
    assert np.allclose(part_poses(again, len(parts)), part_poses(mechanism, len(parts)))


def test_values_alone_follow_new_frames(hinges) -> None:
    mechanism, parts, metric = hinges
    some = np.arange(0, len(parts), 4)
    nearest = np.abs(np.arange(len(parts))[:, None] - some).argmin(axis=1)
    rough = spread(mechanism, some[nearest])
    assert misfit(rough, parts, metric).sum() > 1e-3
    fitted, cost = fit_mechanism(rough, parts, metric, values_only=True)
    assert cost < 1e-9
    assert all(np.array_equal(a.offset, b.offset) for a, b in zip(fitted.joints, rough.joints, strict=True))


@pytest.mark.parametrize(("hold", "cosine"), [("perpendicular", 0.0), ("parallel", 1.0)])
def test_a_held_axis_stays_at_its_angle(hinges, hold, cosine: float) -> None:
    mechanism, parts, metric = hinges
    joint = mechanism.joints[2]
    held = dataclasses.replace(joint, offset=held_offset(joint.offset, hold), hold=hold)
    fitted, _ = fit_mechanism(mechanism.replaced(2, held), parts, metric, iterations=5)
    assert abs(abs(fitted.joints[2].offset[2, 2]) - cosine) < 1e-9


def test_a_fixed_joint_makes_one_body(hinges) -> None:
    mechanism, _, _ = hinges
    welded = Joint("fixed", np.eye(4), np.eye(4), np.eye(4), ())
    assert bodies(mechanism.replaced(2, welded)).tolist() == [0, 1, 1, 3]


def test_errors_that_last_are_worth_fewer_frames(hinges) -> None:
    mechanism, parts, metric = hinges
    rng = np.random.default_rng(0)
    shaken, drifting = parts.copy(), parts.copy()
    shaken[..., :3, 3] += 0.01 * rng.normal(size=parts[..., 0, :3].shape)
    drifting[..., :3, 3] += 0.01 * np.sin(np.linspace(0, 6, len(parts)))[:, None, None]
    assert correlation_time(mechanism, shaken, metric) < 1.5
    assert correlation_time(mechanism, drifting, metric) > 10
