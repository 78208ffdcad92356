"""`wim-fast merge`: merges parts that move as one, step by step, into rigid bodies, and shows them (supplement D)."""

from __future__ import annotations

import argparse

from wim_fast.commands.flags import add_run_arguments, add_size_argument
from wim_fast.runs.defaults import PART_PICTURE_SIZE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    add_run_arguments(parser, "RUN/merge")
    parser.add_argument(
        "--parts-found",
        type=int,
        metavar="N",
        help="merge until N bodies are left (default: as many as explain the motion best)",
    )
    parser.add_argument(
        "--camera", type=int, metavar="ID", help="camera of the pictures (default: a clear one)"
    )
    parser.add_argument(
        "--frame", type=int, default=0, metavar="F", help="frame trained on of the pictures (default: 0)"
    )
    add_size_argument(parser, str(PART_PICTURE_SIZE))


def run(args: argparse.Namespace) -> None:
    """Merges, shows and writes."""
    from wim_fast.runs.kernels import with_kernels
    from wim_fast.runs.merge_pictures import write_merging
    from wim_fast.runs.run import load_run
    from wim_fast.runs.tables import bodies_table, steps_table
    from wim_fast.terminal import console, say, say_written

    opened = with_kernels(load_run(args.run, args.backend))
    merging, written = write_merging(
        opened,
        args.output,
        count=args.parts_found,
        frame=args.frame,
        camera=args.camera,
        size=args.size,
    )
    console.print(steps_table(merging), highlight=False)
    say(f"{merging.sequence.proposed} bodies are proposed; --parts-found chooses otherwise.\n")
    console.print(bodies_table(merging.merged), highlight=False)
    say_written(written)
