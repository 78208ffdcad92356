"""`wim-fast evaluate`: renders views of the recording and measures them against it.

Training views, novel views and novel poses are always measured side by side. Frames that were not trained on
are novel poses: the true points (or joints) of the recording drive the parts there (supplement A.10).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wim_fast.drawing import enlarge, grid, write_png
from wim_fast.errors import UserError
from wim_fast.evaluation.evaluate import evaluate_views, metrics_table, over, summarize
from wim_fast.evaluation.metrics import Lpips, load_lpips
from wim_fast.evaluation.poses import RecordingPoses
from wim_fast.model.articulated_model import Posed
from wim_fast.rendering.image import Image
from wim_fast.rendering.sequence import to_uint8
from wim_fast.scene.scene import Scene, SceneContents, camera_positions
from wim_fast.showing.defaults import SAMPLE
from wim_fast.showing.studio import (
    console,
    make_view,
    open_run,
    output_folder,
    picture_name,
    positions,
    progress,
    resized_to,
    say,
    say_written,
    scan,
    trained_positions,
)
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


class Measured(NamedTuple):
    """A group of views: a row each, and some of them as (truth, rendering), (H, W, 3) in [0, 1]."""

    rows: list[dict[str, Any]]
    shown: list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Evaluation:
    """Renders and measures views of the frames of `scene`, and writes those that were asked for."""

    run: Run
    scene: Scene
    frames: list[int]  # of the scene, as positions among all frames of the recording
    poses: RecordingPoses
    written: set[tuple[int, int]]
    folder: Path
    size: int | None
    lpips: Lpips | None

    def group(self, cameras: Sequence[int], frames: Sequence[int], advance: Callable[[], None]) -> Measured:
        """All views of these cameras (ids) and frames (positions in the recording)."""
        run, scene, view = self.run, self.scene, make_view(self.run)
        large = scene.cameras if self.size is None else resized_to(scene.cameras, self.size)
        files: list[str | None] = []
        shown: list[tuple[np.ndarray, np.ndarray]] = []
        every = max(1, math.ceil(len(cameras) * len(frames) / SHOWN))

        def take(camera: int, frame: int, posed: Posed, image: Image) -> None:
            if len(files) % every == 0:
                shown.append((over(scene.rgba[camera, frame], view.background), image.over(view.background)))
            camera_id = scene.cameras.ids[camera]
            if (camera_id, self.frames[frame]) in self.written:
                files.append(picture_name(scene.frame_ids[frame], camera_id))
                picture = image if self.size is None else view.image(posed, large, camera)
                write_png(self.folder / str(files[-1]), picture.rgba())
            else:
                files.append(None)
            advance()

        rows = evaluate_views(
            run.model,
            lambda frame: self.poses.posed(self.frames[frame]),
            scene,
            [scene.cameras.ids.index(camera) for camera in cameras],
            [self.frames.index(frame) for frame in frames],
            run.inv_s,
            run.backend,
            view.background,
            lpips=self.lpips,
            on_image=take,
        )
        return Measured([{**row, "file": file} for row, file in zip(rows, files, strict=True)], shown)


def measure(
    run: Run, contents: SceneContents, plan: Plan, poses: RecordingPoses, size: int | None, folder: Path
) -> dict[str, Any]:
    """Renders all groups, writes the pictures, and returns what metrics.json holds."""
    groups = {name: (ids, of) for name, (ids, of) in plan.groups().items() if ids and of}
    frames = sorted({frame for _, of in groups.values() for frame in of})
    scene = run.load_scene(cameras=sorted({i for ids, _ in groups.values() for i in ids}), frames=frames)
    lpips = load_lpips()
    available = None if isinstance(lpips, str) else lpips
    evaluation = Evaluation(run, scene, frames, poses, plan.written, folder, size, available)
    with progress("rendering", sum(len(ids) * len(of) for ids, of in groups.values())) as advance:
        measured = {name: evaluation.group(ids, of, advance) for name, (ids, of) in groups.items()}
    write_png(folder / "comparison.png", comparison({name: group.shown for name, group in measured.items()}))
    error = poses.joint_error()
    return {
        "run": str(run.path),
        "step": run.step,
        "scene": str(contents.path),
        "size": list(scene.size),
        "background": run.config.scene.background,
        "cameras_trained_on": list(run.camera_ids),
        "frames_trained_on": list(run.frame_ids),
        "summary": {name: summarize(group.rows) for name, group in measured.items()},
        "joint_error": None if error is None else error.to_dict(),
        "driving": poses.driving(),
        "lpips": "measured" if available else lpips,
        "images": [
            {"group": name, **{key: finite(value) for key, value in row.items()}}
            for name, group in measured.items()
            for row in group.rows
        ],
    }


def finite(value: Any) -> Any:
    """JSON has no NaN: what is undefined is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
