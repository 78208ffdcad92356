"""`wim-fast import`: a person's own recording made into a scene, checked and shown."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from wim_fast.drawing.images import write_png
from wim_fast.errors import SceneWarning, UserError
from wim_fast.importing.pixels import Looked, steps, write_images
from wim_fast.importing.placement import LEVEL, Placement, place
from wim_fast.importing.plan import Plan, make_plan
from wim_fast.importing.staging import REPORT, check_output, staged
from wim_fast.recordings.calibration.read import Calibration, match_cameras, read_calibration, uncalled
from wim_fast.recordings.masks import BackgroundMasks, Masks, find_masks
from wim_fast.recordings.raw_writer import write_camera
from wim_fast.recordings.sources import SourceCamera, find_sources
from wim_fast.scene.footage import BACKGROUND
from wim_fast.scene.load import check_trainable, load_scene
from wim_fast.terminal import console, progress_bar, say


@dataclass(frozen=True)
class Request:
    """What the command line says."""

    source: Path
    cameras: Path
    masks: str | None
    empty: Path | None
    format: str
    frames: str | None
    size: int | None
    up: str
    without: Sequence[int]
    output: Path
    overwrite: bool


def import_recording(request: Request) -> None:
    """Reads, writes, checks and shows. UserError for what cannot be used."""
    check_output(request.output, request.overwrite)
    sources = _sources(request)
    calibration = read_calibration(request.cameras, request.format)
    calibrated = match_cameras(calibration, sources)
    masks = find_masks(request.masks, request.source, sources, request.empty)
    plan = make_plan(request.source, sources, calibrated, masks, request.frames, request.size)
    _say_plan(plan, calibration, masks, uncalled(calibration, calibrated, sources))
    with staged(request.output, request.overwrite) as folder:
        with progress_bar("importing", steps(plan, masks)) as advance:
            looked = write_images(folder, plan, masks, advance)
        _check_seen(request.source, plan, looked)
        rig = plan.rig
        seen = [looked.masks[:, k] != BACKGROUND for k in range(len(looked.frames))]
        placement = place(rig, seen, request.up)
        placed = placement.moved(rig)
        for k, camera in enumerate(plan.cameras):
            write_camera(folder, camera.id, placed.intrinsics[k], placed.T_camera_world[k], plan.size)
        report = _report(request, calibration, plan, masks, placement)
        _write_report(folder / REPORT, report)
    _say_masks(masks)
    _say_placement(placement)
    _check_and_show(request.output, plan, looked, placement, report)


def _sources(request: Request) -> list[SourceCamera]:
    found = find_sources(request.source)
    known = [camera.id for camera in found]
    if strangers := sorted(set(request.without) - set(known)):
        problem = f"there is no camera {strangers[0]} to leave out"
        raise UserError(request.source, problem, f"there are {', '.join(map(str, known))}")
    left = [camera for camera in found if camera.id not in request.without]
    if not left:
        raise UserError(request.source, "no camera is left", "leave out fewer with --without")
    return left


def _say_plan(plan: Plan, calibration: Calibration, masks: Masks, unused: int) -> None:
    table = Table(title=None)
    for heading in ("camera", "pictures", "calibration", "pixels", "lens"):
        table.add_column(heading)
    for camera in plan.cameras:
        height, width = camera.native
        lens = "undistorted" if any(camera.calibrated.distortion) else "-"
        kind = "video" if camera.pictures.video else f"{len(camera.pictures.frames)} files"
        table.add_row(
            str(camera.id),
            f"{camera.name} ({kind})",
            camera.calibrated.name,
            f"{width} x {height}",
            lens,
        )
    console.print(table)
    first, last = plan.frames[0], plan.frames[-1]
    say(
        f"cameras: {calibration.path} ({calibration.format})"
        + (f"; {unused} more views unused" if unused else "")
    )
    say(f"masks: {masks.what}")
    say(f"frames: {len(plan.frames)}, {first} to {last}; images: {plan.size[1]} x {plan.size[0]}")


def _say_masks(masks: Masks) -> None:
    """What background subtraction found, and that it is a fallback."""
    if not isinstance(masks, BackgroundMasks):
        return
    lost = "" if masks.empty else "what never moves is lost (--empty takes pictures of the empty set), "
    say(f"background subtraction is a fallback: {lost}shadows and reflections may be found.")
    say("Look at the contact sheet; masks of a segmentation tool are better.")
    table = Table()
    for heading in ("camera", "found of its image", "flicker", "time covered"):
        table.add_column(heading, justify="left" if heading == "camera" else "right")
    for name, found in sorted(masks.found.items()):
        numbers = found.numbers()
        table.add_row(name, *(f"{numbers[key]:.1%}" for key in ("share", "flicker", "stays")))
        for text in found.warnings():
            warnings.warn(f"camera {name}: {text}", SceneWarning, stacklevel=2)
    console.print(table)


def _say_placement(placement: Placement) -> None:
    x, y, z = placement.up
    say(
        f"placed: one unit of the cameras is {placement.scale:.4g} of the scene, up was ({x:.2f}, {y:.2f}, {z:.2f}),"
        f" cameras are level to {placement.tilt:.1f} degrees"
    )
    if placement.tilt > LEVEL:
        text = f"the cameras are tilted by {placement.tilt:.0f} degrees: what is up may be wrong, give --up"
        warnings.warn(text, SceneWarning, stacklevel=2)
    if placement.left_out is not None:
        text = f"the masks only meet without camera {placement.left_out}: its calibration does not fit the others"
        warnings.warn(text, SceneWarning, stacklevel=2)


def _check_seen(source: Path, plan: Plan, looked: Looked) -> None:
    if not (looked.masks != BACKGROUND).any():
        raise UserError(
            source, "all masks are empty", "check the masks: the object is white, the background black"
        )
    for camera, masks in zip(plan.cameras, looked.masks, strict=True):
        if not (masks != BACKGROUND).any():
            text = (
                f"{source}: camera {camera.id} ({camera.name}) never sees the object in the frames looked at"
            )
            warnings.warn(text, SceneWarning, stacklevel=2)


def _check_and_show(
    output: Path, plan: Plan, looked: Looked, placement: Placement, report: dict[str, Any]
) -> None:
    """Checks of calibration against masks, and pictures, in the scene's folder."""
    from wim_fast.importing.checks.check import check_calibration
    from wim_fast.importing.checks.mistakes import MOST_LAG
    from wim_fast.importing.pictures import cameras_in_3d, contact_sheet

    positions = [plan.frames.index(frame) for frame in looked.frames]
    near = sorted({p + k for p in positions for k in range(-MOST_LAG, MOST_LAG + 1)})
    near = [p for p in near if 0 <= p < len(plan.frames)]  # a camera may be out of step
    scene = load_scene(output, frames=near, coordinate_scale=1.0)
    frames = [near.index(p) for p in positions]
    shown = looked.scene(output, scene.cameras)
    pictures = [write_png(output / "contact_sheet.png", contact_sheet(shown, range(len(looked.frames))))]
    pictures.append(write_png(output / "cameras.png", cameras_in_3d(scene, frames[0], (0.0, 0.0, 1.0))))
    for path in pictures:
        say(f"wrote {path}")
    checked = check_calibration(scene, frames)
    console.print(checked.table())
    for verdict in checked.verdicts:
        say(verdict)
    report["check"] = checked.to_dict()
    _write_report(output / REPORT, report)
    if not placement.meets:
        raise UserError(
            output,
            "the masks do not meet in space, so the cameras do not fit the pictures",
            "look at contact_sheet.png and cameras.png: are cameras matched to the right pictures, poses world to"
            " camera (or the other way round), frames in step, masks of the object?",
        )
    if scene.num_frames > 1:
        check_trainable(scene)
    say(f"wrote {output}: wim-fast train --scene {output}")


