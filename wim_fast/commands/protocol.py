"""`wim-fast protocol`: a published evaluation protocol on one or more runs, as a table, JSON and LaTeX."""

from __future__ import annotations

import argparse
from pathlib import Path

from wim_fast.ops.backend import BACKENDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="of the protocol, see --list")
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="*",
        help="folder that wim-fast train made, or SUBJECT=RUN where its scene's folder does not name the subject;"
        " several of one scene are averaged",
    )
    parser.add_argument("--list", action="store_true", help="show all protocols, what they train on and test")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where to write (default: runs/protocol-NAME)"
    )
    parser.add_argument(
        "--anyway", action="store_true", help="measure runs that were trained otherwise, and mark them"
    )
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="kernels to use (default: auto)")


def run(args: argparse.Namespace) -> None:
    """Checks, measures, prints and writes."""
    from wim_fast.evaluation.protocols import PROTOCOLS
    from wim_fast.runs.protocol.candidates import find_protocol, named_runs
    from wim_fast.runs.protocol.measure import measure_protocol, write_protocol
    from wim_fast.runs.protocol.tables import described, tables
    from wim_fast.terminal import console, progress_bars, say, say_written

    if args.list:
        for known in PROTOCOLS.values():
            say("\n".join(described(known)))
        return
    protocol = find_protocol(args.name)
    with progress_bars() as on_progress:
        report = measure_protocol(
            protocol,
            named_runs(args.runs),
            backend=args.backend,
            anyway=args.anyway,
            on_progress=on_progress,
        )
    for table in tables(protocol, report.lines):
        console.print(table)
    for note in report.notes:
        say(note)
    say_written(write_protocol(report, args.output))
