"""Views of a recording rendered and measured: training views, novel views and novel poses side by side.

Only the difference between these groups tells learning from memorising. Frames that were not trained on are
novel poses: the true points (or joints) of the recording drive the parts there.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from wim_fast.errors import UserError
from wim_fast.evaluation.abrupt_turns import AbruptTurns, abrupt_turns
from wim_fast.evaluation.confirmation import Unconfirmed
from wim_fast.evaluation.joints import JointError
from wim_fast.evaluation.metrics import Lpips, compare, load_lpips
from wim_fast.evaluation.protocols import NOVEL_POSES, NOVEL_VIEWS
from wim_fast.evaluation.summary import summarize
from wim_fast.recordings.selection import camera_positions
from wim_fast.rendering.image import Image
from wim_fast.runs.align import aligned_cameras
from wim_fast.runs.baseline_run import AnyRun, BaselineRun, need_parts
from wim_fast.runs.defaults import SAMPLE
from wim_fast.runs.evaluation_table import as_text, evaluation_notes, metrics_table
from wim_fast.runs.opened_run import frame_positions
from wim_fast.runs.recording_poses import RecordingPoses, linear_driver, our_driver
from wim_fast.runs.render import Progress
from wim_fast.runs.turntable_check import unconfirmed_share
from wim_fast.scene.scene import Scene

TRAINING_VIEWS = "training views"
ALIGNED_VIEWS = "novel views, cameras aligned"

Row = dict[str, Any]
Views = tuple[Sequence[int], Sequence[int]]
"""Ids of cameras and positions of frames among all of the recording; every pair of them is a view."""


class Rendered(NamedTuple):
    """A view that has just been rendered."""

    group: str
    scene: Scene  # that the view is of
    camera: int  # position in the scene
    frame: int  # position in the scene
    posed: Any  # as `run.posed` gives it
    image: Image


@dataclass(frozen=True)
class Evaluation:
    """What was measured of a run. Print it, or take its rows.

    Attributes:
        rows: one per view: `group`, `camera` and `frame` (ids), and the metrics of `metrics.image_metrics`.
        summary: {group: mean of each metric, and `images`}.
        unconfirmed: what of a turntable no training camera confirms; None of a baseline.
        abrupt_turns: parts that may be the wrong way round in some frames trained on; None of a baseline.
        joint_error: of the frames trained on (A.10); None if the recording has no true joints.
        driving: what drives the novel poses, and its error on held-out frames; None where nothing does.
        lpips: "measured", or why it is not.
        size: (height, width) of the images, as trained.
        cameras_corrected: whether training views are judged with the cameras that training found.
        method: of the run, as tables name it.
    """

    run: Path
    step: int
    scene: Path
    size: tuple[int, int]
    background: float
    cameras_trained_on: tuple[int, ...]
    frames_trained_on: tuple[int, ...]
    summary: dict[str, dict[str, float]]
    unconfirmed: Unconfirmed | None
    abrupt_turns: AbruptTurns | None
    joint_error: JointError | None
    driving: dict[str, Any] | None
    lpips: str
    cameras_corrected: bool
    method: str
    rows: list[Row]

    def __str__(self) -> str:
        return "\n".join([as_text(metrics_table(self.summary)), *self.notes])

    @property
    def notes(self) -> list[str]:
        """What must be known beside the table."""
        return evaluation_notes(
            self.summary,
            self.unconfirmed,
            self.abrupt_turns,
            self.joint_error,
            self.driving,
            self.lpips,
            self.cameras_corrected,
            self.method,
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        rows = content.pop("rows")
        return {
            **content,
            "run": str(self.run),
            "scene": str(self.scene),
            "size": list(self.size),
            "cameras_trained_on": list(self.cameras_trained_on),
            "frames_trained_on": list(self.frames_trained_on),
            "unconfirmed": None if self.unconfirmed is None else self.unconfirmed._asdict(),
            "abrupt_turns": None if self.abrupt_turns is None else self.abrupt_turns._asdict(),
            "joint_error": None if self.joint_error is None else self.joint_error.to_dict(),
            "images": [{key: finite(value) for key, value in row.items()} for row in rows],
        }


def evaluate(
    run: AnyRun,
    cameras: Sequence[int] | None = None,
    frames: str | Sequence[int] | None = None,
    *,
    align_cameras: bool = False,
    linear: bool = False,
    on_view: Callable[[Rendered], None] | None = None,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Renders and measures the views asked for, and beside them enough others to have every group.

    Args:
        cameras: ids; None: the test cameras, else all that were not trained on.
        frames: positions among all frames of the recording, or a range of them; None: some of every kind.
        align_cameras: measure novel views once more, after fitting only their own cameras to their pictures.
        linear: drive frames not trained on by a linear map (A.10), in place of rigid parts.
        on_view: called with each view, in the order of the rows.

    UserError for cameras and frames that are not there, and for frames whose pose cannot be known: that were
    not trained on, of a recording without true points.
    """
    poses = RecordingPoses(run, run.scan_recording(), linear_driver if linear else our_driver)
    selection = select_views(run, poses, cameras, frames, align_cameras)
    return evaluate_selection(run, poses, selection, on_view, on_progress)


