"""`wim-fast render-novel-pose`: poses that were never filmed.

Parts turned by hand (supplement A.8), or driven by points that move with the object (A.10).
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wim_fast.errors import UserError
from wim_fast.evaluation.joints import object_extent
from wim_fast.files import output_folder
from wim_fast.model.motion import Motion, edges_of, joints_of, learned_motion, semi_axes_of
from wim_fast.posing.drive import drive, fit_drive
from wim_fast.posing.pose_file import read_pose_file
from wim_fast.posing.repose import repose_sequence
from wim_fast.posing.tree import default_root
from wim_fast.runs.defaults import FPS
from wim_fast.runs.joint_list import list_joints
from wim_fast.runs.studio import (
    Shot,
    choose_shot,
    make_view,
    open_run,
    picture_name,
    positions,
    resized_to,
    scan,
    shoot,
    some_cameras,
    trained_positions,
)
from wim_fast.scene.scene import SceneContents
from wim_fast.terminal import say, say_written
from wim_fast.training.run_folder import Run


def render_novel_pose(args: argparse.Namespace) -> None:
    """Poses the model and renders it."""
    _check_flags(args)
    run = open_run(args)
    if args.list_joints:
        list_joints(run, args)
    elif args.pose is not None:
        render_pose_file(run, args)
    else:
        render_driven(run, args)


def _check_flags(args: argparse.Namespace) -> None:
    """UserError for flags that would do nothing."""
    for flag, value in (
        ("--train-frames", args.train_frames),
        ("--frames", args.frames),
        ("--cameras", args.cameras),
    ):
        if value is not None and args.drive is None:
            raise UserError(
                flag, "goes with --drive", "leave it out; --camera and --turntable say where to look from"
            )
    if args.cameras and (args.camera is not None or args.turntable):
        raise UserError("--cameras", "goes without --camera and --turntable", "give one of them")


def render_pose_file(run: Run, args: argparse.Namespace) -> None:
    """The motion that a pose file describes (supplement A.8)."""
    learned, semi_axes = learned_motion(run.model, run.backend.pose_mlp), semi_axes_of(run.model)
    edges = edges_of(run.model)
    pose = read_pose_file(args.pose, len(semi_axes), len(learned))
    if args.fps is not None:
        pose = dataclasses.replace(pose, fps=max(1, round(args.fps)))
    start = learned.at([pose.frame])
    root = pose.root
    if root is None:
        root = default_root(edges, semi_axes, learned.rotation, learned.translation)
    rotation, translation = repose_sequence(
        start.rotation[0],
        start.translation[0],
        joints_of(run.model, start)[0],
        edges,
        root,
        pose.rotations,
        pose.num_frames,
        pose.sequence,
        pose.axes,
        [x / run.coordinate_scale for x in pose.root_translation],
    )
    motion = Motion(rotation, translation)
    shot = choose_shot(run, args, motion, range(len(motion)))
    with output_folder(args.output or run.path / "novel_pose" / args.pose.stem) as folder:
        view = make_view(run, args.parts, args.joints)
        say_written(shoot(view, motion, shot, folder, pose.fps))


def render_driven(run: Run, args: argparse.Namespace) -> None:
    """Poses that follow from points which move with the object (supplement A.10)."""
    contents = scan(run)
    points = read_points(args.drive) / run.coordinate_scale
    learned, trained = learned_motion(run.model, run.backend.pose_mlp), trained_positions(run, contents)
    fitted = fit_rows(args, points, contents, trained)
    rows = args.frames and positions(args.frames, len(points), f"rows in {args.drive}")
    rows = rows or [row for row in range(len(points)) if row not in set(trained)] or list(range(len(points)))

    seen = learned.at([trained.index(row) for row in fitted])
    fit = fit_drive(points[fitted], seen.rotation, seen.translation, semi_axes_of(run.model))
    _, centers = drive(fit, points[fitted])
    residual = float(np.linalg.norm(centers - seen.translation, axis=-1).mean())
    extent = object_extent(points)

    def length(x: float) -> str:
        return f"{x * run.coordinate_scale:.3g} ({x / extent:.2%} of the object's extent)"

    say(
        f"{points.shape[1]} points drive {centers.shape[1]} parts, learned from {len(fitted)} frames. "
        f"Residual: {length(residual)} for part centres on these frames, "
        f"{length(fit.held_out_error)} for part points on frames held out of the fit"
    )
    motion = Motion(*drive(fit, points[rows]))
    view = make_view(run, args.parts, args.joints)
    frame_ids = [frame_id(contents, row) for row in rows]
    written = []
    with output_folder(args.output or run.path / "novel_pose" / args.drive.stem) as folder:
        for shot in driven_shots(run, args, contents, motion, frame_ids):
            written += shoot(view, motion, shot, folder, args.fps or FPS)
        say_written(written)


def driven_shots(
    run: Run, args: argparse.Namespace, contents: SceneContents, motion: Motion, frame_ids: Sequence[int]
) -> list[Shot]:
    """A sequence for each camera; the pictures have the scene's size, as those of `wim-fast evaluate`."""
    if args.turntable or args.camera is not None:
        return [choose_shot(run, args, motion, frame_ids)]
    unseen = [camera for camera in contents.camera_ids if camera not in run.camera_ids]
    cameras = some_cameras(run, args.cameras or unseen or run.camera_ids)
    if args.size is not None:
        cameras = resized_to(cameras, args.size)
    return [
        Shot(
            cameras.select([position] * len(frame_ids)),
            [picture_name(frame, camera) for frame in frame_ids],
            f"camera_{camera:03d}.mp4",
        )
        for position, camera in enumerate(cameras.ids)
    ]


