"""`wim-fast merge`: joins parts that move as one, step by step, and shows what is left (supplement D)."""

from __future__ import annotations

import argparse

from wim_fast.commands.flags import add_run_arguments, add_size_argument, positive
from wim_fast.runs.defaults import PART_PICTURE_SIZE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    add_run_arguments(parser, "RUN/merge")
    until = parser.add_mutually_exclusive_group()
    until.add_argument(
        "--threshold",
        type=positive,
        metavar="X",
        help="merge while the distance is below X (default: up to the largest jump of the distances, else 0.1)",
    )
    until.add_argument("--groups", type=int, metavar="N", help="merge until N groups are left")
    parser.add_argument(
        "--camera", type=int, metavar="ID", help="camera of the pictures (default: a clear one)"
    )
    parser.add_argument(
        "--frame", type=int, default=0, metavar="F", help="frame trained on of the pictures (default: 0)"
    )
    add_size_argument(parser, str(PART_PICTURE_SIZE))


def run(args: argparse.Namespace) -> None:
    """Merges, shows and writes."""
    from wim_fast.runs.merge_pictures import write_merging
    from wim_fast.runs.run import load_run
    from wim_fast.runs.tables import groups_table, steps_table
    from wim_fast.terminal import console, say, say_written

    merging, written = write_merging(
        load_run(args.run, args.backend),
        args.output,
        groups=args.groups,
        threshold=args.threshold,
        frame=args.frame,
        camera=args.camera,
        size=args.size,
    )
    taken, steps = merging.taken, merging.steps
    console.print(steps_table(steps, taken), highlight=False)
    say(
        f"Merged: {taken} of {len(steps)} steps ({merging.reason}). --groups and --threshold choose otherwise.\n"
    )
    console.print(groups_table(merging.merged), highlight=False)
    say_written(written)