def evaluate_selection(
    run: AnyRun,
    poses: RecordingPoses,
    selection: Selection,
    on_view: Callable[[Rendered], None] | None = None,
    on_progress: Progress | None = None,
) -> Evaluation:
    """The same of views that are selected."""
    lpips = load_lpips()
    available = {} if isinstance(lpips, str) else {"lpips": lpips}
    rows, size = evaluate_groups(run, selection.groups(), poses, available, on_view, on_progress)
    unconfirmed = turns = None
    if not isinstance(run, BaselineRun):
        unconfirmed, turns = unconfirmed_share(run), abrupt_turns(run.motion.rotation, run.frame_ids)
    return Evaluation(
        run=run.path,
        step=run.step,
        scene=poses.contents.path,
        size=size,
        background=run.config.scene.background,
        cameras_trained_on=run.camera_ids,
        frames_trained_on=run.frame_ids,
        summary={name: summarize(of) for name, of in rows.items()},
        unconfirmed=unconfirmed,
        abrupt_turns=turns,
        joint_error=poses.joint_error(),
        driving=poses.driving(),
        lpips=lpips if isinstance(lpips, str) else "measured",
        cameras_corrected=run.found.correction is not None,
        method=run.config.baseline.label,
        rows=[{"group": name, **row} for name, of in rows.items() for row in of],
    )


@dataclass(frozen=True)
class Selection:
    """Which views are measured: ids of cameras, and positions among all frames of the recording."""

    training_cameras: list[int]
    cameras: list[int]  # asked for
    frames: list[int]  # trained on
    new_frames: list[int]  # not trained on
    asked: set[tuple[int, int]]  # (camera, frame) of the views asked for; others only stand beside them
    align_cameras: bool = False  # novel views are measured once more, with cameras fitted to them

    def groups(self) -> dict[str, Views]:
        """The groups that have any views."""
        novel = [camera for camera in self.cameras if camera not in self.training_cameras]
        groups = {
            TRAINING_VIEWS: (self.training_cameras, self.frames),
            NOVEL_VIEWS: (novel, self.frames),
            NOVEL_POSES: (self.cameras, self.new_frames),
            ALIGNED_VIEWS: (novel if self.align_cameras else [], self.frames),
        }
        return {name: (cameras, frames) for name, (cameras, frames) in groups.items() if cameras and frames}


def select_views(
    run: AnyRun,
    poses: RecordingPoses,
    cameras: Sequence[int] | None,
    frames: str | Sequence[int] | None,
    align_cameras: bool = False,
) -> Selection:
    """What is asked for, training views of the same frames, and a sample of frames where none of a kind is.

    Without anything that drives their poses, frames not trained on are left out, and a UserError if asked for.
    """
    if align_cameras:
        need_parts(run, "--align-cameras")
    contents = poses.contents
    trained, every = set(run.camera_ids), contents.camera_ids
    if cameras is None:
        test = run.config.scene.test_cameras
        asked = list(test) if test else [i for i in every if i not in trained] or list(run.camera_ids)
    else:
        asked = list(cameras)
    camera_positions(contents.path, every, asked)  # says which are not there
    of_trained, known = poses.trained, set(poses.trained)
    of_new = [f for f in range(len(contents.frame_ids)) if f not in known]
    if frames is None:
        asked_frames = sample(of_trained) + sample(of_new)
    else:
        asked_frames = frame_positions(frames, len(contents.frame_ids), f"frames in {contents.path}")
    some_old, some_new = ([f for f in asked_frames if (f in known) == old] for old in (True, False))
    if frames is not None and some_new and poses.driver is None:
        raise UserError(
            contents.path,
            f"frame {contents.frame_ids[some_new[0]]} was not trained on, and there are no true points to drive its pose",
            "choose --frames among those trained on, or give points or joints in gt.npz",
        )
    return Selection(
        training_cameras=list(run.camera_ids),
        cameras=asked,
        frames=some_old or sample(of_trained),
        new_frames=(some_new or sample(of_new)) if poses.driver else [],
        asked={(camera, frame) for camera in asked for frame in asked_frames},
        align_cameras=align_cameras,
    )


