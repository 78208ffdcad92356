"""`wim-fast view-occupancy`: a page that shows what training sees: how rays are culled, occupancy grid, cells, samples."""

from __future__ import annotations

import argparse
from pathlib import Path

from wim_fast.commands.flags import image_size
from wim_fast.commands.model_flags import add_page_arguments
from wim_fast.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    add_page_arguments(parser)
    export = parser.add_argument_group("without a browser")
    export.add_argument(
        "--export", type=Path, metavar="DIR", help="write the views as PNGs and the numbers as JSON instead"
    )
    export.add_argument("--frame", type=int, metavar="F", help="frame trained on to export (default: 0)")
    export.add_argument(
        "--camera", type=int, metavar="ID", help="camera to export (default: the first trained on)"
    )
    export.add_argument(
        "--pixel",
        type=int,
        nargs=2,
        metavar=("X", "Y"),
        help="ray to export (default: through the middle of the object)",
    )
    export.add_argument(
        "--size", type=image_size, metavar="N", help="longer side of the pictures (default: 640)"
    )


def run(args: argparse.Namespace) -> None:
    """Opens the page, or writes what it would show."""
    if args.export is not None:
        from wim_fast.viewer.export import export

        files = export(
            args.run, args.backend, args.export, args.frame or 0, args.camera, args.pixel, args.size or 640
        )
        for file in files:
            print(f"wrote {file}")
        return
    from wim_fast.viewer.serve import serve_run

    for flag in ("frame", "camera", "pixel", "size"):
        if getattr(args, flag) is not None:
            raise UserError(
                f"--{flag}", "can only be given with --export", "leave it out; the page has a control for it"
            )
    serve_run(args.run, args.backend, args.host, args.port)
