"""`wim-fast evaluate`: renders views of the recording and measures them against it.

Training views, novel views and novel poses are always measured side by side. Frames that were not trained on
are novel poses: the true points (or joints) of the recording drive the parts there.
"""

from __future__ import annotations

import argparse

from wim_fast.commands.flags import add_run_arguments, add_size_argument
from wim_fast.runs.defaults import SAMPLE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    add_run_arguments(parser, "RUN/evaluation")
    parser.add_argument(
        "--cameras",
        type=int,
        nargs="+",
        metavar="ID",
        help="cameras to render (default: the test cameras, else all that were not trained on)",
    )
    parser.add_argument(
        "--frames",
        metavar="A:B[:C]",
        help=f"frames to render, of all in the recording (default: {SAMPLE} trained on and {SAMPLE} others)",
    )
    parser.add_argument(
        "--align-cameras",
        action="store_true",
        help="measure novel views once more, after fitting only their own cameras to their pictures",
    )
    parser.add_argument(
        "--linear",
        action="store_true",
        help="drive novel poses by a linear map of all points, as the paper does",
    )
    add_size_argument(parser, "as trained; metrics are always measured at the size trained at")


def run(args: argparse.Namespace) -> None:
    """Renders, measures, prints and writes."""
    from wim_fast.runs.evaluation_pictures import write_evaluation
    from wim_fast.runs.evaluation_table import metrics_table
    from wim_fast.runs.kernels import with_kernels
    from wim_fast.runs.methods import open_run
    from wim_fast.terminal import console, progress_bars, say, say_written

    run = with_kernels(open_run(args.run, args.backend))
    with progress_bars() as on_progress:
        written = write_evaluation(
            run,
            args.output,
            args.cameras,
            args.frames,
            size=args.size,
            align_cameras=args.align_cameras,
            linear=args.linear,
            on_progress=on_progress,
        )
    console.print(metrics_table(written.evaluation.summary))
    for note in written.evaluation.notes:
        say(note)
    if pictures := written.pictures:
        say(f"wrote {len(pictures)} pictures, {pictures[0]} and others")
    say_written([written.comparison, written.metrics])
