"""A short real training from pictures alone, judged on a camera and by joints that it has not seen."""

import dataclasses

import numpy as np
import pytest
import torch
from arm_scene import NUM_TRAIN, arm_scene

from wim_fast.config import Config
from wim_fast.evaluation.joints import joint_error
from wim_fast.ops.backend import select_backend
from wim_fast.posing.regression import part_points
from wim_fast.rendering.image import render_image
from wim_fast.training.trainer import Trainer

STEPS = 500


@pytest.fixture(scope="module")
def scene():
    return arm_scene()


@pytest.fixture(scope="module")
def trainer(scene):
    config = Config()
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, parts=5, hash_log2_entries=13),
        render=dataclasses.replace(config.render, images_per_step=8, rays_per_image=96),
    )
    seen = scene.select(cameras=range(NUM_TRAIN))
    trainer = Trainer(seen, config, STEPS, select_backend("numba"))
    for _ in range(STEPS):
        trainer.train_step()
    return trainer


@torch.no_grad()
def judge(trainer, scene, view):
    """PSNR on white and IoU of one camera over every third frame."""
    squared, intersection, union = [], 0, 0
    for frame in range(0, scene.num_frames, 3):
        posed = trainer.model.pose(torch.tensor([frame]), trainer.backend)
        image = render_image(trainer.model, posed, scene.cameras, view, trainer.inv_s, trainer.backend)
        rgba = scene.rgba[view, frame] / 255.0
        truth = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
        squared.append(((image.over(1.0) - truth) ** 2).mean())
        inside, mask = image.opacity > 0.5, scene.mask[view, frame] == 1
        intersection, union = intersection + (inside & mask).sum(), union + (inside | mask).sum()
    return -10 * np.log10(np.mean(squared)), intersection / union


def test_a_camera_that_was_not_trained_on(trainer, scene):
    psnr, iou = judge(trainer, scene, NUM_TRAIN)
    assert psnr > 28
    assert iou > 0.92


def test_seen_and_unseen_cameras_are_alike(trainer, scene):
    seen = np.mean([judge(trainer, scene, view)[0] for view in range(NUM_TRAIN)])
    assert seen - judge(trainer, scene, NUM_TRAIN)[0] < 1.5


@torch.no_grad()
def test_joints_follow_from_the_parts(trainer, scene):
    """A.10: regressed from every fourth frame, tested on the others; share of the arm's extent."""
    rotation, translation = trainer.model.trajectory(torch.arange(scene.num_frames))
    error = joint_error(
        part_points(rotation.numpy(), translation.numpy(), trainer.model.semi_axes.numpy()),
        scene.ground_truth.joints,
        fit_every=4,
    )
    assert error.error < 0.012
    assert error.error < 0.2 * error.error_mean_pose


@torch.no_grad()
def test_the_tree_is_a_chain_along_the_arm(trainer, scene):
    """Joined parts touch: their joint lies within both, and no edge skips a link from base to tip."""
    model = trainer.model
    _, translation = model.trajectory(torch.arange(scene.num_frames))
    shoulder, elbow, tip = torch.from_numpy(scene.ground_truth.joints).unbind(1)
    link = torch.stack(
        [
            (translation - p[:, None]).norm(dim=-1).mean(0)
            for p in (
                torch.tensor([[0, 0, -0.3]]).expand_as(shoulder),
                (shoulder + elbow) / 2,
                (elbow + tip) / 2,
            )
        ]
    ).argmin(0)  # which of base, upper and lower link each part belongs to
    assert set(link.tolist()) == {0, 1, 2}
    for i, j in model.joints.edges.tolist():
        assert abs(int(link[i]) - int(link[j])) <= 1
