"""The pictures of an evaluation: the views that were asked for, and a few of each group beside what was filmed."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wim_fast.compositing import over, to_uint8
from wim_fast.drawing.images import enlarge, write_png
from wim_fast.drawing.sheets import grid
from wim_fast.files import output_folder
from wim_fast.runs.baseline_run import AnyRun
from wim_fast.runs.camera_path import picture_name, resized_to
from wim_fast.runs.evaluate import (
    ALIGNED_VIEWS,
    Evaluation,
    Rendered,
    Selection,
    evaluate_selection,
    select_views,
)
from wim_fast.runs.recording_poses import RecordingPoses, linear_driver, our_driver
from wim_fast.runs.render import Progress, view_of

COMPARED = 5  # views of each group in the comparison picture
COMPARISON_SIZE = 192


@dataclass(frozen=True)
class WrittenEvaluation:
    """An evaluation and where it was written: metrics.json, comparison.png, the pictures of the views asked for."""

    evaluation: Evaluation
    metrics: Path
    comparison: Path
    pictures: list[Path]


def write_evaluation(
    run: AnyRun,
    output: Path | None = None,
    cameras: Sequence[int] | None = None,
    frames: str | Sequence[int] | None = None,
    *,
    size: int | None = None,
    align_cameras: bool = False,
    linear: bool = False,
    on_progress: Progress | None = None,
) -> WrittenEvaluation:
    """Evaluates a run and writes what came out.

    Args:
        output: a folder; None: RUN/evaluation.
        cameras, frames, align_cameras, linear: see `evaluate`.
        size: longer side of the pictures written; None: as trained. Metrics are measured at the size trained at.
    """
    poses = RecordingPoses(run, run.scan_recording(), linear_driver if linear else our_driver)
    selection = select_views(run, poses, cameras, frames, align_cameras)
    with output_folder(output or run.path / "evaluation") as folder:
        pictures = _Pictures(run, selection, poses.contents.frame_ids, folder, size)
        evaluation = evaluate_selection(run, poses, selection, pictures.take, on_progress)
        comparison = write_png(folder / "comparison.png", comparison_picture(pictures.compared))
        report = evaluation.to_dict()
        for row, file in zip(report["images"], pictures.files, strict=True):
            row["file"] = file
        metrics = folder / "metrics.json"
        metrics.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        return WrittenEvaluation(evaluation, metrics, comparison, [folder / f for f in pictures.files if f])


@dataclass
class _Pictures:
    """Writes the views that were asked for, and keeps a few of each group as (truth, rendering) in [0, 1]."""

    run: AnyRun
    selection: Selection
    frame_ids: Sequence[int]  # of the whole recording
    folder: Path
    size: int | None
    files: list[str | None] = field(default_factory=list)  # of each view, in the order of the rows
    compared: dict[str, list[tuple[np.ndarray, np.ndarray]]] = field(default_factory=dict)  # (H, W, 3)
    _seen: dict[str, int] = field(default_factory=dict)  # views of each group so far

    def take(self, rendered: Rendered) -> None:
        """A view that has just been rendered."""
        group, scene, camera, frame, posed, image = rendered
        view = view_of(self.run)
        number = self._seen.get(group, 0)
        self._seen[group] = number + 1
        if number % self._every(group) == 0:
            truth = over(scene.rgba[camera, frame], view.background)
            self.compared.setdefault(group, []).append((truth, image.over(view.background)))
        camera_id, frame_id = scene.cameras.ids[camera], scene.frame_ids[frame]
        is_asked = (camera_id, self.frame_ids.index(frame_id)) in self.selection.asked
        if group == ALIGNED_VIEWS or not is_asked:
            self.files.append(None)
            return
        picture = image
        if self.size is not None:
            picture = view.image(posed, resized_to(scene.cameras, self.size), camera)
        name = picture_name(frame_id, camera_id)
        self.files.append(name)
        write_png(self.folder / name, picture.rgba())

    def _every(self, group: str) -> int:
        """So many views of a group to one that is compared."""
        cameras, frames = self.selection.groups()[group]
        return max(1, math.ceil(len(cameras) * len(frames) / COMPARED))


def comparison_picture(groups: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> np.ndarray:
    """A few views of each group, what was filmed above what is rendered."""

    def stacked(pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return np.concatenate([enlarge(to_uint8(image), COMPARISON_SIZE, smooth=True) for image in pair])

    captions = [f"{name}: filmed above, rendered below" for name in groups]
    return grid([[stacked(pair) for pair in pairs] for pairs in groups.values()], row_captions=captions)
