"""The command line. Only the chosen command's module is imported, so that help and errors come at once."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from wim_fast import __version__
from wim_fast.errors import GpuWarning, SceneWarning, UserError

# name -> (module in wim_fast.commands, what it does)
COMMANDS = {
    "import": ("import_recording", "make a scene of your own videos or pictures, cameras and masks"),
    "train": ("train", "learn parts, joints, shape and motion from a recording"),
    "evaluate": ("evaluate", "compare a run with the recording, in views and frames it has not seen"),
    "check": ("check", "show which pixels of the masks a run doubts"),
    "protocol": ("protocol", "measure runs by the protocol of a paper: table, JSON and LaTeX"),
    "ablate": ("ablate", "train without each term of the method: table, pictures, JSON and LaTeX"),
    "report": (
        "report",
        "put runs, protocols and ablations on one page to send: tables, curves, pictures, videos",
    ),
    "render": ("render", "make videos of what a run has learned"),
    "render-novel-pose": ("novel_pose", "pose a run's model anew, by hand or driven by points"),
    "merge": ("merge", "merge the parts of a run that move as one"),
    "export": ("export", "write a run for other programs: glTF, USD, meshes, splats, a page to send"),
    "view-occupancy": ("view_occupancy", "look at the occupancy grid and the rays of a run, in a browser"),
}
INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, as all others are."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}. See {self.prog} --help.\n")


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser; only the chosen command's flags are known to it."""
    parser = _Parser(
        prog="wim-fast",
        description="Re-posable articulated models from multi-view video.",
        epilog="See wim-fast COMMAND --help.",
    )
    parser.add_argument("--version", action="version", version=f"wim-fast {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    for name, (module, help) in COMMANDS.items():
        command = commands.add_parser(
            name, help=help, description=f"{help[0].upper()}{help[1:]}.", allow_abbrev=False
        )
        if name == chosen:
            implementation = importlib.import_module(f"wim_fast.commands.{module}")
            implementation.add_arguments(command)
            command.set_defaults(run_command=implementation.run, command_parser=command)
    return parser


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    chosen = next((a for a in argv if a in COMMANDS), None)
    args, unknown = _parser(chosen).parse_known_args(argv)
    if unknown:
        command: argparse.ArgumentParser = args.command_parser
        flag = unknown[0].split("=")[0]
        close = difflib.get_close_matches(flag, command._option_string_actions, n=1)
        command.error(f"unknown argument {unknown[0]}" + (f", did you mean {close[0]}?" if close else ""))
    args.argv = list(argv)
    return args


def _show_warning(message: Any, category: type[Warning], *rest: Any, **named: Any) -> None:
    if issubclass(category, (SceneWarning, GpuWarning)):
        print(f"warning: {message}", file=sys.stderr, flush=True)
    else:
        _default_show_warning(message, category, *rest, **named)


_default_show_warning = warnings.showwarning


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, 2 for what the user can correct, 130 when interrupted."""
    warnings.simplefilter("always", SceneWarning)
    warnings.showwarning = _show_warning
    try:
        args = _parse(sys.argv[1:] if argv is None else argv)
        args.run_command(args)
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has gone, as in `wim-fast ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0
