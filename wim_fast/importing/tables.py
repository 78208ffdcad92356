"""What `wim-fast import` says, as texts and tables to be printed in this order."""

from __future__ import annotations

from rich.table import Table

from wim_fast.importing.checks.check import CalibrationReport, in_pixels
from wim_fast.importing.scene_folder import Checked, Imported
from wim_fast.recordings.recording import Framing

Said = list[str | Table]


def of_plan(framing: Framing) -> Said:
    """Which pictures, calibration and number each camera has."""
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
    frames, (height, width) = recording.frame_ids, framing.size
    return [
        table,
        f"cameras: {origin.calibration} ({origin.layout}){unused}",
        f"masks: {origin.masks}",
        f"frames: {len(frames)}, {frames[0]} to {frames[-1]}; images: {width} x {height}",
    ]


def of_import(imported: Imported) -> Said:
    """What background subtraction found, and where the world was put."""
    placement = imported.placement
    x, y, z = placement.up
    return [
        *(_of_background(imported) if imported.background else []),
        f"placed: one unit of the cameras is {placement.scale:.4g} of the scene, up was ({x:.2f}, {y:.2f}, {z:.2f})"
        f" by {placement.up_from}, cameras are level to {placement.tilt:.1f} degrees",
    ]


def _of_background(imported: Imported) -> Said:
    empty = all(found.empty for found in imported.background.values())
    lost = "" if empty else "what never moves is lost (--empty takes pictures of the empty set), "
    table = Table()
    for heading in ("camera", "found of its image", "outline sure", "flicker", "time covered"):
        table.add_column(heading, justify="left" if heading == "camera" else "right")
    for name, found in sorted(imported.background.items()):
        numbers = found.numbers()
        table.add_row(name, *(f"{numbers[key]:.1%}" for key in ("share", "sure", "flicker", "stays")))
    return [
        f"background subtraction is a fallback: {lost}shadows and reflections may be found.",
        "Look at the contact sheet; masks of a segmentation tool are better.",
        table,
    ]


def of_check(checked: Checked) -> Said:
    """Pictures to look at, numbers for each camera and the verdicts."""
    pictures = [f"wrote {path}" for path in checked.pictures]
    return [*pictures, calibration_table(checked.calibration), *checked.calibration.verdicts]


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
