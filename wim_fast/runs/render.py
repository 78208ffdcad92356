"""`wim-fast render`: the reconstruction as pictures and video, from a camera or from a circle round it."""

from __future__ import annotations

import argparse

import numpy as np

from wim_fast.errors import UserError
from wim_fast.files import output_folder
from wim_fast.model.motion import learned_motion
from wim_fast.runs.defaults import FPS
from wim_fast.runs.studio import choose_shot, make_view, open_run, positions, shoot
from wim_fast.terminal import say_written

TURNTABLE_PICTURES = 60  # round a frame that stands still


def render(args: argparse.Namespace) -> None:
    """Renders the learned motion."""
    if args.frame is not None and (args.frames is not None or not args.turntable):
        raise UserError("--frame", "goes with --turntable and without --frames", "use --frames A:B instead")
    run = open_run(args)
    motion = learned_motion(run.model, run.backend.pose_mlp)
    if args.frame is None:
        shown = positions(args.frames, len(motion), "frames trained on")
    else:
        if not 0 <= args.frame < len(motion):
            remedy = f"choose one from 0 to {len(motion) - 1}"
            raise UserError(f"--frame {args.frame}", f"there are {len(motion)} frames trained on", remedy)
        shown = [args.frame] * TURNTABLE_PICTURES
    motion = motion.at(shown)
    shot = choose_shot(run, args, motion, np.array(run.frame_ids)[shown].tolist())
    view = make_view(run, args.parts, args.joints)
    name = "_".join([shot.video.removesuffix(".mp4"), *(s for s in ("parts", "joints") if getattr(args, s))])
    with output_folder(args.output or run.path / "render" / name) as folder:
        say_written(shoot(view, motion, shot, folder, args.fps or FPS))
