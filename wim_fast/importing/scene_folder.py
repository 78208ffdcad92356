"""A recording in any layout made into a scene of one's own: placed, written in the raw layout, checked and shown.

framing = plan_import(Path("film"), size=512)
imported = write_import(framing, Path("film-scene"))
checked = check_import(imported)
require_usable(imported, checked)
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast.errors import SceneWarning, UserError
from wim_fast.importing.checks.check import CalibrationReport, check_calibration
from wim_fast.importing.checks.mistakes import MOST_LAG
from wim_fast.importing.pixels import SampleFrames, write_images
from wim_fast.importing.placement import BY_CAMERAS, LEVEL, Placement, place
from wim_fast.importing.staging import staged
from wim_fast.recordings.background import Found
from wim_fast.recordings.film import BackgroundFilm
from wim_fast.recordings.masks import OBJECT
from wim_fast.recordings.read import read_recording
from wim_fast.recordings.recording import Framing, GroundTruth
from wim_fast.recordings.selection import parse_frames
from wim_fast.recordings.write import IMPORT_REPORT, write_cameras, write_truth
from wim_fast.scene.load import check_trainable, load_scene
from wim_fast.scene.scene import Scene

DEFAULT_SIZE = 1024  # longer side of the images, if they were filmed larger


@dataclass(frozen=True)
class Imported:
    """What `write_import` wrote, and what it saw on the way."""

    folder: Path
    framing: Framing
    sample: SampleFrames
    placement: Placement
    background: Mapping[str, Found]  # by camera, of background subtraction


@dataclass(frozen=True)
class Checked:
    """What `check_import` found."""

    scene: Scene  # of the frames looked at and those next to them
    calibration: CalibrationReport
    pictures: tuple[Path, ...]


def plan_import(
    source: Path,
    *,
    calibration: Path | None = None,
    format: str = "auto",
    masks: str | None = None,
    empty: Path | None = None,
    frames: str | None = None,
    size: int | None = None,
    without: Sequence[int] = (),
) -> Framing:
    """Which cameras and frames, and how pictures become images of one size. One picture of each camera is read.

    Args:
        source, calibration, format, masks, empty, without: see `read_recording`.
        frames: which of the frames that all cameras have, as `start:stop[:step]`; None: all.
        size: longer side of the images in pixels; None: as filmed, at most `DEFAULT_SIZE`.
    """
    recording = read_recording(
        source, calibration=calibration, format=format, masks=masks, empty=empty, without=without
    ).in_step()
    if frames is not None:
        recording = recording.select(frames=parse_frames(frames, len(recording.frame_ids)))
    return recording.framing(size, at_most=DEFAULT_SIZE)


def write_import(
    framing: Framing,
    output: Path,
    *,
    up: str = "auto",
    overwrite: bool = False,
    on_image: Callable[[], None] = lambda: None,
) -> Imported:
    """The scene's folder, which appears whole or not at all.

    Args:
        up: up axis of the calibration, one of `placement.UPS`.
        overwrite: an imported scene that is there is replaced.
        on_image: called after each image.

    Raises UserError for what cannot be used, and warns (SceneWarning) of what is doubtful.
    """
    recording = framing.recording
    with staged(output, overwrite) as folder:
        sample = write_images(folder, framing, on_image)
        _check_seen(framing, sample)
        cameras = framing.cameras
        placement = place(cameras, [sample.masks[:, k] for k in range(len(sample.frames))], up)
        write_cameras(folder, placement.moved(cameras))
        truth = recording.read_truth()
        if truth is not None:
            write_truth(folder, _placed(truth, placement))
        films = {camera.name: camera.film for camera in recording.cameras}
        background = {n: film.found for n, film in films.items() if isinstance(film, BackgroundFilm)}
        imported = Imported(output, framing, sample, placement, background)
        _write_report(folder, _report(imported))
    _warn(imported)
    return imported


def check_import(imported: Imported) -> Checked:
    """Cameras against masks; pictures and what was found are written into the scene's folder."""
    from wim_fast.drawing.images import write_png
    from wim_fast.importing.pictures import cameras_in_3d, contact_sheet

    folder, sample = imported.folder, imported.sample
    frame_ids = imported.framing.recording.frame_ids
    positions = [frame_ids.index(frame) for frame in sample.frames]
    near = sorted({p + k for p in positions for k in range(-MOST_LAG, MOST_LAG + 1)})
    near = [p for p in near if 0 <= p < len(frame_ids)]  # a camera may be out of step
    scene = load_scene(folder, frames=near, coordinate_scale=1.0)
    frames = [near.index(p) for p in positions]
    shown = sample.scene(folder, scene.cameras)
    pictures = (
        write_png(folder / "contact_sheet.png", contact_sheet(shown, range(len(sample.frames)))),
        write_png(folder / "cameras.png", cameras_in_3d(scene, frames[0], (0.0, 0.0, 1.0))),
    )
    calibration = check_calibration(scene, frames)
    _write_report(folder, {**_report(imported), "check": calibration.to_dict()})
    return Checked(scene, calibration, pictures)


