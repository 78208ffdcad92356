"""`wim-fast render-novel-pose`: poses never filmed, by hand (supplement A.8) or by points that move with the object."""

from __future__ import annotations

import argparse
from pathlib import Path

from wim_fast.commands.flags import add_run_arguments, add_view_arguments, view_arguments
from wim_fast.commands.model_flags import add_parts_found
from wim_fast.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    add_run_arguments(parser, "RUN/novel_pose/<what>")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--pose", type=Path, metavar="FILE", help="YAML of what turns (docs/poses.md)")
    what.add_argument("--drive", type=Path, metavar="FILE", help="npz file of points that drive the parts")
    what.add_argument(
        "--list-joints", action="store_true", help="which number is which body, with an example"
    )
    add_view_arguments(parser)
    parser.add_argument(
        "--frame", type=int, default=0, metavar="F", help="with --list-joints: frame trained on (default: 0)"
    )
    add_parts_found(parser, "auto", "with --list-joints: those of N bodies")
    driving = parser.add_argument_group("with --drive, whose points have a row for each frame recorded")
    driving.add_argument("--train-frames", metavar="A:B[:C]", help="rows to learn from (default: trained on)")
    driving.add_argument("--linear", action="store_true", help="by a linear map of all points (A.10)")
    driving.add_argument("--frames", metavar="A:B[:C]", help="rows to render (default: the rest)")
    driving.add_argument(
        "--cameras", type=int, nargs="+", metavar="ID", help="cameras to render (default: not trained on)"
    )


def run(args: argparse.Namespace) -> None:
    """Poses the model and renders it."""
    from wim_fast.commands.list_joints import list_joints

    check_flags(args)
    (list_joints if args.list_joints else render)(args)


def check_flags(args: argparse.Namespace) -> None:
    """UserError for flags that would do nothing."""
    for name in ("train_frames", "frames", "cameras", "linear"):
        if getattr(args, name) not in (None, False) and args.drive is None:
            remedy = "leave it out; --camera and --turntable say where to look from"
            raise UserError(f"--{name.replace('_', '-')}", "can only be given with --drive", remedy)
    if args.parts_found != "auto" and not args.list_joints:
        raise UserError("--parts-found", "can only be given with --list-joints", "say it in the pose file")
    if args.cameras and (args.camera is not None or args.turntable):
        raise UserError("--cameras", "cannot be combined with --camera or --turntable", "give one of them")


def render(args: argparse.Namespace) -> None:
    """Pictures and videos of a pose file, or of driven poses."""
    from wim_fast.runs.drive import drive_file, write_driven_videos
    from wim_fast.runs.kernels import with_kernels
    from wim_fast.runs.methods import open_run
    from wim_fast.runs.repose import write_pose_video
    from wim_fast.runs.run import load_run
    from wim_fast.runs.tables import driving_note
    from wim_fast.terminal import progress_bars, say, say_written

    view = view_arguments(args)
    if args.drive is None:
        run = with_kernels(load_run(args.run, args.backend))
        with progress_bars() as on_progress:
            say_written(write_pose_video(run, args.pose, args.output, on_progress=on_progress, **view))
        return
    opened = with_kernels(open_run(args.run, args.backend))
    driven = drive_file(opened, args.drive, args.train_frames, args.linear)
    say(driving_note(driven, opened.coordinate_scale))
    view |= {"frames": args.frames, "cameras": args.cameras}
    with progress_bars() as on_progress:
        say_written(write_driven_videos(opened, driven, args.output, on_progress=on_progress, **view))
