"""Flags that several commands share. Nothing heavy is imported here: help and errors come at once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from wim_fast.ops.backend import BACKENDS
from wim_fast.runs.defaults import FPS, LEAST_SIZE


def add_run_arguments(parser: argparse.ArgumentParser, output: str) -> None:
    """RUN, --output (its default in words) and --backend."""
    parser.add_argument("run", metavar="RUN", help="folder that wim-fast train made")
    parser.add_argument("--output", type=Path, metavar="DIR", help=f"where to write (default: {output})")
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="kernels to use (default: auto)")


def add_view_arguments(parser: argparse.ArgumentParser) -> None:
    """--camera or --turntable, --size, --parts, --joints."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--camera", type=int, metavar="ID", help="look from this camera of the recording")
    where.add_argument("--turntable", action="store_true", help="look from a circle round the object")
    parser.add_argument("--parts", action="store_true", help="show each part in a colour of its own")
    parser.add_argument("--joints", action="store_true", help="draw part centres and joints")
    parser.add_argument(
        "--fps",
        type=positive,
        metavar="X",
        help=f"pictures per second (default: {FPS:g}, or as the pose file says)",
    )
    add_size_argument(parser, f"as trained, at least {LEAST_SIZE}")


def view_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """What `add_view_arguments` parsed, as arguments of `runs.render.write_render` and its like."""
    given = {name: getattr(args, name) for name in ("camera", "size", "parts", "joints", "fps")}
    return {**given, "circle": args.turntable}


def add_size_argument(parser: argparse.ArgumentParser, default: str) -> None:
    """--size."""
    parser.add_argument(
        "--size",
        type=image_size,
        metavar="N",
        help=f"longer side of the pictures in pixels (default: {default})",
    )


def image_size(text: str) -> int:
    """A size in pixels; argparse says which flag is wrong."""
    if not text.isdigit() or not 8 <= int(text) <= 8192:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size from 8 to 8192")
    return int(text)


def positive(text: str) -> float:
    """A positive number; argparse says which flag is wrong."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e4:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return value
