"""A tiny snapshot to look at: three ellipsoids in two poses, one of them bent, seen by the cameras of a tiny recording."""

from __future__ import annotations

from pathlib import Path

import torch
from arm_scene import SEMI_AXES, arm_motion, arm_scene

from wim_fast.config import ModelConfig
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.motion import Motion
from wim_fast.ops.backend import select_backend
from wim_fast.recordings.cameras import Cameras
from wim_fast.viewer.inspect.snapshot import Snapshot

FRAMES = 4
INV_S = 150.0


def arm_snapshot() -> Snapshot:
    """The arm of `arm_scene` as a model knows it, with a field that moves the surface a little."""
    torch.manual_seed(0)
    motion = arm_motion(FRAMES)
    config = ModelConfig(parts=3, hash_log2_entries=8, decoder_width=16, residual_max=0.02, pose_width=16)
    model = ArticulatedModel(config, FRAMES)
    poses = torch.from_numpy(motion.rotation[0]).float(), torch.from_numpy(motion.translation[0]).float()
    model.start_at(*poses, torch.from_numpy(SEMI_AXES).float())
    with torch.no_grad():
        model.field.table.uniform_(-1, 1)
    model.requires_grad_(False)
    learned = Motion(motion.rotation, motion.translation)
    return Snapshot(model, select_backend("numba"), INV_S, learned, 1, "step 1 of 1")


def arm_cameras() -> Cameras:
    return arm_scene(size=24, frames=2, oversampling=1).cameras


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
