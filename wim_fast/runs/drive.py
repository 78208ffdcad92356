"""Poses that follow from points which move with the object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast import strict_npz
from wim_fast.errors import UserError
from wim_fast.evaluation.joints import object_extent
from wim_fast.files import output_folder
from wim_fast.posing.drive import drive, fit_drive
from wim_fast.posing.regression import rest_points
from wim_fast.posing.rigid_drive import drive_rigid, fit_rigid
from wim_fast.runs.baseline_run import AnyRun, BaselineRun
from wim_fast.runs.camera_path import CameraPath, choose_path, recorded_path, resized_to
from wim_fast.runs.defaults import FPS
from wim_fast.runs.opened_run import frame_positions
from wim_fast.runs.render import Progress, view_of, write_pictures
from wim_fast.scene.scene import SceneContents


@dataclass(frozen=True)
class Driven:
    """Poses that follow from driving points, and how well.

    Attributes:
        source: what the points are called.
        motion: a pose for each row of the points, world units.
        points: how many points drive.
        fitted: rows that the map was learned from.
        residual: mean distance of the model's points from the learned ones on these rows, world units.
        held_out_error: of these points on rows that were held out of the fit, world units.
        extent: size of the object, world units.
    """

    source: str
    motion: Any  # as `run.motion_of` gives it
    points: int
    fitted: list[int]
    residual: float
    held_out_error: float
    extent: float


def driven_points(
    run: AnyRun, points: np.ndarray, fit_points: np.ndarray, motion: Any, linear: bool = False
) -> tuple[np.ndarray, float]:
    """Where the model's points (`run.points_in`) are for points that drive it, and their error on held-out frames.

    Args:
        points: (N, M, 3) world units.
        fit_points: (T, M, 3) the same ones in the frames to learn from.
        motion: the model's in these frames.
        linear: by the linear map of A.10 alone, as a baseline always is.

    Returns:
        (N, ., 3) and the mean distance, world units.
    """
    if linear or isinstance(run, BaselineRun):
        fit = fit_drive(fit_points, run.points_in(motion))
        return drive(fit, points), fit.held_out_error
    rest = rest_points(run.semi_axes)
    rigid = fit_rigid(fit_points, motion.rotation, motion.translation, rest)
    return drive_rigid(rigid, points), rigid.held_out_error


def drive_parts(
    run: AnyRun,
    points: np.ndarray,
    fit_frames: str | Sequence[int] | None = None,
    source: str = "points",
    linear: bool = False,
) -> Driven:
    """Poses of the model from points that move with the object.

    Args:
        points: (N, M, 3) in the units of the recording's files; row r is frame number r of the recording, and
            rows may go on after its end.
        fit_frames: rows to learn from, which must be frames trained on; None: all of these.
        source: what the points are called in errors.
        linear: by the linear map of supplement A.10, in place of rigid parts that follow the points on them.
    """
    contents = run.scan_recording()
    trained = run.trained_positions(contents)
    points = checked_points(points, source) / run.coordinate_scale
    fitted = fit_rows(fit_frames, len(points), contents, trained, source)
    model: Any = run
    motion = model.motion.at([trained.index(row) for row in fitted])
    driven, held_out_error = driven_points(run, points, points[fitted], motion, linear)
    off = np.linalg.norm(driven[fitted] - model.points_in(motion), axis=-1)
    extent = object_extent(points)
    return Driven(
        source, run.motion_of(driven), points.shape[1], fitted, float(off.mean()), held_out_error, extent
    )


def drive_file(run: AnyRun, file: Path, fit_frames: str | None = None, linear: bool = False) -> Driven:
    """The same of points in an npz file, see `read_points`."""
    return drive_parts(run, read_points(file), fit_frames, str(file), linear)


def write_driven_videos(
    run: AnyRun,
    driven: Driven,
    output: Path | None = None,
    *,
    frames: str | Sequence[int] | None = None,
    cameras: Sequence[int] | None = None,
    camera: int | None = None,
    circle: bool = False,
    size: int | None = None,
    parts: bool = False,
    joints: bool = False,
    fps: float | None = None,
    on_progress: Progress | None = None,
) -> list[Path]:
    """Driven poses as pictures and videos; returns what `render.write_pictures` does, for each camera.

    Args:
        output: a folder; None: RUN/novel_pose/<name of the points' file>.
        frames: rows to render; None: those that were not trained on.
        cameras: ids, a video from each; None: all that were not trained on. Their pictures have the scene's
            size, as those of an evaluation, if no other is asked for.
        camera, circle: one video instead, see `camera_path.choose_path`.
    """
    contents = run.scan_recording()
    rows = rows_to_render(frames, driven, run.trained_positions(contents))
    motion, ids = driven.motion.at(rows), [frame_id(contents, row) for row in rows]
    if circle or camera is not None:
        paths = [choose_path(run, motion, ids, camera=camera, circle=circle, size=size)]
    else:
        paths = fixed_paths(run, contents, ids, cameras, size)
    view = view_of(run, parts, joints)
    with output_folder(output or run.path / "novel_pose" / Path(driven.source).stem) as folder:
        written = (write_pictures(view, motion, path, folder, fps or FPS, on_progress) for path in paths)
        return [file for files in written for file in files]


def fixed_paths(
    run: AnyRun,
    contents: SceneContents,
    frame_ids: Sequence[int],
    cameras: Sequence[int] | None,
    size: int | None,
) -> list[CameraPath]:
    """A sequence from each camera of the recording."""
    unseen = [camera for camera in contents.camera_ids if camera not in run.camera_ids]
    chosen = run.recorded_cameras(cameras or unseen or run.camera_ids)
    if size is not None:
        chosen = resized_to(chosen, size)
    return [recorded_path(chosen, index, frame_ids) for index in range(len(chosen))]


def rows_to_render(frames: str | Sequence[int] | None, driven: Driven, trained: Sequence[int]) -> list[int]:
    """The rows asked for; None: those that were not trained on, or all if there are no such."""
    count = len(driven.motion)
    if frames is not None:
        return frame_positions(frames, count, f"rows in {driven.source}")
    return [row for row in range(count) if row not in set(trained)] or list(range(count))


def fit_rows(
    frames: str | Sequence[int] | None,
    count: int,
    contents: SceneContents,
    trained: Sequence[int],
    source: str,
) -> list[int]:
    """Rows of the points to learn from. Row r is frame r of the recording, which must be trained on."""
    if frames is None:
        rows = [row for row in trained if row < count]
    else:
        rows = frame_positions(frames, count, f"rows in {source}", "training frames")
    untrained = [row for row in rows if row not in set(trained)]
    if untrained:
        frame = frame_id(contents, untrained[0])
        raise UserError(
            f"training frames {frames}",
            f"row {untrained[0]} is frame {frame} of the recording, which was not trained on",
            "choose rows whose frames were trained on",
        )
    if not rows:
        raise UserError(
            source,
            f"its {count} rows end before the first frame trained on (row {min(trained)})",
            "give a row for each frame of the recording, from the first one on",
        )
    return rows


def frame_id(contents: SceneContents, row: int) -> int:
    """Frame id of a row of points; rows past the end of the recording go on counting."""
    count = len(contents.frame_ids)
    return contents.frame_ids[row] if row < count else contents.frame_ids[-1] + 1 + row - count


POINTS_REMEDY = "write it with numpy.savez(file, points=...), shape (T, M, 3), a row for each frame"


def read_points(path: Path) -> np.ndarray:
    """(N, M, 3) from an npz with `points` (or else `joints`). UserError if there is no such file, or it holds neither."""
    try:
        arrays = strict_npz.read(path, ("points", "joints"), POINTS_REMEDY)
    except FileNotFoundError:
        raise UserError(path, "there is no such file", "give the path of an npz file of points") from None
    if not arrays:
        raise UserError(path, "holds neither points nor joints", POINTS_REMEDY)
    return next(iter(arrays.values()))


def checked_points(points: np.ndarray, source: str) -> np.ndarray:
    """(N, M, 3) float64; UserError if they are something else, or not finite."""
    points = np.asarray(points)
    if points.ndim != 3 or points.shape[2] != 3 or points.dtype.kind not in "fiu" or not points.size:
        raise UserError(source, f"the points are {points.dtype} of shape {points.shape}", POINTS_REMEDY)
    if not np.isfinite(points).all():
        raise UserError(
            source, "the points are not finite everywhere", "fill in or leave out what is missing"
        )
    return points.astype(float)
