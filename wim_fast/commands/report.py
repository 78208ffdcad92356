"""`wim-fast report`: runs, protocols and ablations as one page to send: tables, curves, pictures, videos."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument(
        "folders", metavar="RUN", nargs="+", help="folder that wim-fast train, protocol or ablate made"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write (default: runs/report)")
    parser.add_argument("--title", metavar="TEXT", help="of the page (default: the names of the scenes)")
    parser.add_argument("--force", action="store_true", help="overwrite what is there")


def run(args: argparse.Namespace) -> None:
    """Reads, writes, and says what was missing."""
    from wim_fast.report.report import write_report
    from wim_fast.terminal import say, say_written

    report = write_report(args.folders, args.output, title=args.title, force=args.force)
    for note in report.notes:
        say(note)
    say_written([report.page, report.tables])
