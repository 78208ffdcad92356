"""`wim-fast train`: from a recording to a run."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from wim_fast.config import add_config_flags, config_overrides
from wim_fast.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.usage = "wim-fast train [--scene SCENE] [--parts N] [--minutes X] [--output RUN] [OPTION ...]"
    parser.add_argument(
        "--output", type=Path, metavar="RUN", help="new folder of the run (default: runs/SCENE_N)"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the last checkpoint of --output (default: the newest run)",
    )
    parser.add_argument("--config", metavar="FILE", help="settings to use instead of the scene's own")
    threads = "CPU threads of each process (default: all, shared among them); of a kernel at most 16"
    parser.add_argument("--threads", type=int, metavar="N", help=threads)
    processes = "processes that share the images of a step (default: 1); results depend on their number"
    parser.add_argument("--processes", type=int, metavar="N", help=processes)
    parser.add_argument(
        "--view",
        nargs="?",
        type=int,
        const=8080,
        metavar="PORT",
        help="show occupancy grid, parts, rays and samples in a browser while training (default port: 8080)",
    )
    add_config_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Train a new run, or go on with one, and show what came out."""
    from rich.console import Console

    from wim_fast.companions import companions, cores, end_with_the_first, wanted_processes
    from wim_fast.processes import leave_processes, local_rank, use_threads
    from wim_fast.runs.new_run import new_run, run_to_resume
    from wim_fast.runs.train import train_run
    from wim_fast.sections import OURS
    from wim_fast.viewer.server import HOST, check_viewer
    from wim_fast.viewer.terminal import TerminalObserver, show_result

    end_with_the_first()
    console = Console(quiet=local_rank() > 0)
    settings = config_overrides(args)
    config, folder = (
        run_to_resume(args.output, settings) if args.resume else new_run(args.output, settings, args.config)
    )
    if args.view is not None and config.baseline.method != OURS:
        raise UserError("--view", "shows parts, which a baseline has not", "leave it out")
    if args.view is not None and local_rank() == 0:
        check_viewer(HOST, args.view)
    count = wanted_processes(args.processes, config.render.images_per_step)
    use_threads(args.threads or (max(1, cores() // count) if count > 1 else None))
    observer = TerminalObserver(console, args.view)
    with companions(count, args.argv):
        try:
            trained = train_run(config, folder, resume=args.resume, observer=observer)
        finally:
            leave_processes()
    show_result(trained, folder, console)
    if trained.stopped:
        raise SystemExit(128 + (observer.stop.signal or signal.SIGTERM))
