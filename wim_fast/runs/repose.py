"""Poses made by hand: parts, or the rigid bodies they make up, turned about their joints (supplement A.8)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from wim_fast.errors import UserError
from wim_fast.files import output_folder
from wim_fast.model.motion import Motion
from wim_fast.posing.pose_file import PoseFile, read_pose_file
from wim_fast.posing.repose import Axes, repose, repose_sequence
from wim_fast.posing.skeleton import PartsFound, Skeleton
from wim_fast.runs.camera_path import choose_path
from wim_fast.runs.opened_run import check_frame
from wim_fast.runs.render import Progress, view_of, write_pictures
from wim_fast.runs.skeleton import skeleton_of
from wim_fast.runs.trained_model import TrainedModel


def repose_frame(
    run: TrainedModel,
    rotations: Mapping[int, Sequence[float]],
    frame: int = 0,
    *,
    root: int | None = None,
    axes: Axes = "world",
    root_translation: Sequence[float] = (0.0, 0.0, 0.0),
    parts_found: PartsFound = None,
) -> Motion:
    """The learned pose of a frame with some parts or bodies turned about the joints to their parents (supplement A.8).

    Args:
        rotations: {part or body: axis-angle (3,) in degrees}, as `posing.repose.repose` reads them.
        frame: position among the frames trained on, 0..T-1.
        root: the part or body that stays where it is; None: a base that hardly moves, else the middle of the tree.
        axes: of the rotations: of the world, or of each part or body.
        root_translation: (3,) moves the whole object, in the units of the recording's files.
        parts_found: see `skeleton.PartsFound`; with bodies the numbers are theirs, and each takes its parts along.

    Returns:
        One pose, world units. UserError for a part, body or frame that is not there.
    """
    check_frame(run, frame)
    skeleton = skeleton_of(run, parts_found)
    check_nodes(skeleton, [*rotations, *([] if root is None else [root])])
    if axes not in ("world", skeleton.what):
        remedy = f"choose world or {skeleton.what}"
        raise UserError(f"axes {axes}", "are not of the world, nor of what turns", remedy)
    nodes = repose(
        skeleton.motion.rotation[frame],
        skeleton.motion.translation[frame],
        skeleton.joints[frame],
        skeleton.edges,
        skeleton.root if root is None else root,
        rotations,
        axes,
        [x / run.coordinate_scale for x in root_translation],
    )
    return skeleton.carried(frame, Motion(nodes[0][None], nodes[1][None]), run.motion.at([frame]))


def pose_file_motion(run: TrainedModel, pose: PoseFile, file: Path | None = None) -> Motion:
    """The motion that a pose file describes, from the learned pose of its frame to the posed one.

    UserError, that names the `file`, for a body that is not there.
    """
    skeleton = skeleton_of(run, pose.parts_found)
    named = [*(r.node for r in pose.rotations), *([] if pose.root is None else [pose.root])]
    check_nodes(skeleton, named, file)
    nodes = repose_sequence(
        skeleton.motion.rotation[pose.frame],
        skeleton.motion.translation[pose.frame],
        skeleton.joints[pose.frame],
        skeleton.edges,
        skeleton.root if pose.root is None else pose.root,
        pose.rotations,
        pose.num_frames,
        pose.sequence,
        pose.axes,
        [x / run.coordinate_scale for x in pose.root_translation],
    )
    return skeleton.carried(pose.frame, Motion(*nodes), run.motion.at([pose.frame]))


def check_nodes(skeleton: Skeleton, nodes: Iterable[int], file: Path | None = None) -> None:
    """UserError for a part or body that is not there; `file`: where it is named."""
    for node in nodes:
        if not 0 <= node < skeleton.count:
            where = f"{skeleton.what} {node}" if file is None else f"{file}: {skeleton.what} {node}"
            there = f"there are {skeleton.count} {'parts' if skeleton.what == 'part' else 'bodies'}"
            raise UserError(where, there, f"choose one from 0 to {skeleton.count - 1}")


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
    motion = pose_file_motion(run, pose, file)
    path = choose_path(run, motion, range(len(motion)), camera=camera, circle=circle, size=size)
    with output_folder(output or run.path / "novel_pose" / file.stem) as folder:
        return write_pictures(view_of(run, parts, joints), motion, path, folder, pose.fps, on_progress)
