"""The joint error (A.10) on made-up motions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from wim_fast.evaluation.joints import joint_error, object_extent
from wim_fast.posing.regression import part_points


@pytest.fixture
def parts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four parts that tumble smoothly on their own for 60 frames."""
    rng = np.random.default_rng(0)
    time = np.linspace(0, 1, 60)[:, None, None]
    wave = np.sin(2 * np.pi * (time * rng.integers(1, 4, size=(4, 6)) + rng.uniform(size=(4, 6))))
    rotation = Rotation.from_rotvec(wave[..., :3].reshape(-1, 3)).as_matrix().reshape(60, 4, 3, 3)
    return rotation, rng.normal(size=(4, 3)) * 0.4 + 0.1 * wave[..., 3:], rng.uniform(0.05, 0.2, size=(4, 3))


def test_joints_fixed_to_parts_have_no_error(parts: tuple[np.ndarray, ...]) -> None:
    rotation, translation, semi_axes = parts
    local = np.random.default_rng(1).normal(size=(4, 3)) * 0.1
    joints = translation + np.einsum("tpab,pb->tpa", rotation, local)
    result = joint_error(part_points(rotation, translation, semi_axes), joints)
    assert result is not None
    assert result.error < 0.01
    assert result.error_least_norm < 1e-9
    assert result.error < result.error_mean_pose
    assert (result.num_fit_frames, result.num_test_frames) == (6, 54)
    assert result.to_dict()["error"] == result.error


def test_against_a_direct_computation(parts: tuple[np.ndarray, ...]) -> None:
    rotation, translation, semi_axes = parts
    joints = np.random.default_rng(2).normal(size=(60, 3, 3))
    cloud = np.random.default_rng(3).uniform(-1, 1, size=(60, 9, 3))
    result = joint_error(part_points(rotation, translation, semi_axes), joints, cloud)
    assert result is not None
    extent = np.mean([np.ptp(cloud[t], axis=0).max() for t in range(60)])
    assert result.extent == pytest.approx(extent)
    source = part_points(rotation, translation, semi_axes)
    a = np.concatenate([source[t].T for t in range(0, 60, 10)])  # 18 equations
    b = np.concatenate([joints[t].T for t in range(0, 60, 10)])
    test = [t for t in range(60) if t % 10]
    for ridge, ours in ((1e-3, result.error), (0.0, result.error_least_norm)):
        weights = np.linalg.pinv(np.vstack([a, np.sqrt(ridge) * np.eye(28)])) @ np.vstack(
            [b, np.zeros((28, 3))]
        )
        distance = [np.linalg.norm(weights.T @ source[t] - joints[t], axis=-1).mean() for t in test]
        assert ours == pytest.approx(np.mean(distance) / extent)
    mean = joints[::10].mean(axis=0)
    distance = [np.linalg.norm(mean - joints[t], axis=-1).mean() for t in test]
    assert result.error_mean_pose == pytest.approx(np.mean(distance) / extent)


def test_extent_is_the_objects_size_not_its_path() -> None:
    joints = np.array([[[0, 0, 0], [1, 0.2, 0]], [[5, 0, 0], [5, 2, 0]]], float)
    assert object_extent(joints) == pytest.approx(1.5)
    assert object_extent(joints, np.zeros((2, 0, 3))) == pytest.approx(1.5)
    assert object_extent(joints, 2 * joints) == pytest.approx(3.0)
    assert object_extent(joints[:, :1]) == 1.0


def test_too_little_to_judge(parts: tuple[np.ndarray, ...]) -> None:
    rotation, translation, semi_axes = parts
    assert joint_error(part_points(rotation[:1], translation[:1], semi_axes), np.zeros((1, 2, 3))) is None
    assert joint_error(part_points(rotation, translation, semi_axes), np.zeros((60, 0, 3))) is None
    assert joint_error(
        part_points(rotation[:2], translation[:2], semi_axes), np.random.default_rng(0).normal(size=(2, 2, 3))
    )
    with pytest.raises(ValueError, match="59 frames"):
        joint_error(part_points(rotation, translation, semi_axes), np.zeros((59, 2, 3)))
