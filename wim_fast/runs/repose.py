"""Poses made by hand: parts turned about their joints (supplement A.8)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from wim_fast.errors import UserError
from wim_fast.files import output_folder
from wim_fast.model.motion import Motion
from wim_fast.posing.pose_file import PoseFile, read_pose_file
from wim_fast.posing.repose import Axes, repose, repose_sequence
from wim_fast.posing.tree import default_root
from wim_fast.runs.camera_path import choose_path
from wim_fast.runs.opened_run import check_frame
from wim_fast.runs.render import Progress, view_of, write_pictures
from wim_fast.runs.trained_model import TrainedModel


def root_of(run: TrainedModel) -> int:
    """The root when none is named: a base that hardly moves, else the middle of the tree."""
    motion = run.motion
    return default_root(run.edges, run.semi_axes, motion.rotation, motion.translation)


def repose_frame(
    run: TrainedModel,
    rotations: Mapping[int, Sequence[float]],
    frame: int = 0,
    *,
    root: int | None = None,
    axes: Axes = "world",
    root_translation: Sequence[float] = (0.0, 0.0, 0.0),
) -> Motion:
    """The learned pose of a frame with some parts turned about the joints to their parents (supplement A.8).

    Args:
        rotations: {part: axis-angle (3,) in degrees}. All are read in the learned pose: see `posing.repose.repose`.
        frame: position among the frames trained on, 0..T-1.
        root: the part that stays where it is; None: a base that hardly moves, else the middle of the tree.
        axes: of the rotations: of the world, or of each part.
        root_translation: (3,) moves the whole object, in the units of the recording's files.

    Returns:
        One pose, world units. UserError for a part or frame that is not there.
    """
    check_frame(run, frame)
    count = len(run.semi_axes)
    for part in [*rotations, *([] if root is None else [root])]:
        if not 0 <= part < count:
            raise UserError(f"part {part}", f"there are {count} parts", f"choose one from 0 to {count - 1}")
    start = run.motion.at([frame])
    rotation, translation = repose(
        start.rotation[0],
        start.translation[0],
        run.joints_in(start)[0],
        run.edges,
        root_of(run) if root is None else root,
        rotations,
        axes,
        [x / run.coordinate_scale for x in root_translation],
    )
    return Motion(rotation[None], translation[None])


def pose_file_motion(run: TrainedModel, pose: PoseFile) -> Motion:
    """The motion that a pose file describes, from the learned pose of its frame to the posed one."""
    start = run.motion.at([pose.frame])
    rotation, translation = repose_sequence(
        start.rotation[0],
        start.translation[0],
        run.joints_in(start)[0],
        run.edges,
        root_of(run) if pose.root is None else pose.root,
        pose.rotations,
        pose.num_frames,
        pose.sequence,
        pose.axes,
        [x / run.coordinate_scale for x in pose.root_translation],
    )
    return Motion(rotation, translation)


def write_pose_video(
    run: TrainedModel,
    file: Path,
    output: Path | None = None,
    *,
    camera: int | None = None,
    circle: bool = False,
    size: int | None = None,
    parts: bool = False,
    joints: bool = False,
    fps: float | None = None,
    on_progress: Progress | None = None,
) -> list[Path]:
    """The motion of a pose file as pictures and a video; see `render.write_pictures` for what is returned.

    Args:
        output: a folder; None: RUN/novel_pose/<name of the file>.
        camera, circle, size: see `camera_path.choose_path`.
    """
    pose = read_pose_file(file, len(run.semi_axes), len(run.motion))
    if fps is not None:
        pose = dataclasses.replace(pose, fps=max(1, round(fps)))
    motion = pose_file_motion(run, pose)
    path = choose_path(run, motion, range(len(motion)), camera=camera, circle=circle, size=size)
    with output_folder(output or run.path / "novel_pose" / file.stem) as folder:
        return write_pictures(view_of(run, parts, joints), motion, path, folder, pose.fps, on_progress)
