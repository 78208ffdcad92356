"""`wim-fast evaluate`: renders views of the recording and measures them against it.

Training views, novel views and novel poses are always measured side by side. Frames that were not trained on
are novel poses: the true points (or joints) of the recording drive the parts there (supplement A.10).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wim_fast.compositing import over, to_uint8
from wim_fast.drawing.images import enlarge, write_png
from wim_fast.drawing.sheets import grid
from wim_fast.errors import UserError
from wim_fast.evaluation.evaluate import metrics_table, summarize
from wim_fast.evaluation.metrics import load_lpips
from wim_fast.evaluation.poses import RecordingPoses
from wim_fast.files import output_folder
from wim_fast.runs.defaults import SAMPLE
from wim_fast.runs.measuring import Viewed, finite, measure_groups
from wim_fast.runs.studio import (
    make_view,
    open_run,
    picture_name,
    positions,
    resized_to,
    scan,
    trained_positions,
)
from wim_fast.scene.scene import SceneContents, camera_positions
from wim_fast.terminal import console, say, say_written
from wim_fast.training.run_folder import Run

TRAINING, NOVEL, POSES = "training views", "novel views", "novel poses"
SHOWN = 5  # views of each group in the comparison picture
COMPARISON_SIZE = 192


def evaluate(args: argparse.Namespace) -> None:
    """Renders, measures, prints and writes."""
    run = open_run(args)
    contents = scan(run)
    plan = make_plan(run, contents, args.cameras, args.frames)
    poses = RecordingPoses(run.model, trained_positions(run, contents), contents)
    if plan.new_frames and poses.driver is None:
        if plan.new_frames_asked:
            unknown = contents.frame_ids[plan.new_frames[0]]
            raise UserError(
                contents.path,
                f"frame {unknown} was not trained on, and there are no true points to drive its pose",
                "choose --frames among those trained on, or give points or joints in gt.npz",
            )
        plan = plan._replace(new_frames=[])
    with output_folder(args.output or run.path / "evaluation") as folder:
        report = measure(run, contents, plan, poses, args.size, folder)
        path = folder / "metrics.json"
        path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        show(report)
        written = [folder / row["file"] for row in report["images"] if row["file"]]
        if written:
            say(f"wrote {len(written)} pictures, {written[0]} and others")
        say_written([folder / "comparison.png", path])


class Plan(NamedTuple):
    """What is looked at: camera ids, and positions among all frames of the recording."""

    training_cameras: list[int]
    cameras: list[int]  # asked for
    frames: list[int]  # trained on
    new_frames: list[int]  # not trained on
    new_frames_asked: bool
    written: set[tuple[int, int]]  # (camera, frame) of the pictures that are kept

    def groups(self) -> dict[str, tuple[list[int], list[int]]]:
        """Cameras and frames of each group; every pair of them is a view."""
        novel = [camera for camera in self.cameras if camera not in self.training_cameras]
        return {
            TRAINING: (self.training_cameras, self.frames),
            NOVEL: (novel, self.frames),
            POSES: (self.cameras, self.new_frames),
        }


def make_plan(run: Run, contents: SceneContents, cameras: Sequence[int] | None, frames: str | None) -> Plan:
    """What the command line asks for, and what is measured beside it to have every group.

    Pictures are written for the cameras and frames asked for. Training views of the same frames, and a sample
    of frames where none of a kind is asked for, are measured only.
    """
    trained, every = set(run.camera_ids), contents.camera_ids
    if cameras is None:
        test = run.config.scene.test_cameras
        asked = list(test) if test else [i for i in every if i not in trained] or list(run.camera_ids)
    else:
        asked = list(cameras)
    camera_positions(contents.path, every, asked)  # says which are not there
    of_trained = trained_positions(run, contents)
    known = set(of_trained)
    of_new = [f for f in range(len(contents.frame_ids)) if f not in known]
    if frames is None:
        asked_frames = sample(of_trained) + sample(of_new)
    else:
        asked_frames = positions(frames, len(contents.frame_ids), f"frames in {contents.path}")
    some_old, some_new = ([f for f in asked_frames if (f in known) == old] for old in (True, False))
    return Plan(
        training_cameras=list(run.camera_ids),
        cameras=asked,
        frames=some_old or sample(of_trained),
        new_frames=some_new or sample(of_new),
        new_frames_asked=frames is not None and bool(some_new),
        written={(camera, frame) for camera in asked for frame in asked_frames},
    )


def sample(frames: Sequence[int]) -> list[int]:
    """At most `SAMPLE` of them, evenly."""
    return list(frames)[:: max(1, math.ceil(len(frames) / SAMPLE))]


@dataclass(frozen=True)
class Pictures:
    """Keeps the pictures that were asked for, and a few of each group as (truth, rendering) in [0, 1]."""

    run: Run
    contents: SceneContents
    written: set[tuple[int, int]]  # camera ids and positions in the recording
    every: dict[str, int]  # so many views of a group to one that is shown
    folder: Path
    size: int | None
    files: dict[str, list[str | None]]  # of each view, by group
    shown: dict[str, list[tuple[np.ndarray, np.ndarray]]]  # (H, W, 3)

    def take(self, viewed: Viewed) -> None:
        """A view that has just been rendered."""
        group, scene, camera, frame, posed, image = viewed
        view = make_view(self.run)
        if len(self.files[group]) % self.every[group] == 0:
            truth = over(scene.rgba[camera, frame], view.background)
            self.shown[group].append((truth, image.over(view.background)))
        camera_id, frame_id = scene.cameras.ids[camera], scene.frame_ids[frame]
        if (camera_id, self.contents.frame_ids.index(frame_id)) not in self.written:
            self.files[group].append(None)
            return
        picture = image
        if self.size is not None:
            picture = view.image(posed, resized_to(scene.cameras, self.size), camera)
        self.files[group].append(picture_name(frame_id, camera_id))
        write_png(self.folder / str(self.files[group][-1]), picture.rgba())


def measure(
    run: Run, contents: SceneContents, plan: Plan, poses: RecordingPoses, size: int | None, folder: Path
) -> dict[str, Any]:
    """Renders all groups, writes the pictures, and returns what metrics.json holds."""
    groups = {name: (ids, of) for name, (ids, of) in plan.groups().items() if ids and of}
    lpips = load_lpips()
    every = {name: max(1, math.ceil(len(ids) * len(of) / SHOWN)) for name, (ids, of) in groups.items()}
    files: dict[str, list[str | None]] = {name: [] for name in groups}
    pictures = Pictures(
        run, contents, plan.written, every, folder, size, files, {name: [] for name in groups}
    )
    available = None if isinstance(lpips, str) else lpips
    measured = measure_groups(run, groups, poses, available, pictures.take)
    write_png(folder / "comparison.png", comparison(pictures.shown))
    error = poses.joint_error()
    return {
        "run": str(run.path),
        "step": run.step,
        "scene": str(contents.path),
        "size": list(measured.size),
        "background": run.config.scene.background,
        "cameras_trained_on": list(run.camera_ids),
        "frames_trained_on": list(run.frame_ids),
        "summary": {name: summarize(rows) for name, rows in measured.rows.items()},
        "joint_error": None if error is None else error.to_dict(),
        "driving": poses.driving(),
        "lpips": "measured" if available else lpips,
        "images": [
            {"group": name, **{key: finite(value) for key, value in row.items()}, "file": file}
            for name, rows in measured.rows.items()
            for row, file in zip(rows, files[name], strict=True)
        ],
    }


def comparison(groups: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> np.ndarray:
    """A few views of each group, what was filmed above what is rendered."""

    def stacked(pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return np.concatenate([enlarge(to_uint8(image), COMPARISON_SIZE, smooth=True) for image in pair])

    captions = [f"{name}: filmed above, rendered below" for name in groups]
    return grid([[stacked(pair) for pair in pairs] for pairs in groups.values()], row_captions=captions)


def show(report: dict[str, Any]) -> None:
    """The report for people."""
    console.print(metrics_table(report["summary"]))
    if NOVEL not in report["summary"]:
        say("No novel views: all cameras looked at were trained on.")
    if report["lpips"] != "measured":
        say(f"LPIPS is not measured: {report['lpips']}.")
    if error := report["joint_error"]:
        say(
            f"Joint error {error['error']:.2%} of the object's extent "
            f"({error['num_fit_frames']} frames fit, {error['num_test_frames']} test)."
        )
        say(
            f"For scale: {error['error_paper_ridge']:.2%} with the paper's ridge, "
            f"{error['error_mean_pose']:.2%} if every joint stayed at its mean."
        )
    else:
        say("Joint error is not measured: the recording has no true joints.")
    if driving := report["driving"]:
        say(
            f"Novel poses are driven by the true {driving['driven_by']}, which place part points "
            f"within {driving['held_out_error']:.2%} of the extent on held-out training frames."
        )