def _report(
    request: Request, calibration: Calibration, plan: Plan, masks: Masks, placement: Placement
) -> dict[str, Any]:
    """All that is needed to find back from the scene to the recording."""
    cameras = {}
    for camera in plan.cameras:
        w = camera.window
        cameras[str(camera.id)] = {
            "pictures": camera.name,
            "calibration": camera.calibrated.name,
            "width": camera.native[1],
            "height": camera.native[0],
            "K": camera.native_intrinsics.tolist(),
            "distortion": list(camera.calibrated.distortion),
            "T_camera_world": camera.calibrated.T_camera_world.tolist(),
            "window": [w.x0, w.y0, w.x1, w.y1],
        }
    report: dict[str, Any] = {
        "source": str(request.source),
        "calibration": {"path": str(calibration.path), "format": calibration.format},
        "masks": masks.what,
        "frames": plan.frames,
        "T_scene_world": placement.matrix.tolist(),
        "scale": placement.scale,
        "up": placement.up.tolist(),
        "tilt": placement.tilt,
        "cameras": cameras,
    }
    if isinstance(masks, BackgroundMasks):
        report["background"] = {
            name: {**found.numbers(), "warnings": found.warnings()} for name, found in masks.found.items()
        }
    return report


def _write_report(file: Path, report: dict[str, Any]) -> None:
    file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
