"""A recording in any layout made into a scene of one's own: placed, written in the raw layout, checked and shown.

plan = plan_import(Path("film"), size=512)
imported = write_import(plan, Path("film-scene"))
checked = check_import(imported)
require_usable(imported)
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast import __version__
from wim_fast.errors import UserError
from wim_fast.importing.checks.check import CalibrationReport, check_calibration
from wim_fast.importing.checks.mistakes import MOST_LAG
from wim_fast.importing.pixels import SampleFrames, write_images
from wim_fast.importing.placement import Placement, place
from wim_fast.importing.staging import WORK, staged
from wim_fast.importing.survey import Sighting, crop_windows, survey, with_kept_masks
from wim_fast.importing.verdict import Verdict, judge
from wim_fast.recordings.read import read_recording
from wim_fast.recordings.recording import Framing, GroundTruth
from wim_fast.recordings.selection import parse_frames
from wim_fast.recordings.write import IMPORT_REPORT, write_cameras, write_truth
from wim_fast.scene.load import OBJECT_EXTENT, load_scene
from wim_fast.scene.pixel_cache import fingerprint
from wim_fast.scene.scene import Scene


@dataclass(frozen=True)
class Plan:
    """What is to be imported, and how.

    Attributes:
        framing: of whole pictures.
        size: the longest that a longer side of the images may be, pixels; None: pixels stay as filmed.
        crop: whether a window round the object is kept of each camera's pictures.
        made_of: changes with the source's files and with what was chosen of them.
    """

    framing: Framing
    size: int | None
    crop: bool
    made_of: str

    def cropped(self, sightings: Sequence[Sighting]) -> Framing:
        """How pictures become images, when it is known where the object is."""
        framing = self.framing
        windows = crop_windows(sightings, framing.natives) if self.crop else framing.windows
        return framing.of_windows(windows, self.size)


@dataclass(frozen=True)
class Imported:
    """What `write_import` wrote, and what it saw on the way."""

    folder: Path
    framing: Framing
    sightings: Sequence[Sighting]  # by camera
    sample: SampleFrames
    placement: Placement


@dataclass(frozen=True)
class Checked:
    """What `check_import` found."""

    scene: Scene  # of the frames looked at and those next to them
    calibration: CalibrationReport
    verdict: Verdict
    picture: Path


def plan_import(
    source: Path,
    *,
    calibration: Path | None = None,
    format: str = "auto",
    masks: str | None = None,
    empty: Path | None = None,
    frames: str | None = None,
    size: int | None = None,
    crop: bool = True,
    without: Sequence[int] = (),
) -> Plan:
    """Which cameras and frames, and what becomes of their pictures. One picture of each camera is read.

    Args:
        source, calibration, format, masks, empty, without: see `read_recording`.
        frames: which of the frames that all cameras have, as `start:stop[:step]`; None: all.
        size, crop: see `Plan`.
    """
    recording = read_recording(
        source, calibration=calibration, format=format, masks=masks, empty=empty, without=without
    ).in_step()
    if frames is not None:
        recording = recording.select(frames=parse_frames(frames, len(recording.frame_ids)))
    files = fingerprint([Path(p) for p in (source, calibration, masks, empty) if p is not None])
    chosen = __version__, format, masks, recording.camera_ids, recording.frame_ids, size, crop
    return Plan(recording.framing(), size, crop, f"{files} {chosen}")


def write_import(
    plan: Plan,
    output: Path,
    *,
    up: str = "auto",
    overwrite: bool = False,
    say: Callable[[str], None] = lambda text: None,
    on_mask: Callable[[], None] = lambda: None,
    on_image: Callable[[], None] = lambda: None,
) -> Imported:
    """The scene's folder, which appears whole or not at all; one that was interrupted goes on where it was.

    Args:
        up: up axis of the calibration, one of `placement.UPS`.
        overwrite: an imported scene that is there is replaced.
        say: told what becomes of an interrupted import.
        on_mask, on_image: called after each mask of the first pass, and each image of the second.

    Raises UserError for what cannot be used.
    """
    with staged(output, overwrite, plan.made_of, say) as folder:
        sightings = survey(folder / WORK, plan.framing, on_mask)
        _check_seen(plan.framing, sightings)
        framing = plan.cropped(sightings)
        sample = write_images(folder, with_kept_masks(folder / WORK, framing), on_image)
        cameras = framing.cameras
        placement = place(cameras, [sample.masks[:, k] for k in range(len(sample.frames))], up)
        write_cameras(folder, placement.moved(cameras))
        truth = framing.recording.read_truth()
        if truth is not None:
            write_truth(folder, _placed(truth, placement))
        imported = Imported(output, framing, sightings, sample, placement)
        _write_report(folder, _report(imported))
    return imported


def check_import(imported: Imported) -> Checked:
    """Cameras against masks; a picture and what was found are written into the scene's folder."""
    from wim_fast.drawing.images import write_png
    from wim_fast.importing.pictures import PICTURE, overview

    folder, sample = imported.folder, imported.sample
    frame_ids = imported.framing.recording.frame_ids
    positions = [frame_ids.index(frame) for frame in sample.frames]
    near = sorted({p + k for p in positions for k in range(-MOST_LAG, MOST_LAG + 1)})
    near = [p for p in near if 0 <= p < len(frame_ids)]  # a camera may be out of step
    scene = load_scene(folder, frames=near, coordinate_scale=1.0)
    frames = [near.index(p) for p in positions]
    calibration = check_calibration(scene, frames)
    verdict = judge(imported.framing, imported.sightings, imported.placement, scene, calibration)
    shown = sample.scene(folder, scene.cameras)
    scale, (height, width) = imported.placement.scale, scene.size
    said = [
        f"images of {width} x {height} pixels; the object is {OBJECT_EXTENT / scale:.3g} units long",
        *calibration.verdicts,
        *verdict.notes,
        verdict.line(f"wim-fast train --scene {folder.name}"),
    ]
    picture = write_png(folder / PICTURE, overview(shown, scale, said))
    told = {"check": calibration.to_dict(), "mend": verdict.mend, "notes": verdict.notes}
    _write_report(folder, {**_report(imported), **told})
    return Checked(scene, calibration, verdict, picture)


