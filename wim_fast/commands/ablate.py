"""`wim-fast ablate`: the method without each of its terms, as one table."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from wim_fast.config import add_config_flags, config_overrides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.usage = "wim-fast ablate SCENE [--minutes M] [--seeds N] [--variants NAME ...] [OPTION ...]"
    scene = "folder of a recording, or the name of a scene that ships with wim-fast (default: dog)"
    parser.add_argument("scene", metavar="SCENE", nargs="?", default=argparse.SUPPRESS, help=scene)
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each variant (default: 3)")
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="see --list (default: all)")
    parser.add_argument("--list", action="store_true", help="show all variants")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder of all runs, where it goes on if it was stopped (default: runs/ablation-SCENE)",
    )
    parser.add_argument(
        "--at-once", type=int, metavar="N", help="trainings at once (default: the cores; on a GPU one)"
    )
    parser.add_argument("--config", metavar="FILE", help="settings to use instead of the scene's own")
    add_config_flags(parser, skip=("scene", "seed", "preset"))


def run(args: argparse.Namespace) -> None:
    """Trains, measures, prints and writes; goes on where it was stopped."""
    from wim_fast.runs.ablation.ablate import ablate, write_ablation
    from wim_fast.runs.ablation.variants import VARIANTS
    from wim_fast.settings import as_text
    from wim_fast.terminal import console, progress_bars, say, say_written
    from wim_fast.training.observer import Stop
    from wim_fast.viewer.terminal import stop_signals

    if args.list:
        for variant in VARIANTS.values():
            changed = ", ".join(f"{name} {as_text(value)}" for name, value in variant.settings.items())
            say(f"{variant.name:16} {variant.label:26} {changed}".rstrip())
        return
    stop = Stop()
    with progress_bars() as on_progress, stop_signals(stop):
        found = ablate(
            args.output,
            args.variants,
            args.seeds,
            config_overrides(args),
            config_file=args.config,
            at_once=args.at_once,
            stop=stop,
            on_progress=on_progress,
        )
    if found.stopped:
        say(f"stopped, and saved in {found.output}; the same command goes on")
        raise SystemExit(128 + (stop.signal or signal.SIGTERM))
    console.print(found.table)
    for note in found.notes:
        say(note)
    say_written(write_ablation(found))
