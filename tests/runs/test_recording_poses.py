"""Poses in all frames of a recording: learned, or driven by its true points."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from wim_fast.config import Config, ModelConfig
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.motion import Motion, learned_motion
from wim_fast.ops.backend import select_backend
from wim_fast.posing.drive import drive_as_published, part_poses
from wim_fast.posing.regression import part_points
from wim_fast.recordings.recording import GroundTruth
from wim_fast.runs.recording_poses import RecordingPoses, published_driver
from wim_fast.runs.trained_model import TrainedModel
from wim_fast.scene.scene import SceneContents


def recording(frames: int, truth: GroundTruth | None) -> SceneContents:
    return SceneContents(Path("recording"), (0, 1), tuple(range(frames)), truth)


def test_recording_poses() -> None:
    """The parts themselves as driving points: driven frames lie where the trajectory is drawn on."""
    torch.manual_seed(0)
    model = ArticulatedModel(ModelConfig(parts=3, pose_width=16, hash_log2_entries=6), num_frames=30)
    model.requires_grad_(False)
    motion = learned_motion(model)
    rng = np.random.default_rng(0)
    local = 0.3 * rng.normal(size=(3, 4, 3))
    points = np.einsum("tpab,pnb->tpna", motion.rotation, local) + motion.translation[:, :, None]
    points = points.reshape(30, 12, 3)
    later = np.concatenate([points, points[10:15] + np.array([0.5, 0.0, 0.0])])
    run = TrainedModel(
        path=Path("run"),
        config=Config(),
        model=model,
        backend=select_backend("numba"),
        inv_s=90.0,
        frame_ids=tuple(range(30)),
        camera_ids=(0, 1),
        coordinate_scale=1.0,
        step=1,
        iterations=1,
    )
    poses = RecordingPoses(run, recording(35, GroundTruth(None, later.astype(np.float32))))
    assert poses.driver is not None
    assert poses.driver.name == "points"
    learned, driven = poses.posed(12, 0), poses.posed(32, 0)
    np.testing.assert_allclose(
        driven.translation.numpy(), learned.translation.numpy() + np.array([0.5, 0, 0]), atol=0.02
    )
    np.testing.assert_allclose(driven.rotation.numpy(), learned.rotation.numpy(), atol=0.05)
    assert poses.driving()["held_out_error"] < 0.02
    assert poses.joint_error() is None  # no joints

    still = RecordingPoses(run, recording(35, None))
    assert still.driver is None
    with pytest.raises(ValueError, match="not trained on"):
        still.posed(31, 0)


def test_driven_as_published_whatever_a_world_unit_is() -> None:
    """Lambda 0.5 (points) and 0.1 (joints) are for metres / 1.5: a run at another scale gives the same poses."""
    rng = np.random.default_rng(1)
    rotation = Rotation.random(24, random_state=1).as_matrix().reshape(12, 2, 3, 3)
    translation, points = rng.normal(size=(12, 2, 3)), rng.normal(size=(15, 30, 3))
    axes = rng.uniform(0.1, 0.3, size=(2, 3))
    for name, ridge in (("points", 0.5), ("joints", 0.1)):
        moving = part_points(rotation, translation, axes)
        expected = part_poses(drive_as_published(points, points[:12], moving, ridge), axes)
        for scale, size in ((1.5, 1.0), (3.0, 0.5)):
            motion = Motion(rotation, size * translation)
            run = SimpleNamespace(
                motion=motion,
                coordinate_scale=scale,
                points_in=lambda m, a=size * axes: part_points(m.rotation, m.translation, a),
                motion_of=lambda moved, a=size * axes: Motion(*part_poses(moved, a)),
            )
            driver = published_driver(1.5)(run, name, size * points, range(12))
            np.testing.assert_allclose(driver.motion.rotation, expected[0], atol=1e-8)
            np.testing.assert_allclose(driver.motion.translation, size * expected[1], atol=1e-8)
