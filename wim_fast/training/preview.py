"""Pictures of a model in training: what was filmed, what it renders, its parts, and its joints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from wim_fast.compositing import over_uint8
from wim_fast.drawing.images import enlarge, enlarge_to
from wim_fast.drawing.sheets import grid
from wim_fast.drawing.views import DRAWING_SIZE, View
from wim_fast.model.motion import learned_motion, posed_at
from wim_fast.scene.scene import Scene
from wim_fast.training.learner import Learner
from wim_fast.training.trainer import Trainer

COLUMNS = ("filmed", "rendered", "parts", "joints")
MOST_PIXELS = 512  # of the longer side of a picture: training waits for it


def preview_picture(
    trainer: Trainer, views: Scene, trained_positions: Sequence[int], rows: Mapping[str, int]
) -> np.ndarray:
    """(H, W, 3) uint8: a row for each view, in the middle of the frames that are in use, at most `MOST_PIXELS` a side.

    Args:
        views: some cameras and frames of the recording.
        trained_positions: where the frames of `views` are among those trained on.
        rows: {caption: position of the camera in `views`}.
    """
    config, model = trainer.config, trainer.model
    frame = frame_shown(trainer, trained_positions)
    cameras = trainer.found.corrected(views.cameras)
    view = View(model, trainer.backend, trainer.inv_s, config.scene.background_grey)
    parts = View(model, trainer.backend, view.inv_s, view.background, parts=True)
    pictures = []
    for camera in rows.values():
        camera_id = views.cameras.ids[camera]
        late = trainer.found.lateness(camera_id)
        pose = learned_motion(model, trainer.backend.pose_mlp, [trained_positions[frame] + late])
        filmed = over_uint8(views.rgba[camera, frame], view.background)
        if max(filmed.shape) > MOST_PIXELS:
            filmed = enlarge_to(filmed, MOST_PIXELS)
            cameras = cameras.resized(filmed.shape[1], filmed.shape[0])
        rendered = (
            view.image(posed_at(model, pose, 0), cameras, camera)
            .tinted(trainer.found.color(camera_id))
            .rgba()
        )
        painted = parts.picture(pose, 0, cameras, camera)
        plain = [over_uint8(picture, view.background) for picture in (filmed, rendered, painted)]
        large = [enlarge(picture, DRAWING_SIZE, smooth=True) for picture in plain]
        pictures.append([*large, view.with_joints(filmed, pose, cameras, camera)])
    return grid(pictures, COLUMNS, captions(trainer, rows, views.frame_ids[frame]))


def frame_shown(learner: Learner, trained_positions: Sequence[int]) -> int:
    """The one in the middle of the frames that are in use, as a position in `trained_positions`."""
    return int(np.abs(np.subtract(trained_positions, learner.active_frames // 2)).argmin())


def captions(learner: Learner, names: Iterable[str], frame_id: int) -> list[str]:
    """Of rows that show cameras of these names."""
    return [f"{name}, frame {frame_id}, step {learner.step}" for name in names]