def sample(frames: Sequence[int]) -> list[int]:
    """At most `SAMPLE` of them, evenly."""
    return list(frames)[:: max(1, math.ceil(len(frames) / SAMPLE))]


def evaluate_groups(
    run: AnyRun,
    groups: Mapping[str, Views],
    poses: RecordingPoses,
    lpips: Mapping[str, Lpips],
    on_view: Callable[[Rendered], None] | None = None,
    on_progress: Progress | None = None,
    what: str = "rendering",
) -> tuple[dict[str, list[Row]], tuple[int, int]]:
    """Renders all views of all groups at the size trained at, and compares them with what was filmed.

    Args:
        poses: must know every frame; those not trained on need its driver.
        lpips: from `load_lpips`, by the names of their metrics; none where they are not available.
        on_view: called with each view, in the order of the rows.
        what: is being done, for `on_progress`.

    `ALIGNED_VIEWS` are views of cameras that are fitted to them first; they must come last.

    Returns:
        {group: a row for each of its views}, and the (height, width) that they were measured at.
    """
    frames = sorted({frame for _, of in groups.values() for frame in of})
    cameras = sorted({camera for ids, _ in groups.values() for camera in ids})
    scene = run.load_scene(cameras=cameras, frames=frames)
    total, done = sum(len(ids) * len(of) for ids, of in groups.values()), 0
    rows: dict[str, list[Row]] = {}

    def pose(frame: int, camera: int) -> Any:
        return poses.posed(frames[frame], camera)

    for name, (ids, of) in groups.items():
        if name == ALIGNED_VIEWS:
            assert not isinstance(run, BaselineRun)  # checked
            scene = dataclasses.replace(scene, cameras=aligned_cameras(run, scene, pose, ids))

        def take(
            camera: int, frame: int, posed: Any, image: Image, group: str = name, seen: Scene = scene
        ) -> None:
            nonlocal done
            done += 1
            if on_view is not None:
                on_view(Rendered(group, seen, camera, frame, posed, image))
            if on_progress is not None:
                on_progress(what, done, total)

        rows[name] = evaluate_views(
            run,
            pose,
            scene,
            [scene.cameras.ids.index(camera) for camera in ids],
            [frames.index(frame) for frame in of],
            lpips=lpips,
            on_image=take,
        )
    return rows, scene.size


def evaluate_views(
    run: AnyRun,
    posed: Callable[[int, int], Any],
    scene: Scene,
    cameras: Sequence[int],
    frames: Sequence[int],
    *,
    lpips: Mapping[str, Lpips] | None = None,
    on_image: Callable[[int, int, Any, Image], None] | None = None,
) -> list[Row]:
    """Renders views of a scene at its size and compares them with its images.

    Args:
        posed: the pose at a position among the scene's frames that a camera (id) shows.
        cameras, frames: positions (not ids) in `scene`; every pair of them is a view.
        lpips: from `metrics.load_lpips`, by the names of their metrics.
        on_image: called with camera position, frame position, pose and picture of each view, in order.

    Returns:
        A row per view, frame after frame: `camera` and `frame` ids, and the metrics of `metrics.image_metrics`.
    """
    rows = []
    for frame in frames:
        for camera in cameras:
            camera_id = scene.cameras.ids[camera]
            pose = posed(frame, camera_id)
            image = run.image(pose, scene.cameras, camera)
            image = image.tinted(run.found.color(camera_id))
            truth, mask = scene.rgba[camera, frame], scene.mask[camera, frame]
            metrics = compare(image, truth, mask, run.background, lpips)
            rows.append({"camera": camera_id, "frame": scene.frame_ids[frame], **metrics})
            if on_image is not None:
                on_image(camera, frame, pose, image)
    return rows


def finite(value: Any) -> Any:
    """JSON has no NaN: what is undefined is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
