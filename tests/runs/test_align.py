"""Cameras fitted to pictures that the model itself made: then it is known where they are."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from arm_scene import arm_scene, with_images
from arm_snapshot import INV_S, arm_snapshot

from wim_fast.config import Config, replace
from wim_fast.model.motion import posed_at
from wim_fast.ops.cameras.reference import rotation_about
from wim_fast.recordings.cameras import project
from wim_fast.rendering.image import render_image
from wim_fast.runs.align import aligned_cameras

FRAMES = 4


@pytest.fixture(scope="module")
def filmed():
    """A model, and a scene of what its cameras see of it."""
    snapshot = arm_snapshot()
    scene = arm_scene(size=64, frames=FRAMES, oversampling=1).select([0, 1])
    rgba = scene.rgba[:]
    for v in range(2):
        for t in range(FRAMES):
            posed = posed_at(snapshot.model, snapshot.motion, t)
            rgba[v, t] = render_image(snapshot.model, posed, scene.cameras, v, INV_S, snapshot.backend).rgba()
    run = SimpleNamespace(
        model=snapshot.model,
        backend=snapshot.backend,
        inv_s=INV_S,
        background=1.0,
        config=replace(Config(), parts=3),
    )
    return run, snapshot, with_images(scene, rgba, (rgba[..., 3] > 127).astype(np.uint8))


def rms(cameras, true, points):
    """(V,) pixels between where two sets of cameras see points."""
    return np.sqrt(((project(cameras, points)[0] - project(true, points)[0]) ** 2).sum(-1).mean(1))


def test_a_turned_camera_is_found_and_others_stay(filmed):
    import torch

    run, snapshot, scene = filmed
    true = scene.cameras
    T = true.T_camera_world.copy()
    T[0, :3] = rotation_about(torch.tensor([0.008, -0.006, 0.01], dtype=torch.float64)).numpy() @ T[0, :3]
    given = dataclasses.replace(true, T_camera_world=T)
    wrong = dataclasses.replace(scene, cameras=given)
    points = snapshot.motion.translation[:FRAMES].reshape(-1, 3)
    assert rms(given, true, points)[0] > 1.2

    def posed(frame, camera):
        return posed_at(snapshot.model, snapshot.motion, frame)

    found = aligned_cameras(run, wrong, posed, [given.ids[0]])
    assert rms(found, true, points)[0] < 0.25
    np.testing.assert_array_equal(found.T_camera_world[1], given.T_camera_world[1])
