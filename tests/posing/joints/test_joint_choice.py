"""Kinds of joints, their axes and values, from motions whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from moving_joints import chain

from wim_fast.posing.joints.choice import choose_joints
from wim_fast.posing.joints.mechanism import part_poses, stage_frames

NOISE = 0.002


def axis_error(found: np.ndarray, truth: np.ndarray) -> float:
    """Degrees between lines (T, 3), rms."""
    cosine = np.clip(np.abs((found * truth).sum(axis=1)), 0, 1)
    return float(np.degrees(np.sqrt((np.arccos(cosine) ** 2).mean())))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", ["fixed", "revolute", "prismatic", "universal", "ball"])
def test_every_kind_is_known_by_its_motion(kind, seed: int) -> None:
    poses, tree, axes = chain([kind], seed, noise=NOISE)
    mechanism, _ = choose_joints(poses, tree)
    assert mechanism.kinds == ("fixed", kind)  # the base stands still
    joint, frames = mechanism.joints[1], stage_frames(mechanism, len(poses.parts))[1]
    for k in range(axes[0].shape[1]):
        assert axis_error(frames[k + 1][:, :3, 2], axes[0][:, k]) < (5 if kind == "universal" else 3)
    if kind == "revolute":
        span = np.ptp(joint.values())
        relative = np.linalg.inv(poses.parts[0, 1]) @ poses.parts[:, 1]
        assert span > 0.3
        assert len(relative) == len(joint.values())
    error = part_poses(mechanism, len(poses.parts))[..., :3, 3] - poses.parts[..., :3, 3]
    assert np.sqrt((error**2).sum(-1).mean()) < 3 * NOISE


def test_a_chain_of_different_joints() -> None:
    poses, tree, _ = chain(["revolute", "fixed", "ball"], seed=5, noise=NOISE)
    assert choose_joints(poses, tree)[0].kinds == ("fixed", "revolute", "fixed", "ball")


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_few_frames(frames: int) -> None:
    poses, tree, _ = chain(["revolute"], seed=2, frames=frames, noise=NOISE)
    mechanism, _ = choose_joints(poses, tree)
    assert mechanism.kinds[1] == ("fixed" if frames == 1 else "revolute")
    assert np.isfinite(part_poses(mechanism, frames)).all()


def test_a_part_alone_has_a_root_only() -> None:
    poses, tree, _ = chain([], seed=0)
    assert choose_joints(poses, tree)[0].kinds == ("fixed",)
