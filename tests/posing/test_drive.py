"""Driving: Procrustes and the linear map against independent solutions, unseen poses of synthetic objects."""

from __future__ import annotations

import numpy as np
import pytest
from driven_chain import articulated, moving_points
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from wim_fast.posing.drive import MAX_POINTS, drive, drive_as_published, fit_drive, part_poses, procrustes
from wim_fast.posing.regression import fit_linear_map, part_points


def angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees."""
    return np.degrees(Rotation.from_matrix((np.swapaxes(a, -1, -2) @ b).reshape(-1, 3, 3)).magnitude())


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), num_points=st.integers(3, 8), noise=st.sampled_from([0.0, 0.1, 2.0]))
def test_procrustes_is_scipys(seed: int, num_points: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(num_points, 3))
    target = source @ Rotation.random(random_state=seed).as_matrix().T + noise * rng.normal(size=source.shape)
    ours = procrustes(source, target)
    expected, _ = Rotation.align_vectors(target, source)
    np.testing.assert_allclose(ours, expected.as_matrix(), atol=1e-6)
    assert np.linalg.det(ours) == pytest.approx(1.0)


def test_procrustes_never_mirrors() -> None:
    source = np.vstack([np.eye(3), -np.eye(3)]) * [0.3, 0.2, 0.1]
    mirrored = np.stack([source * [1, 1, -1], source])
    rotation = procrustes(source, mirrored)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0)
    np.testing.assert_allclose(rotation[1], np.eye(3), atol=1e-12)


@pytest.mark.parametrize(("frames", "count"), [(20, 5), (3, 40)])  # primal and dual
@pytest.mark.parametrize("ridge", [0.5, 1e-3])
def test_linear_map_minimises_its_objective(frames: int, count: int, ridge: float) -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(frames, count, 3)), rng.normal(size=(frames, 4, 3))
    weights = fit_linear_map(source, target, ridge)
    residual = weights @ source - target  # the gradient, frame by frame
    gradient = sum(residual[t] @ source[t].T for t in range(frames)) + ridge * weights
    np.testing.assert_allclose(gradient, 0.0, atol=1e-9)


def test_linear_map_without_ridge() -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(size=(4, 5))
    source = rng.normal(size=(9, 5, 3))
    np.testing.assert_allclose(fit_linear_map(source, true @ source, 0.0), true, atol=1e-12)
    few = fit_linear_map(source[:1], true @ source[:1], 0.0)  # 3 equations for 5 unknowns
    expected = (true @ source[0]) @ np.linalg.pinv(source[0])
    np.testing.assert_allclose(few, expected, atol=1e-12)


def test_part_points_are_centre_then_candidates() -> None:
    scene = articulated(4, 0, num_links=2)
    points = part_points(scene["rotation"], scene["translation"], scene["semi_axes"])
    assert points.shape == (4, 14, 3)
    np.testing.assert_allclose(points[:, 7], scene["translation"][:, 1])
    offset = 0.75 * scene["semi_axes"][1, 2] * scene["rotation"][:, 1, :, 2]
    np.testing.assert_allclose(points[:, 7 + 1 + 4], scene["translation"][:, 1] + offset)


@pytest.mark.parametrize("travel", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_points_on_every_link_give_unseen_poses(seed: int, travel: bool) -> None:
    scene = articulated(80, seed, travel=travel)
    train, test = slice(0, 60), slice(60, 80)
    fit = fit_drive(scene["points"][train], moving_points(scene)[train])
    rotation, translation = part_poses(drive(fit, scene["points"][test]), scene["semi_axes"])
    assert np.linalg.norm(translation - scene["translation"][test], axis=-1).max() < 0.01
    assert angle_between(rotation, scene["rotation"][test]).mean() < 1.5
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0)


def test_driven_poses_follow_when_the_whole_object_is_moved() -> None:
    """Motion of the whole object is exact: the map takes vectors about the points' centroid to such."""
    scene = articulated(40, 4, travel=True)
    points = scene["points"]
    fit = fit_drive(points, moving_points(scene))
    assert not fit.world_axes
    turn, shift = Rotation.random(random_state=0).as_matrix(), np.array([5.0, -3.0, 2.0])
    old_rotation, old_translation = part_poses(drive(fit, points), scene["semi_axes"])
    moved = drive(fit, points @ turn.T + shift)
    new_rotation, new_translation = part_poses(moved, scene["semi_axes"])
    np.testing.assert_allclose(new_rotation, turn @ old_rotation, atol=1e-9)
    np.testing.assert_allclose(new_translation, old_translation @ turn.T + shift, atol=1e-9)


