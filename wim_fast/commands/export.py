"""`wim-fast export`: a run for other programs, rigged, animated, still, as splats, or as a page to send."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

from wim_fast.commands.flags import positive
from wim_fast.commands.model_flags import add_mesh_arguments, mesh_arguments
from wim_fast.export.convex import COLLISIONS
from wim_fast.export.formats import FORMATS
from wim_fast.ops.backend import BACKENDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("run", metavar="RUN", help="folder that wim-fast train made")
    parser.add_argument("--format", choices=FORMATS, required=True, help="what to write")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: RUN/export/<name of the run>.*")
    add_mesh_arguments(parser)
    parser.add_argument(
        "--sequence", action="store_true", help="a file per frame, in a folder (obj, ply, stl, splats)"
    )
    parser.add_argument(
        "--density", type=positive, default=1000.0, metavar="X", help="kg/m^3, urdf and mjcf (default: 1000)"
    )
    parser.add_argument(
        "--collision",
        choices=COLLISIONS,
        default="hull",
        help="what collides in urdf and mjcf (default: hull)",
    )
    parser.add_argument(
        "--compare", action="store_true", help="measure what the mesh loses against rendering the field"
    )
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="kernels to use (default: auto)")


def run(args: argparse.Namespace) -> None:
    """Exports, and says what was written."""
    from wim_fast.export.export import export_run
    from wim_fast.export.tables import links_table, loss_table
    from wim_fast.runs.kernels import with_kernels
    from wim_fast.runs.run import load_run
    from wim_fast.terminal import progress_bars, say, say_table, say_written

    chosen = {name: getattr(args, name) for name in ("sequence", "density", "collision", "compare", "force")}
    run = with_kernels(load_run(args.run, args.backend))
    with progress_bars() if args.compare else nullcontext() as on_progress:
        found = export_run(
            run,
            args.format,
            args.output,
            **mesh_arguments(args),
            **chosen,
            on_progress=on_progress,
        )
    surface, rig = found.asset.surface, found.asset.rig
    say(
        f"{len(surface.vertices)} vertices, {len(surface.faces)} faces, {rig.bones} bones, "
        f"rest frame {surface.frame}"
    )
    if args.format in ("urdf", "mjcf"):
        say_table(links_table(found.asset.links))
    if found.loss is not None:
        say_table(loss_table(found.loss))
    say_written(found.files if len(found.files) < 8 else [found.files[0].parent])