def fit_rows(
    args: argparse.Namespace, points: np.ndarray, contents: SceneContents, trained: Sequence[int]
) -> list[int]:
    """Rows of the points to learn from. Row r is frame r of the recording, which must be trained on."""
    if args.train_frames is None:
        rows = [row for row in trained if row < len(points)]
    else:
        rows = positions(args.train_frames, len(points), f"rows in {args.drive}", "--train-frames")
    untrained = [row for row in rows if row not in set(trained)]
    if untrained:
        frame = frame_id(contents, untrained[0])
        raise UserError(
            f"--train-frames {args.train_frames}",
            f"row {untrained[0]} is frame {frame} of the recording, which was not trained on",
            "choose rows whose frames were trained on",
        )
    if not rows:
        raise UserError(
            args.drive,
            f"its {len(points)} rows end before the first frame trained on (row {min(trained)})",
            "give a row for each frame of the recording, from the first one on",
        )
    return rows


def frame_id(contents: SceneContents, row: int) -> int:
    """Frame id of a row of points; rows past the end of the recording go on counting."""
    count = len(contents.frame_ids)
    return contents.frame_ids[row] if row < count else contents.frame_ids[-1] + 1 + row - count


def read_points(path: Path) -> np.ndarray:
    """(T, M, 3) float64 in the units of the scene's files, from an npz with `points` (or else `joints`).

    UserError if the file is missing, no npz, or holds something else.
    """
    remedy = "write it with numpy.savez(file, points=...), shape (T, M, 3), a row for each frame"
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {key: data[key] for key in ("points", "joints") if key in data}
    except FileNotFoundError:
        raise UserError(path, "there is no such file", "give the path of an npz file of points") from None
    except Exception as error:  # numpy, zipfile and zlib raise many kinds on a malformed archive
        raise UserError(path, f"is no npz file that can be read ({error})", remedy) from None
    if not arrays:
        raise UserError(path, "holds neither points nor joints", remedy)
    name, points = next(iter(arrays.items()))
    if points.ndim != 3 or points.shape[2] != 3 or points.dtype.kind not in "fiu" or not points.size:
        raise UserError(path, f"{name} is {points.dtype} of shape {points.shape}", remedy)
    if not np.isfinite(points).all():
        raise UserError(path, f"{name} is not finite everywhere", "fill in or leave out what is missing")
    return points.astype(float)
