"""What an ablation measures of each run, and the table of all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast.evaluation.centers import centers_outside
from wim_fast.evaluation.protocols import NOVEL_VIEWS
from wim_fast.evaluation.summary import Line, subject_line
from wim_fast.recordings.selection import evenly
from wim_fast.rendering.image import render_image
from wim_fast.runs.ablation.jobs import Job
from wim_fast.runs.final_evaluation import FILED_AS
from wim_fast.runs.result_table import Column
from wim_fast.runs.run import Run, load_run
from wim_fast.scene.scene import Scene

FRAMES = 6  # whose training views are looked at for parts that carry nothing
LEAST_SHARE = 1e-3  # of the object's pixels in these: parts that show on less carry nothing

COLUMNS = {
    "psnr": Column("novel-view PSNR (dB)", ".2f", "up"),
    "iou": Column("novel-view IoU", ".3f", "up"),
    "joint_error": Column("joints (%)", ".2f", "down"),
    "idle_parts": Column("idle parts", ".1f", "down"),
    "centers_outside": Column("centres outside", ".2f", "down"),
}
"""What stands in the table; `measure_run` says what it is."""


@dataclass(frozen=True)
class Measured:
    """A finished run and what was measured of it."""

    job: Job
    step: int
    values: dict[str, float]


def measure_run(job: Job) -> Measured:
    """The measures of a finished run.

    psnr and iou are means over novel views, and joint_error is a share of the object's extent in percent,
    as training measured them in the end; where there are such views, and true joints. idle_parts: how many parts
    show on less than `LEAST_SHARE` of the object's pixels, in the training views of `FRAMES` frames. centers_outside:
    how many part centres `evaluation.centers` finds outside of the object, mean over the frames trained on.
    """
    found = json.loads(job.folder.evaluation.read_text(encoding="utf-8"))
    novel = found.get(FILED_AS[NOVEL_VIEWS], {})
    values = {key: float(novel[key]) for key in ("psnr", "iou") if key in novel}
    if "joints" in found:
        values["joint_error"] = 100 * float(found["joints"]["error"])
    run = load_run(job.folder.path, job.config.render.backend)
    values["idle_parts"] = float((pixel_shares(run) < LEAST_SHARE).sum())
    values["centers_outside"] = mean_outside(run, run.scene)
    return Measured(job, int(found["step"]), values)


def mean_outside(run: Run, scene: Scene) -> float:
    """How many part centres lie outside of the object in a frame, on average. `scene`: what was trained on."""
    masks = scene.mask
    counts = []
    for frame in range(scene.num_frames):
        seen = np.stack([masks[v, frame] for v in range(scene.num_cameras)])
        counts.append(centers_outside(run.motion.translation[frame], scene.cameras, seen).sum())
    return float(np.mean(counts))


def pixel_shares(run: Run) -> np.ndarray:
    """(P,) on which share of the object's pixels each part shows, in the training views of some frames."""
    cameras, pixels = run.scene.cameras, np.zeros(run.model.trajectory.parts)
    for frame in evenly(range(len(run.frame_ids)), FRAMES):
        for index, camera in enumerate(cameras.ids):
            posed = run.pose_seen(frame, camera)
            image = render_image(
                run.model, posed, cameras, index, run.inv_s, run.backend, rays_per_edge_pixel=1
            )
            pixels += np.bincount(image.part[image.part >= 0], minlength=len(pixels))
    return pixels / max(pixels.sum(), 1.0)


def lines_of(jobs: Sequence[Job], measured: Sequence[Measured]) -> list[Line]:
    """A line for each variant, in the order given: mean and deviation over its seeds; empty if none has finished."""
    variants = dict.fromkeys(job.variant.name for job in jobs)
    labels = {job.variant.name: job.variant.label for job in jobs}
    return [
        subject_line(labels[name], [m.values for m in measured if m.job.variant.name == name], False)
        for name in variants
    ]


def content_of(
    jobs: Sequence[Job], measured: Sequence[Measured], failed: Mapping[str, str], output: Path
) -> dict[str, Any]:
    """For JSON: the table, and every run that it follows from."""
    lines = lines_of(jobs, measured)
    variants = list({job.variant.name: job.variant for job in jobs}.values())
    return {
        "scene": jobs[0].config.scene.scene,
        "table": [
            {
                "variant": variant.name,
                "label": variant.label,
                "settings": dict(variant.settings),
                "runs": line.runs,
                **{key: value._asdict() for key, value in line.values.items()},
            }
            for variant, line in zip(variants, lines, strict=True)
        ],
        "runs": [
            {
                "variant": m.job.variant.name,
                "seed": m.job.seed,
                "run": str(m.job.folder.path.relative_to(output)),
                "step": m.step,
                **m.values,
            }
            for m in measured
        ],
        "failed": dict(failed),
    }
