"""Cameras that were not trained on, fitted to their own pictures while the model stays as it is.

Where the calibration of a camera is wrong, its views are judged worse than they are: the picture is right, but shifted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from wim_fast import config as config_module
from wim_fast.model.articulated_model import Posed
from wim_fast.ops.march.reference import MAX_SAMPLES_PER_RAY
from wim_fast.recordings.cameras import Cameras
from wim_fast.rendering.rays import sample_rays
from wim_fast.runs.trained_model import TrainedModel
from wim_fast.scene.scene import Scene
from wim_fast.training.adamw import AdamW
from wim_fast.training.batch import Batch, TrainingImages
from wim_fast.training.trainer import camera_corrections

STEPS = 60  # for each camera
IMAGES, RAYS = 4, 256  # of a step
FIRST_RATE, LAST_RATE = 0.1, 0.005  # in what is usual of each number, about a pixel


def aligned_cameras(
    run: TrainedModel, scene: Scene, posed: Callable[[int, int], Posed], ids: Sequence[int]
) -> Cameras:
    """The cameras of a scene, those of `ids` fitted to the scene's pictures. Each one is fitted alone.

    Args:
        posed: the pose (F = 1) at a position among the scene's frames that a camera (id) shows.
    """
    chosen = scene.select(ids)
    config = config_module.replace(run.config, pyramid=False)  # pictures as they are alone
    images = TrainingImages(chosen, config, run.backend.device)
    corrections = camera_corrections(chosen, images, np.zeros(chosen.num_cameras))
    corrections.free()
    optimizer = AdamW([{"params": [corrections.calibration]}], lr=FIRST_RATE)
    steps = STEPS * len(chosen.cameras)
    decay = (LAST_RATE / FIRST_RATE) ** (1 / steps)
    generator = torch.Generator(images.device).manual_seed(0)
    poses = [[posed(t, camera) for t in range(chosen.num_frames)] for camera in chosen.cameras.ids]
    with run.backend.computing():
        for _ in range(steps):
            camera, frame = (
                torch.randint(count, (IMAGES,), generator=generator, device=images.device)
                for count in (images.num_cameras, images.num_frames)
            )
            learned = corrections()
            cameras = images.cameras.corrected(learned.numbers, run.backend.corrected_cameras)
            batch = images.draw(camera, frame, RAYS, generator, run.backend, cameras)
            seen = [poses[v][t] for v, t in zip(camera.tolist(), frame.tolist(), strict=True)]
            loss = _loss(run, batch, _together(seen)) + 1e-4 * learned.prior
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            optimizer.param_groups[0]["lr"] *= decay
    return corrections.found(chosen.cameras.ids).corrected(scene.cameras)


def _together(posed: Sequence[Posed]) -> Posed:
    """Several poses of a model as one."""
    rotation, translation = (
        torch.cat([getattr(p, name) for p in posed]) for name in ("rotation", "translation")
    )
    return posed[0]._replace(rotation=rotation, translation=translation)


def _loss(run: TrainedModel, batch: Batch, posed: Posed) -> Tensor:
    """() how much the model differs from the pictures along a batch's rays."""
    model, inv_s, rays = run.model, torch.tensor(run.inv_s, device=run.backend.device), batch.rays
    jitter = torch.full((len(batch.alpha),), 0.5, device=run.backend.device)
    room = MAX_SAMPLES_PER_RAY * len(jitter) if run.backend.needs_capacity else None
    samples = sample_rays(posed, rays, jitter, model.field.residual_max, inv_s, run.backend, room)
    sdf, rgb, *_ = model.evaluate(samples.points, samples.pose_ids, posed, run.backend)
    seen = run.backend.composite(sdf, rgb, samples.t, samples.offsets, inv_s)
    background = torch.full((1, 3), run.background, device=run.backend.device)
    counted = len(batch.alpha), len(batch.alpha)
    found = run.backend.image_losses(
        seen.rgb, seen.opacity, batch.rgb, batch.alpha, batch.weight, background, 0.0, *counted
    )
    return found.photo + found.mask