def require_usable(imported: Imported, checked: Checked) -> None:
    """UserError for a scene that nothing can be learned from."""
    if not imported.placement.meets:
        raise UserError(
            imported.folder,
            "the masks do not meet in space, so the cameras do not fit the pictures",
            "look at contact_sheet.png and cameras.png: are cameras matched to the right pictures, poses world to"
            " camera (or the other way round), frames in step, masks of the object?",
        )
    if checked.scene.num_frames > 1:
        check_trainable(checked.scene)


def _placed(truth: GroundTruth, placement: Placement) -> GroundTruth:
    M = placement.matrix
    return truth.changed(lambda points: (points @ M[:3, :3].T + M[:3, 3]).astype(np.float32))


def _check_seen(framing: Framing, sample: SampleFrames) -> None:
    """UserError if no camera sees the object, SceneWarning for one that does not."""
    source = framing.recording.path
    if not (sample.masks == OBJECT).any():
        raise UserError(
            source, "all masks are empty", "check the masks: the object is white, the background black"
        )
    for camera, masks in zip(framing.recording.cameras, sample.masks, strict=True):
        if not (masks == OBJECT).any():
            text = (
                f"{source}: camera {camera.id} ({camera.name}) never sees the object in the frames looked at"
            )
            warnings.warn(text, SceneWarning, stacklevel=3)


def _warn(imported: Imported) -> None:
    """SceneWarnings of what is doubtful."""
    placement = imported.placement
    doubts = [f"camera {n}: {text}" for n, found in imported.background.items() for text in found.warnings()]
    if placement.tilt > LEVEL and placement.up_from == BY_CAMERAS:
        doubts.append(
            f"the cameras are tilted by {placement.tilt:.0f} degrees: what is up may be wrong, give --up"
        )
    if placement.left_out is not None:
        doubts.append(
            f"the masks only meet without camera {placement.left_out}: its calibration does not fit the others"
        )
    for text in doubts:
        warnings.warn(text, SceneWarning, stacklevel=3)


def _report(imported: Imported) -> dict[str, Any]:
    """All that is needed to find back from the scene to the recording."""
    framing, placement = imported.framing, imported.placement
    recording = framing.recording
    cameras = {}
    for camera, native, w in zip(recording.cameras, framing.natives, framing.windows, strict=True):
        cameras[str(camera.id)] = {
            "pictures": camera.name,
            "calibration": camera.calibrated.name,
            "width": native[1],
            "height": native[0],
            "K": camera.intrinsics(native).tolist(),
            "lens": dataclasses.asdict(camera.calibrated.lens),
            "T_camera_world": camera.calibrated.T_camera_world.tolist(),
            "window": [w.x0, w.y0, w.x1, w.y1],
        }
    report: dict[str, Any] = {
        "source": str(recording.path),
        "calibration": {"path": str(recording.origin.calibration), "format": recording.origin.layout},
        "masks": recording.origin.masks,
        "frames": list(recording.frame_ids),
        "T_scene_world": placement.matrix.tolist(),
        "scale": placement.scale,
        "up": placement.up.tolist(),
        "up_from": placement.up_from,
        "tilt": placement.tilt,
        "cameras": cameras,
    }
    if imported.background:
        report["background"] = {
            name: {**found.numbers(), "warnings": found.warnings()}
            for name, found in imported.background.items()
        }
    return report


def _write_report(folder: Path, report: dict[str, Any]) -> None:
    (folder / IMPORT_REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
