"""`wim-fast import`: a recording of one's own becomes a scene."""

from __future__ import annotations

import argparse
from pathlib import Path

from wim_fast.commands.flags import image_size

FORMATS = ("auto", "colmap", "transforms", "easymocap", "opencv")
UPS = ("auto", "x", "y", "z", "-x", "-y", "-z")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="folder with a video or a folder of pictures for each camera",
    )
    parser.add_argument(
        "--cameras",
        type=Path,
        metavar="PATH",
        help="calibration: a COLMAP model, transforms.json, intri.yml and extri.yml, or OpenCV's .yml files"
        " (default: in SOURCE)",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="auto", help="what the calibration is (default: what is found)"
    )
    parser.add_argument(
        "--masks",
        metavar="MASKS",
        help="folder of masks laid out as SOURCE; alpha: of the pictures; background: subtract what does not move,"
        " a fallback for cameras that stand still (default: SOURCE/masks, or alpha)",
    )
    parser.add_argument(
        "--empty",
        type=Path,
        metavar="FOLDER",
        help="pictures of the set without the object (cam0.png, ...), for --masks background",
    )
    parser.add_argument("--frames", metavar="A:B[:C]", help="which of the sorted frames (default: all)")
    parser.add_argument(
        "--size",
        type=image_size,
        metavar="N",
        help="longer side of the images (default: as filmed, at most 1024)",
    )
    parser.add_argument(
        "--up",
        choices=UPS,
        default="auto",
        help="up axis of the calibration; write --up=-y (default: auto, cameras are held level)",
    )
    parser.add_argument(
        "--without", type=int, nargs="+", default=[], metavar="ID", help="cameras to leave out"
    )
    parser.add_argument(
        "--output", type=Path, metavar="SCENE", help="folder to make (default: SOURCE-scene, beside it)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an imported scene")


def run(args: argparse.Namespace) -> None:
    """Imports, checks and shows."""
    from wim_fast.importing.recording import Request, import_recording

    source = args.source
    output = args.output or source.with_name(f"{source.resolve().name}-scene")
    import_recording(
        Request(
            source=source,
            cameras=args.cameras or source,
            masks=args.masks,
            empty=args.empty,
            format=args.format,
            frames=args.frames,
            size=args.size,
            up=args.up,
            without=args.without,
            output=output,
            overwrite=args.overwrite,
        )
    )
