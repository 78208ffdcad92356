"""The variants of an ablation side by side: what was filmed, what a run shows, and its parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wim_fast.compositing import over_uint8
from wim_fast.drawing.images import enlarge
from wim_fast.drawing.sheets import grid
from wim_fast.drawing.views import DRAWING_SIZE
from wim_fast.runs.ablation.jobs import Job
from wim_fast.runs.render import view_of
from wim_fast.runs.run import Run, load_run


def comparison_sheet(jobs: Sequence[Job]) -> np.ndarray:
    """(H, W, 3) uint8, a row for each variant: the first of its runs that has finished.

    All show the middle one of the frames trained on from a camera that was not trained on, where there is one.
    """
    first: dict[str, Job] = {}
    for job in jobs:
        if job.finished:
            first.setdefault(job.variant.name, job)
    rows = [pictures(load_run(job.folder.path, job.config.render.backend)) for job in first.values()]
    labels = [job.variant.label for job in first.values()]
    return grid(rows, ["filmed", "model", "parts, centres and joints"], labels)


def pictures(run: Run) -> list[np.ndarray]:
    """(h, w, 3) uint8: the film, the model, its parts with centres and joints."""
    camera = (run.config.scene.test_cameras or run.camera_ids)[0]
    frame = len(run.frame_ids) // 2
    position = run.trained_positions(run.scan_recording())[frame]
    scene = run.load_scene(cameras=[camera], frames=[position])
    model, parts = view_of(run), view_of(run, parts=True, joints=True)
    filmed, shown = scene.rgba[0, 0], model.picture(run.motion, frame, scene.cameras, 0)
    return [
        *(enlarge(over_uint8(image, run.background), DRAWING_SIZE, smooth=True) for image in (filmed, shown)),
        parts.picture(run.motion, frame, scene.cameras, 0),
    ]
