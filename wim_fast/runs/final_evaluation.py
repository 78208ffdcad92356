"""What is measured when a training ends: views trained on beside views never seen, a turntable, and the joints."""

from __future__ import annotations

import dataclasses
import json
import warnings
from dataclasses import dataclass
from typing import Any

from wim_fast.errors import SceneWarning
from wim_fast.evaluation.abrupt_turns import AbruptTurns, abrupt_turns
from wim_fast.evaluation.confirmation import Unconfirmed
from wim_fast.evaluation.joints import JointError, joint_error
from wim_fast.evaluation.protocols import NOVEL_VIEWS
from wim_fast.evaluation.summary import summarize
from wim_fast.files import write_atomic
from wim_fast.recordings.selection import evenly
from wim_fast.runs.baseline_run import AnyRun, BaselineRun
from wim_fast.runs.evaluate import TRAINING_VIEWS, evaluate_views
from wim_fast.runs.turntable_check import unconfirmed_share_of
from wim_fast.training.run_folder import RunFolder
from wim_fast.training.split import Split

FILED_AS = {TRAINING_VIEWS: "training cameras", NOVEL_VIEWS: "test cameras"}
"""What evaluation.json calls the groups of views. These keys stay: reports and ablations read runs of any age."""

VIEWS_MEASURED = 24  # images per group
PIXELS_MEASURED = 8 * 1024**2  # of these images together, at most: of large pictures fewer are measured
LARGEST_GAP = 1.5  # dB between training and novel views that is still no reason to warn


@dataclass(frozen=True)
class FinalEvaluation:
    """Means of the metrics of training and novel views, what of a turntable no training camera confirms and which parts
    turn abruptly (not of a baseline), and the joint error (A.10) where true joints are known."""

    groups: dict[str, dict[str, float]]
    unconfirmed: Unconfirmed | None
    abrupt_turns: AbruptTurns | None
    joint_error: JointError | None


def evaluate_split(run: AnyRun, split: Split) -> FinalEvaluation:
    """Measures some of the frames trained on. SceneWarning if novel views are much worse."""
    groups = {}
    views = dataclasses.replace(split.views, cameras=run.found.corrected(split.views.cameras))
    most = min(VIEWS_MEASURED, PIXELS_MEASURED // (views.cameras.width * views.cameras.height))
    for name, cameras in camera_groups(split).items():
        count = min(split.views.num_frames, max(1, most // len(cameras)))
        frames = evenly(range(split.views.num_frames), count)
        rows = evaluate_views(
            run,
            lambda frame, camera: run.pose_seen(split.view_positions[frame], camera),
            views,
            cameras,
            frames,
        )
        groups[name] = summarize(rows)
    if len(groups) == 2:
        warn_of_gap(*(summary.get("psnr", float("nan")) for summary in groups.values()))
    unconfirmed = turns = None
    if not isinstance(run, BaselineRun):
        unconfirmed = unconfirmed_share_of(run, views, split.view_positions)
        turns = abrupt_turns(run.motion.rotation, run.frame_ids)
    return FinalEvaluation(groups, unconfirmed, turns, trained_joint_error(run, split))


def camera_groups(split: Split) -> dict[str, list[int]]:
    """Positions of the cameras in `split.views` by the group that their views are of."""
    first_novel = split.scene.num_cameras
    groups = {TRAINING_VIEWS: range(first_novel), NOVEL_VIEWS: range(first_novel, split.views.num_cameras)}
    return {name: list(cameras) for name, cameras in groups.items() if cameras}


def trained_joint_error(run: AnyRun, split: Split) -> JointError | None:
    """Of all frames trained on; None without true joints."""
    truth = split.scene.ground_truth
    if truth is None or truth.joints is None:
        return None
    model: Any = run
    return joint_error(model.points_in(model.motion), truth.joints, truth.points)


def warn_of_gap(training: float, novel: float) -> None:
    """SceneWarning if the PSNR (dB) of novel views is far below that of training views."""
    if training - novel > LARGEST_GAP:
        gap = f"novel views are {training - novel:.1f} dB worse than training views"
        warnings.warn(f"{gap}; more cameras that are spread better would help", SceneWarning, stacklevel=3)


def write_final_evaluation(evaluation: FinalEvaluation, step: int, folder: RunFolder) -> None:
    """evaluation.json. Raises OSError."""
    groups = {FILED_AS[name]: summary for name, summary in evaluation.groups.items()}
    content: dict[str, object] = {"step": step, **groups}
    if evaluation.unconfirmed is not None:
        content["unconfirmed"] = evaluation.unconfirmed._asdict()
    if evaluation.abrupt_turns is not None:
        content["abrupt_turns"] = evaluation.abrupt_turns._asdict()
    if evaluation.joint_error is not None:
        content["joints"] = evaluation.joint_error.to_dict()
    write_atomic(folder.evaluation, json.dumps(content, indent=1).encode())
