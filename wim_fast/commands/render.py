"""`wim-fast render`: the reconstruction as pictures and video, from a camera or from a circle round it."""

from __future__ import annotations

import argparse

from wim_fast.commands.flags import add_run_arguments, add_view_arguments, view_arguments
from wim_fast.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    add_run_arguments(parser, "RUN/render/<view>")
    add_view_arguments(parser)
    parser.add_argument(
        "--frames", metavar="A:B[:C]", help="which of the frames trained on to show (default: all)"
    )
    parser.add_argument(
        "--colors-of",
        type=int,
        metavar="ID",
        help="in the exposure and white balance of this training camera (default: what most cameras have)",
    )
    parser.add_argument(
        "--frame",
        type=int,
        metavar="F",
        help="with --turntable: go round this one of the frames trained on, standing still",
    )


def run(args: argparse.Namespace) -> None:
    """Renders the learned motion."""
    from wim_fast.runs.kernels import with_kernels
    from wim_fast.runs.methods import open_run
    from wim_fast.runs.render import write_render
    from wim_fast.terminal import progress_bars, say_written

    if args.frame is not None and (args.frames is not None or not args.turntable):
        raise UserError(
            "--frame", "needs --turntable and cannot be combined with --frames", "use --frames A:B instead"
        )
    run = with_kernels(open_run(args.run, args.backend))
    with progress_bars() as on_progress:
        written = write_render(
            run,
            args.output,
            frames=args.frames,
            frame=args.frame,
            colors_of=args.colors_of,
            on_progress=on_progress,
            **view_arguments(args),
        )
    say_written(written)
