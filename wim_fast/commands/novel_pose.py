"""`wim-fast render-novel-pose`: poses that were never filmed.

Parts turned by hand (supplement A.8), or driven by points that move with the object (A.10).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from wim_fast.commands.flags import add_run_arguments, add_view_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    add_run_arguments(parser, "RUN/novel_pose/<what>")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--pose", type=Path, metavar="FILE", help="YAML file that says which parts turn")
    what.add_argument("--drive", type=Path, metavar="FILE", help="npz file of points that drive the parts")
    what.add_argument(
        "--list-joints",
        action="store_true",
        help="show which number is which part and joint, with an example",
    )
    add_view_arguments(parser)
    parser.add_argument(
        "--frame", type=int, default=0, metavar="F", help="with --list-joints: frame trained on (default: 0)"
    )
    driving = parser.add_argument_group(
        "with --drive, whose points have a row for each frame of the recording"
    )
    driving.add_argument(
        "--train-frames", metavar="A:B[:C]", help="rows to learn from (default: the frames trained on)"
    )
    driving.add_argument("--frames", metavar="A:B[:C]", help="rows to render (default: the rest)")
    driving.add_argument(
        "--cameras", type=int, nargs="+", metavar="ID", help="cameras to render (default: not trained on)"
    )


def run(args: argparse.Namespace) -> None:
    """Poses the model and renders it."""
    from wim_fast.runs.novel_pose import render_novel_pose

    render_novel_pose(args)
