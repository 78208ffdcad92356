"""`wim-fast check`: which pixels of the masks a run doubts, as a picture and by camera."""

from __future__ import annotations

import argparse
from pathlib import Path

from wim_fast.ops.backend import BACKENDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("run", metavar="RUN", help="folder that wim-fast train made")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="picture to write (default: RUN/check.png)"
    )
    parser.add_argument(
        "--frames", metavar="A:B[:C]", help="frames to look at, of those trained on (default: a few)"
    )
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="kernels to use (default: auto)")


def run(args: argparse.Namespace) -> None:
    """Looks, prints and writes."""
    from wim_fast.runs.check import write_check
    from wim_fast.runs.opened_run import frame_positions
    from wim_fast.runs.run import load_run
    from wim_fast.runs.tables import doubt_table
    from wim_fast.terminal import console, say, say_written

    run = load_run(args.run, args.backend)
    frames = args.frames and frame_positions(args.frames, len(run.frame_ids), "frames trained on")
    shares, picture = write_check(run, args.output, frames)
    console.print(doubt_table(shares), highlight=False)
    say("cyan: the mask's outline; red: missing in the mask; magenta: let into it")
    say_written([picture])
