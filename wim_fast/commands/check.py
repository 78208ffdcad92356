"""`wim-fast check`: which pixels of the masks a run doubts; or whether it tears when bent, or has holes."""

from __future__ import annotations

import argparse
from pathlib import Path

from wim_fast.commands.model_flags import add_parts_found
from wim_fast.errors import UserError
from wim_fast.ops.backend import BACKENDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("run", metavar="RUN", help="folder that wim-fast train made")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="picture to write (default: RUN/check.png or RUN/bends.png)",
    )
    other = parser.add_mutually_exclusive_group()
    other.add_argument(
        "--holes",
        action="store_true",
        help="instead: count the pieces of the object, the tunnels through it and the cavities in it",
    )
    other.add_argument(
        "--bends",
        action="store_true",
        help="instead: turn each joint 1.2 times as far as it was seen to turn, and count the pieces of the object",
    )
    add_parts_found(parser, "auto", "with --bends: the joints between N bodies")
    parser.add_argument(
        "--frames", metavar="A:B[:C]", help="frames to look at, of those trained on (default: a few)"
    )
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="kernels to use (default: auto)")


def run(args: argparse.Namespace) -> None:
    """Looks, prints and writes."""
    from wim_fast.runs.bend import write_bends
    from wim_fast.runs.check import write_check
    from wim_fast.runs.kernels import with_kernels
    from wim_fast.runs.opened_run import frame_positions
    from wim_fast.runs.run import load_run
    from wim_fast.runs.tables import bends_table, doubt_table, topology_table
    from wim_fast.runs.topology import topologies
    from wim_fast.terminal import console, say, say_written

    if args.bends and args.frames:
        raise UserError("--frames", "cannot be combined with --bends", "leave one of them out")
    if args.holes and args.output:
        raise UserError("--output", "--holes writes no picture", "leave one of them out")
    if args.parts_found != "auto" and not args.bends:
        raise UserError("--parts-found", "can only be given with --bends", "leave it out, or add --bends")
    run = with_kernels(load_run(args.run, args.backend))
    if args.bends:
        bends, picture = write_bends(run, args.output, args.parts_found)
        console.print(bends_table(bends), highlight=False)
        say_written([picture])
        return
    frames = args.frames and frame_positions(args.frames, len(run.frame_ids), "frames trained on")
    if args.holes:
        console.print(topology_table([*topologies(run, frames)]), highlight=False)
        return
    shares, picture = write_check(run, args.output, frames)
    console.print(doubt_table(shares), highlight=False)
    say("cyan: the mask's outline; red: missing in the mask; magenta: let into it")
    say_written([picture])
