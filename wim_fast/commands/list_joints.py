"""`wim-fast render-novel-pose --list-joints`: which number is which body or part, and how each joint can turn."""

from __future__ import annotations

import argparse

from wim_fast.runs.joints import write_joints
from wim_fast.runs.kernels import with_kernels
from wim_fast.runs.run import load_run
from wim_fast.runs.tables import bodies_table, joint_table
from wim_fast.terminal import console, say, say_written


def list_joints(args: argparse.Namespace) -> None:
    """Prints the tree, the joints, the bodies and an example of a pose file, and writes the example and a labelled picture."""
    run = with_kernels(load_run(args.run, args.backend))
    written = write_joints(
        run, args.output, args.frame, camera=args.camera, size=args.size, parts_found=args.parts_found
    )
    skeleton = written.joints.skeleton
    say("\n".join(skeleton.tree.lines(skeleton.what)))
    console.print(joint_table(written.joints, run.coordinate_scale), highlight=False)
    bodies = run.bodies(skeleton.count if skeleton.what == "body" else None)
    console.print(bodies_table(bodies), highlight=False)
    say(f"\nA pose file to start from:\n\n{written.example}")
    say_written([written.picture, written.pose_file])
    say(f"try it with: wim-fast render-novel-pose {run.path} --pose {written.pose_file}")