def require_usable(imported: Imported) -> None:
    """UserError for a scene that nothing can be learned from."""
    from wim_fast.importing.pictures import PICTURE

    if not imported.placement.meets:
        raise UserError(
            imported.folder,
            "the masks do not meet in space, so the cameras do not fit the pictures",
            f"look at {PICTURE}: are cameras matched to the right pictures, poses world to"
            " camera (or the other way round), frames in step, masks of the object?",
        )


def _placed(truth: GroundTruth, placement: Placement) -> GroundTruth:
    M = placement.matrix
    return truth.changed(lambda points: (points @ M[:3, :3].T + M[:3, 3]).astype(np.float32))


def _check_seen(framing: Framing, sightings: Sequence[Sighting]) -> None:
    """UserError if no camera sees the object."""
    if not any(sighting.box for sighting in sightings):
        remedy = "check the masks: the object is white, the background black"
        raise UserError(framing.recording.path, "all masks are empty", remedy)


def _report(imported: Imported) -> dict[str, Any]:
    """All that is needed to find back from the scene to the recording."""
    framing, placement = imported.framing, imported.placement
    recording = framing.recording
    cameras = {}
    rows = zip(recording.cameras, framing.natives, framing.windows, imported.sightings, strict=True)
    for camera, native, w, sighting in rows:
        cameras[str(camera.id)] = {
            "pictures": camera.name,
            "calibration": camera.calibrated.name,
            "width": native[1],
            "height": native[0],
            "K": camera.intrinsics(native).tolist(),
            "lens": dataclasses.asdict(camera.calibrated.lens),
            "T_camera_world": camera.calibrated.T_camera_world.tolist(),
            "window": [w.x0, w.y0, w.x1, w.y1],
            "frames_seen": sighting.seen,
            "frames_cut_off": sighting.cut_off,
            "background": sighting.background,
        }
    return {
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


def _write_report(folder: Path, report: dict[str, Any]) -> None:
    (folder / IMPORT_REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
