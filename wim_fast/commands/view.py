"""`wim-fast view`: the exported model in a browser, with its motion, a slider for each joint, and files to take away."""

from __future__ import annotations

import argparse

from wim_fast.commands.model_flags import add_mesh_arguments, add_page_arguments, mesh_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    add_page_arguments(parser)
    add_mesh_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Serves the page."""
    from wim_fast.export.asset import Settings
    from wim_fast.viewer.serve import serve_model

    serve_model(args.run, Settings(**mesh_arguments(args)), args.backend, args.host, args.port)
