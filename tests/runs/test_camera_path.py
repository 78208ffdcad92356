"""What the commands share: zooming cameras, and the example of a pose file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tiny_scene import ring, view_matrix

from wim_fast.model.motion import Motion
from wim_fast.posing.joints.motion import JointMotion
from wim_fast.posing.pose_file import read_pose_file
from wim_fast.posing.skeleton import Skeleton
from wim_fast.recordings.cameras import Cameras, project
from wim_fast.runs.camera_path import FILL, fitted, zoomed
from wim_fast.runs.joints import JointList, example_pose
from wim_fast.runs.trained_model import extreme_points


@pytest.mark.parametrize("far", [0.0, 5.0])
def test_zoomed_cameras_show_all_of_the_parts(far: float) -> None:
    """Dense points of the surfaces lie inside, and nearly touch one pair of sides of the frame."""
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    T = np.stack([flip @ view_matrix(eye, np.zeros(3)).T for eye in ring(4, distance=4.0)])
    K = np.array([[50.0, 0, 30], [0, 50.0, 25], [0, 0, 1]])
    cameras = Cameras((0, 1, 2, 3), np.tile(K, (4, 1, 1)), T, 64, 48)
    rng = np.random.default_rng(0)
    pose = Motion(Rotation.random(5, random_state=0).as_matrix()[None], 0.3 * rng.normal(size=(1, 5, 3)))
    pose.translation[..., 2] += 0.1 * far  # off the middle of the pictures
    semi_axes = rng.uniform(0.05, 0.15, (5, 3))
    near = zoomed(cameras, extreme_points(pose, semi_axes))
    assert (near.width, near.height) == (64, 48)
    sphere = rng.normal(size=(5, 500, 3))
    sphere /= np.linalg.norm(sphere, axis=-1, keepdims=True)
    surface = np.einsum("pab,pnb->pna", pose.rotation[0], sphere * semi_axes[:, None])
    at = project(near, (surface + pose.translation[0][:, None]).reshape(-1, 3))[0] / [64, 48]
    assert at.min() > 0
    assert at.max() < 1
    extent = np.ptp(at, axis=1).max(axis=-1)
    assert (extent > 0.9 * FILL).all()


def test_fitted_cameras_keep_a_point_in_the_middle_and_all_in_sight() -> None:
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    T = np.stack([flip @ view_matrix(eye, np.zeros(3)).T for eye in ring(6, distance=3.0)])
    K = np.array([[90.0, 0, 10], [0, 90.0, 5], [0, 0, 1]])
    cameras = Cameras(tuple(range(6)), np.tile(K, (6, 1, 1)), T, 40, 60)
    points = np.random.default_rng(0).uniform(-1, 1, (50, 3))
    found = fitted(cameras, points)
    assert np.ptp(found.intrinsics, axis=0).max() == pytest.approx(0)
    np.testing.assert_allclose(project(found, np.zeros(3))[0], np.tile([20.0, 30.0], (6, 1)), atol=1e-9)
    away = np.abs(project(found, points)[0] / [40, 60] - 0.5)
    assert away.max() == pytest.approx(0.5 * FILL)


def test_the_example_can_be_read(tmp_path: Path) -> None:
    """Half of what was seen, about the main axis; a lone part turns as a whole."""
    still = Motion(np.tile(np.eye(3), (5, 3, 1, 1)), np.zeros((5, 3, 3)))
    skeleton = Skeleton("body", np.arange(3), np.array([[0, 1], [1, 2]]), np.zeros((5, 2, 3)), still, 1)
    turns = {0: JointMotion((0.0, 0.6, 0.8), -10.0, 50.0), 2: JointMotion((1.0, 0.0, 0.0), -1.0, 1.0)}
    (tmp_path / "pose.yaml").write_text(example_pose(JointList(4, skeleton, turns), 3))
    pose = read_pose_file(tmp_path / "pose.yaml", 3, 5)
    assert (pose.root, pose.frame, pose.what, pose.parts_found) == (1, 4, "body", 3)
    assert [turn.node for turn in pose.rotations] == [0, 2]
    assert pose.rotations[0].axis_angle == pytest.approx((0, 15, 20))
    assert pose.rotations[1].axis_angle == pytest.approx((30, 0, 0))  # hardly turned: something to be seen
    alone = Skeleton("part", np.zeros(1, int), np.zeros((0, 2), int), np.zeros((1, 0, 3)), still.at([0]), 0)
    (tmp_path / "lone.yaml").write_text(example_pose(JointList(0, alone, {})))
    lone = read_pose_file(tmp_path / "lone.yaml", 1, 1)
    assert (lone.what, [turn.node for turn in lone.rotations]) == ("part", [0])
