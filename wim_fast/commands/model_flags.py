"""Flags of the commands that show a run in a browser, export or pose it. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
from typing import Any, Literal

from wim_fast.commands.flags import positive
from wim_fast.ops.backend import BACKENDS
from wim_fast.viewer.server import HOST, PORT


def add_page_arguments(parser: argparse.ArgumentParser) -> None:
    """RUN, --port, --host and --backend."""
    parser.add_argument("run", metavar="RUN", help="folder that wim-fast train made")
    parser.add_argument(
        "--port", type=int, default=PORT, metavar="N", help=f"port of the page (default: {PORT})"
    )
    parser.add_argument(
        "--host", default=HOST, metavar="ADDRESS", help=f"who may look: {HOST}, this machine only (default)"
    )
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="kernels to use (default: auto)")


def add_mesh_arguments(parser: argparse.ArgumentParser) -> None:
    """--frame, --faces, --texture, --baked-light, --parts-found, --fps."""
    parser.add_argument(
        "--frame", type=int, metavar="F", help="rest frame (default: the one whose parts overlap least)"
    )
    parser.add_argument("--faces", type=int, metavar="N", help="default: 50000, with a texture 20000")
    parser.add_argument(
        "--texture", type=int, metavar="SIZE", help="bake colours to a texture (glb, html, obj), such as 2048"
    )
    parser.add_argument("--baked-light", action="store_true", help="colours as lit in the film")
    add_parts_found(parser, argparse.SUPPRESS, "a bone for each of N bodies; with urdf and mjcf a link")
    parser.add_argument(
        "--fps", type=positive, default=30.0, metavar="X", help="frames per second of the film (default: 30)"
    )


def add_parts_found(parser: argparse.ArgumentParser, default: str | None, what: str) -> None:
    """--parts-found, for a command that takes bodies or parts; `what` it does with N bodies.

    default: "auto", None for all, or SUPPRESS: as `export.asset.Settings` has it.
    """
    named = {None: "all", argparse.SUPPRESS: "auto with urdf and mjcf, else all"}.get(default, default)
    parser.add_argument(
        "--parts-found",
        type=parts_found,
        default=default,
        metavar="N",
        help=f"{what} (auto: as many as were found, all: every part by itself; default: {named})",
    )


def parts_found(text: str) -> int | Literal["auto"] | None:
    """A number of bodies, auto, or None for "all"; argparse says which flag is wrong."""
    if text in ("auto", "all"):
        return "auto" if text == "auto" else None
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number, nor auto or all")
    return int(text)


def mesh_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """What `add_mesh_arguments` parsed, and was given, as arguments of `export_run` and `export.asset.Settings`."""
    return {
        name: getattr(args, name)
        for name in ("frame", "faces", "texture", "baked_light", "parts_found", "fps")
        if hasattr(args, name)
    }
