"""Pictures of a baseline in training: what was filmed, and what it renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from wim_fast.baselines.trainer import BaselineTrainer
from wim_fast.compositing import over_uint8
from wim_fast.drawing.images import enlarge
from wim_fast.drawing.sheets import grid
from wim_fast.drawing.views import DRAWING_SIZE
from wim_fast.scene.scene import Scene
from wim_fast.training.preview import captions, frame_shown


@torch.no_grad()
def preview_picture(
    trainer: BaselineTrainer, views: Scene, trained_positions: Sequence[int], rows: Mapping[str, int]
) -> np.ndarray:
    """As `training.preview.preview_picture`."""
    model, background = trainer.model, trainer.config.scene.background_grey
    model.finish(trainer.images)
    frame = frame_shown(trainer, trained_positions)
    moment = torch.tensor([float(trained_positions[frame])], device=trainer.backend.device)
    points = model.points(moment)[0].double().cpu().numpy()
    pictures = []
    for camera in rows.values():
        both = views.rgba[camera, frame], model.image(points, views.cameras, camera).rgba()
        plain = [over_uint8(picture, background) for picture in both]
        pictures.append([enlarge(picture, DRAWING_SIZE, smooth=True) for picture in plain])
    return grid(pictures, ("filmed", "rendered"), captions(trainer, rows, views.frame_ids[frame]))
