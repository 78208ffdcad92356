"""`wim-fast import`: a recording becomes a scene of one's own."""

from __future__ import annotations

import argparse
from pathlib import Path

from wim_fast.commands.flags import image_size

FORMATS = ("auto", "colmap", "transforms", "easymocap", "opencv", "raw")
UPS = ("auto", "x", "y", "z", "-x", "-y", "-z")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    add = parser.add_argument
    source_help = (
        "folder with a video or a folder of pictures for each camera, or of any layout in docs/data.md"
    )
    add("source", type=Path, metavar="SOURCE", help=source_help)
    cameras_help = (
        "calibration: a COLMAP model, transforms.json, intri.yml and extri.yml, OpenCV's .yml files, or cam_000.json"
        " (default: in SOURCE or SOURCE/cameras)"
    )
    add("--cameras", type=Path, metavar="PATH", help=cameras_help)
    format_help = "what the calibration is (default: what is found)"
    add("--format", choices=FORMATS, default="auto", help=format_help)
    masks_help = (
        "folder of masks laid out as SOURCE; alpha: of the pictures; background: subtract what does not move,"
        " a fallback for cameras that stand still (default: SOURCE/masks, or alpha)"
    )
    add("--masks", metavar="MASKS", help=masks_help)
    empty_help = "pictures of the set without the object (cam0.png, ...), for --masks background"
    add("--empty", type=Path, metavar="FOLDER", help=empty_help)
    add("--frames", metavar="A:B[:C]", help="which of the sorted frames (default: all)")
    size_help = "longest that the longer side of the images may be (default: pixels stay as filmed)"
    add("--size", type=image_size, metavar="N", help=size_help)
    add("--no-crop", action="store_true", help="keep whole pictures, not a window round the object")
    up_help = "up axis of the calibration; write --up=-y (default: auto, by how cameras and object stand)"
    add("--up", choices=UPS, default="auto", help=up_help)
    add("--without", type=int, nargs="+", default=[], metavar="ID", help="cameras to leave out")
    output_help = "folder to make (default: SOURCE-scene, beside it)"
    add("--output", type=Path, metavar="SCENE", help=output_help)
    add("--overwrite", action="store_true", help="replace an imported scene")


def run(args: argparse.Namespace) -> None:
    """Reads, writes, checks and shows."""
    from wim_fast.importing import scene_folder, tables
    from wim_fast.terminal import console, counted, progress_bars, say

    def show(said: tables.Said) -> None:
        for text in said:
            say(text) if isinstance(text, str) else console.print(text)

    named = {name: getattr(args, name) for name in ("format", "masks", "empty", "frames", "size", "without")}
    plan = scene_folder.plan_import(args.source, calibration=args.cameras, crop=not args.no_crop, **named)
    show(tables.of_plan(plan))
    output = args.output or args.source.with_name(f"{args.source.resolve().name}-scene")
    recording = plan.framing.recording
    total = len(recording.cameras) * len(recording.frame_ids)
    with progress_bars() as bars:
        imported = scene_folder.write_import(
            plan,
            output,
            up=args.up,
            overwrite=args.overwrite,
            say=say,
            on_mask=counted(bars, "finding the object", total),
            on_image=counted(bars, "writing images", total),
        )
    show(tables.of_import(imported))
    checked = scene_folder.check_import(imported)
    show(tables.of_check(checked))
    scene_folder.require_usable(imported)
    say(checked.verdict.line(f"wim-fast train --scene {output}"))