def test_joints_alone_get_help_from_hinge_axes() -> None:
    errors = []
    for seed in range(3):
        scene = articulated(80, seed)
        train, test = slice(0, 60), slice(60, 80)
        fit = fit_drive(scene["joints"][train], moving_points(scene)[train])
        _, translation = part_poses(drive(fit, scene["joints"][test]), scene["semi_axes"])
        plain = fit_linear_map(scene["joints"][train], scene["translation"][train])
        linear = np.linalg.norm(plain @ scene["joints"][test] - scene["translation"][test], axis=-1)[
            :, :-1
        ].mean()
        ours = np.linalg.norm(translation - scene["translation"][test], axis=-1)[:, :-1].mean()
        errors.append((ours, linear))
        assert fit.world_axes or len(fit.triples)
    ours, linear = np.mean(errors, axis=0)
    assert ours < 0.7 * linear


def test_many_more_points_than_frames() -> None:
    scene = articulated(12, 5)
    rng = np.random.default_rng(5)
    dense = rng.dirichlet(np.ones(35), size=2000) @ scene["points"]
    fit = fit_drive(dense, moving_points(scene))
    assert len(fit.chosen) == MAX_POINTS
    assert (fit.chosen[0], fit.chosen[-1]) == (0, 1999)
    _, translation = part_poses(drive(fit, dense), scene["semi_axes"])
    assert np.linalg.norm(translation - scene["translation"], axis=-1).mean() < 0.02


@pytest.mark.parametrize("count", [30, 400])  # fewer and more than the 36 equations for each part point
def test_driving_as_published(count: int) -> None:
    """The normal equations of eq. 15 by an inverse, Procrustes by scipy: absolute coordinates, nothing else."""
    scene = articulated(16, 7, travel=True)
    rng = np.random.default_rng(7)
    points = rng.dirichlet(np.ones(35), size=count) @ scene["points"] + np.array([3.0, -1.0, 0.5])
    R, t, axes = scene["rotation"] @ np.eye(3), scene["translation"] + [3.0, -1.0, 0.5], scene["semi_axes"]
    train = slice(0, 12)
    moving = part_points(R[train], t[train], axes)
    rotation, translation = part_poses(drive_as_published(points, points[train], moving, 0.5), axes)
    V = np.concatenate(list(np.swapaxes(points[train], 1, 2)))  # (36, M)
    inverse = np.linalg.inv(V.T @ V + 0.5 * np.eye(count)) @ V.T
    for part in range(len(axes)):
        offsets = np.concatenate([np.zeros((1, 3)), np.diag(axes[part]), -np.diag(axes[part])]) * 0.75
        P = t[:, part, None] + offsets @ np.swapaxes(R[:, part], -1, -2)  # (T, 7, 3)
        X = inverse @ np.concatenate(list(np.swapaxes(P[train], 1, 2)))  # (M, 7)
        for frame in (0, 15):
            moved = X.T @ points[frame]
            np.testing.assert_allclose(translation[frame, part], moved[0], atol=1e-6)
            expected, _ = Rotation.align_vectors(moved[1:] - moved[0], offsets[1:])
            np.testing.assert_allclose(rotation[frame, part], expected.as_matrix(), atol=1e-5)


def test_fit_drive_refuses_what_does_not_fit() -> None:
    scene = articulated(10, 6)
    moving = moving_points(scene)
    with pytest.raises(ValueError, match="T=10"):
        fit_drive(scene["points"][:9], moving)
    with pytest.raises(ValueError, match="NaN"):
        fit_drive(np.where(np.arange(3) == 0, np.nan, scene["points"]), moving)
