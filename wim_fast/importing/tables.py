"""What `wim-fast import` says, as texts and tables to be printed in this order."""

from __future__ import annotations

from rich.table import Table

from wim_fast.importing.checks.check import CalibrationReport, in_pixels
from wim_fast.importing.scene_folder import Checked, Imported, Plan
from wim_fast.recordings.film import BackgroundFilm

Said = list[str | Table]


def of_plan(plan: Plan) -> Said:
    """Which pictures, calibration and number each camera has."""
    framing = plan.framing
    recording, origin = framing.recording, framing.recording.origin
    table = Table("camera", "pictures", "calibration", "pixels", "lens")
    for camera, (height, width) in zip(recording.cameras, framing.natives, strict=True):
        table.add_row(
            str(camera.id),
            f"{camera.name} ({camera.film.kind})",
            camera.calibrated.name,
            f"{width} x {height}",
            "-" if camera.calibrated.lens.ideal else "undistorted",
        )
    unused = f"; {origin.unused_views} more views unused" if origin.unused_views else ""
    frames = recording.frame_ids
    return [
        table,
        f"cameras: {origin.calibration} ({origin.layout}){unused}",
        f"masks: {origin.masks}",
        f"frames: {len(frames)}, {frames[0]} to {frames[-1]}",
    ]


def of_import(imported: Imported) -> Said:
    """What background subtraction found, and where the world was put."""
    placement = imported.placement
    x, y, z = placement.up
    height, width = imported.framing.size
    return [
        *_of_background(imported),
        f"images: {width} x {height}",
        f"placed: one unit of the cameras is {placement.scale:.4g} of the scene, up was ({x:.2f}, {y:.2f}, {z:.2f})"
        f" by {placement.up_from}, cameras are level to {placement.tilt:.1f} degrees",
    ]


def _of_background(imported: Imported) -> Said:
    cameras = imported.framing.recording.cameras
    found = {c.name: s.background for c, s in zip(cameras, imported.sightings, strict=True) if s.background}
    if not found:
        return []
    empty = all(camera.film.found.empty for camera in cameras if isinstance(camera.film, BackgroundFilm))
    lost = "" if empty else "what never moves is lost (--empty takes pictures of the empty set), "
    table = Table()
    for heading in ("camera", "found of its image", "outline sure", "flicker", "time covered"):
        table.add_column(heading, justify="left" if heading == "camera" else "right")
    for name, numbers in sorted(found.items()):
        table.add_row(name, *(f"{numbers[key]:.1%}" for key in ("share", "sure", "flicker", "stays")))
    return [
        f"background subtraction is a fallback: {lost}shadows and reflections may be found.",
        "Look at the picture; masks of a segmentation tool are better.",
        table,
    ]


def of_check(checked: Checked) -> Said:
    """The numbers for each camera, what was found but for the worst, and the picture to look at."""
    calibration, verdict = checked.calibration, checked.verdict
    return [
        calibration_table(calibration),
        *(calibration.verdicts if calibration.ok else []),
        *verdict.mend[1:],
        *verdict.notes,
        f"look at {checked.picture}",
    ]


def calibration_table(report: CalibrationReport) -> Table:
    """A row for each camera."""
    table = Table(title="calibration against masks", title_justify="left")
    for name in ("camera", "epipolar px", "hull px", "explained"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in report.cameras:
        share = "-" if one.explained is None else f"{one.explained:.1%}"
        known = one.epipolar_px is not None or one.hull_px is not None
        word = ("agrees" if one.agrees else "disagrees") if known else "not checked"
        style = None if one.agrees else "bold red"
        cells = str(one.camera), in_pixels(one.epipolar_px), in_pixels(one.hull_px), share, word
        table.add_row(*cells, style=style)
    return table
