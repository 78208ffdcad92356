"""How much of what a run shows on a turntable the cameras that it was trained on have seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wim_fast.evaluation.confirmation import Unconfirmed, surface_of, unconfirmed, witnesses
from wim_fast.model.articulated_model import Posed
from wim_fast.model.motion import posed_at
from wim_fast.recordings.cameras import Cameras
from wim_fast.recordings.masks import in_size_of
from wim_fast.recordings.selection import evenly
from wim_fast.rendering.image import Image, render_image
from wim_fast.runs.camera_path import circle_round, resized_to
from wim_fast.runs.trained_model import TrainedModel
from wim_fast.scene.scene import Scene

FRAMES = 3  # trained on that are looked at, spread evenly
VIEWS = 4  # of each, spread round the object; those of a frame stand between those of the others
LARGEST_PICTURE = 96  # pixels on the longer side


def unconfirmed_share(run: TrainedModel) -> Unconfirmed:
    """What of a turntable's opacity no training camera confirms, in some of the frames trained on.

    UserError if the recording cannot be read.
    """
    chosen = evenly(range(len(run.frame_ids)), FRAMES)
    trained = run.trained_positions(run.scan_recording())
    scene = run.load_scene(cameras=run.camera_ids, frames=[trained[k] for k in chosen])
    return unconfirmed_share_of(run, scene, chosen)


def unconfirmed_share_of(run: TrainedModel, scene: Scene, positions: Sequence[int]) -> Unconfirmed:
    """The same from a scene with the training cameras as they were found.

    Args:
        positions: where the scene's frames are among those trained on; some of them are looked at.
    """
    in_step = [camera for camera in run.camera_ids if abs(run.found.lateness(camera)) < 0.5]
    scene = scene.select(in_step or run.camera_ids)
    chosen = evenly(range(scene.num_frames), FRAMES)
    cameras = resized_to(scene.cameras, min(LARGEST_PICTURE, max(scene.size)))
    found = []
    for turn, frame in enumerate(chosen):
        motion = run.motion.at([positions[frame]])
        circle = circle_round(cameras, run.extremes(motion), VIEWS * len(chosen))
        views = circle.select(range(turn, len(circle), len(chosen)))
        posed = posed_at(run.model, motion, 0)
        shown = [surface_of(_picture(run, posed, views, k), views, k) for k in range(len(views))]
        points, opacity = (np.concatenate(parts) for parts in zip(*shown, strict=True))
        images = [_picture(run, posed, cameras, k) for k in range(len(cameras))]
        size = cameras.height, cameras.width
        masks = np.stack([in_size_of(mask, size, scene.path) for mask in scene.mask[:, frame]])
        found.append((*witnesses(points, cameras, masks, images), opacity))
    return unconfirmed(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _picture(run: TrainedModel, posed: Posed, cameras: Cameras, index: int) -> Image:
    """With one ray through each pixel: enough to see where the surface is."""
    return render_image(run.model, posed, cameras, index, run.inv_s, run.backend, rays_per_edge_pixel=1)
