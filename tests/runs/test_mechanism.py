"""The mechanism of a tiny run: over all frames trained on, also where only some were learned from."""

from __future__ import annotations

import numpy as np
import pytest
from moving_joints import chain

from wim_fast import load_run
from wim_fast.posing.bodies import sequence as body_sequence
from wim_fast.posing.joints.choice import start_mechanism
from wim_fast.posing.joints.mechanism import part_poses, stage_frames
from wim_fast.posing.rigid import mean_places, rigid
from wim_fast.runs import mechanism as module


@pytest.mark.parametrize(("frames", "parts_found"), [(60, None), (4, None), (60, 3)])
def test_it_follows_the_learned_poses(tiny_run, monkeypatch, frames: int, parts_found: int | None) -> None:
    monkeypatch.setattr(body_sequence, "FRAMES", frames)
    run = load_run(tiny_run.path)
    fitted = module.fit_run(run, parts_found)
    learned = rigid(run.motion.rotation, run.motion.translation)
    nodes = learned if parts_found is None else run.bodies(parts_found).motion
    poses = part_poses(fitted.mechanism, len(run.frame_ids)) @ mean_places(nodes, learned)
    off = np.linalg.norm(poses[..., :3, 3] - run.motion.translation, axis=-1)
    assert np.sqrt((off**2).mean(axis=0)) == pytest.approx(fitted.shift_residual, rel=1e-2, abs=1e-4)
    assert fitted.surface_residual.max() < 3 * module.NOISE * run.config.for_masks().inv_s_pixels / run.inv_s
    assert (fitted.link_of_part <= len(run.semi_axes)).all()
    assert parts_found is None or (fitted.link_of_part == np.arange(parts_found)).all()
    assert fitted.mechanism.kinds[fitted.mechanism.tree.root] in ("fixed", "free")


def test_hinges_slide_to_the_joints_and_move_nothing() -> None:
    poses, tree, _ = chain(["revolute"] * 2, seed=1)
    mechanism = start_mechanism(poses, tree)
    frames = stage_frames(mechanism, len(poses.parts))[1]
    slid = module._at_the_joints(mechanism, poses.joints + 0.3 * frames[1][:, None, :3, 2])
    assert np.allclose(part_poses(slid, len(poses.parts)), part_poses(mechanism, len(poses.parts)))
    moved = stage_frames(slid, len(poses.parts))[1][1][:, :3, 3] - frames[1][:, :3, 3]
    assert np.allclose(moved, 0.3 * frames[1][:, :3, 2], atol=0.02)
