"""`wim-fast render`: the reconstruction as pictures and video, from a camera or from a circle round it."""

from __future__ import annotations

import argparse

from wim_fast.commands.flags import add_run_arguments, add_view_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    add_run_arguments(parser, "RUN/render/<view>")
    add_view_arguments(parser)
    parser.add_argument(
        "--frames", metavar="A:B[:C]", help="which of the frames trained on to show (default: all)"
    )
    parser.add_argument(
        "--frame",
        type=int,
        metavar="F",
        help="with --turntable: go round this one of the frames trained on, standing still",
    )


def run(args: argparse.Namespace) -> None:
    """Renders the learned motion."""
    from wim_fast.runs.render import render

    render(args)
