"""`wim-fast render-novel-pose --list-joints`: which number is which part, and how each joint can turn."""

from __future__ import annotations

import argparse

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from wim_fast.compositing import over_uint8
from wim_fast.drawing.annotate import draw_joints, draw_labels, part_palette
from wim_fast.drawing.images import enlarge, write_png
from wim_fast.drawing.sheets import grid
from wim_fast.drawing.views import projected
from wim_fast.errors import UserError
from wim_fast.files import output_folder
from wim_fast.model.motion import Motion, edges_of, joints_of, learned_motion, posed_at, semi_axes_of
from wim_fast.posing.joint_motion import JointMotion, joint_motions
from wim_fast.posing.tree import RootedTree, default_root, rooted
from wim_fast.recordings.cameras import Cameras, project
from wim_fast.rendering.part_map import render_parts
from wim_fast.runs.defaults import PART_PICTURE_SIZE
from wim_fast.runs.studio import extreme_points, grey, resized_to, some_cameras, zoomed
from wim_fast.terminal import console, say, say_written
from wim_fast.training.run_folder import Run

CANVAS_SIZE = 768  # drawn on
STILL = 3.0  # degrees: a joint that turns by less is called stiff
LIGHT_GREY = np.array([205, 205, 205], np.uint8)
JOINT_PLATE = np.array([60, 60, 60], np.uint8)


def list_joints(run: Run, args: argparse.Namespace) -> None:
    """Prints the tree, the joints and an example, and writes a labelled picture."""
    motion = learned_motion(run.model)
    if not 0 <= args.frame < len(motion):
        remedy = f"choose one from 0 to {len(motion) - 1}"
        raise UserError(f"--frame {args.frame}", f"there are {len(motion)} frames trained on", remedy)
    edges, semi_axes = edges_of(run.model), semi_axes_of(run.model)
    tree = rooted(edges, default_root(edges, semi_axes, motion.rotation, motion.translation))
    turns = joint_motions(motion.rotation, tree, args.frame)
    pose = motion.at([args.frame])
    positions = joints_of(run.model, pose)[0] * run.coordinate_scale
    say("\n".join(tree.lines()))
    console.print(joint_table(tree, turns, positions, args.frame), highlight=False)
    example = example_pose(tree, turns, args.frame)
    with output_folder(args.output or run.path / "novel_pose") as folder:
        picture = write_png(folder / "parts.png", labelled_picture(run, args, pose))
        pose_file = folder / "example.yaml"
        pose_file.write_text(example, encoding="utf-8")
        say(f"\nA pose file to start from:\n\n{example}")
        say_written([picture, pose_file])
        say(f"try it: wim-fast render-novel-pose {run.path} --pose {pose_file}")


def joint_table(tree: RootedTree, turns: dict[int, JointMotion], positions: np.ndarray, frame: int) -> Table:
    """A row per joint, in the order of the tree. Positions (P-1, 3) in the scene's own units."""
    title = f"frame {frame}: position in scene units, main axis in the world, angles seen"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("joint", "part", "on", "position", "axis", "angles"):
        table.add_column(heading, justify="right", no_wrap=True)
    size = np.ptp(positions, axis=0).max() if len(positions) > 1 else 1.0
    decimals = int(np.clip(2 - np.floor(np.log10(max(size, 1e-9))), 0, 9))
    for part, turn in turns.items():
        joint = int(tree.parent_edge[part])
        seen = "hardly" if turn.span < STILL else f"{turn.least:+.0f}° to {turn.greatest:+.0f}°"
        table.add_row(
            str(joint),
            str(part),
            str(tree.parent[part]),
            " ".join(f"{x:.{decimals}f}" for x in positions[joint]),
            " ".join(f"{x:+.2f}" for x in turn.axis),
            seen,
        )
    return table


def example_pose(tree: RootedTree, turns: dict[int, JointMotion], frame: int) -> str:
    """A pose file that turns the two joints which were seen to turn most, by half of what was seen."""
    lines = [
        f"root: {tree.root}                 # the part that stays where it is",
        f"frame: {frame}                # which of the frames trained on the motion starts from",
        "sequence: together      # or one_after_another",
        "axes: world             # or part: the frame in which the axes below are given",
        "seconds: 2",
        "fps: 15",
        "root_translation: [0, 0, 0]   # moves the whole object, in the scene's own units",
        "rotations:              # degrees; the length is the angle, the direction the axis",
    ]
    for part in sorted(turns, key=lambda part: -turns[part].span)[:2]:
        turn = turns[part]
        far = turn.greatest if turn.greatest > -turn.least else turn.least
        angle = 0.5 * far if abs(far) > STILL else 30.0
        axis_angle = ", ".join(f"{angle * x:.1f}" for x in turn.axis)
        lines.append(f"  - {{part: {part}, axis_angle: [{axis_angle}]}}")
    if not turns:  # a single part: all that can turn is the whole
        lines.append(f"  - {{part: {tree.root}, axis_angle: [0, 0, 30]}}")
    return "\n".join(lines) + "\n"


def labelled_picture(run: Run, args: argparse.Namespace, pose: Motion) -> np.ndarray:
    """The numbers of parts and of joints, from two sides (or from --camera)."""
    ids = run.camera_ids if args.camera is None else (args.camera,)
    cameras = resized_to(some_cameras(run, ids), args.size or PART_PICTURE_SIZE)
    clearest = clearest_views(cameras, pose.translation[0])
    cameras = zoomed(cameras, extreme_points(pose, semi_axes_of(run.model)))
    edges, background = edges_of(run.model), grey(run)
    joints, centers = joints_of(run.model, pose)[0], pose.translation[0]
    palette = part_palette(len(centers))
    rows, captions = [], []
    for index in clearest:
        parts = render_parts(run.model, posed_at(run.model, pose, 0), cameras, index, run.inv_s, run.backend)
        painted, plain = (
            enlarge(over_uint8(parts.paint(colors), background), CANVAS_SIZE, smooth=True)
            for colors in (palette, np.broadcast_to(LIGHT_GREY, palette.shape))
        )
        camera = cameras.select([index]).resized(plain.shape[1], plain.shape[0])
        at_joints, at_centers = projected(camera, joints), projected(camera, centers)
        bones = draw_joints(plain, at_joints, at_centers, edges)
        plates = np.broadcast_to(JOINT_PLATE, (len(joints), 3))
        rows.append(
            [
                draw_labels(painted, at_centers, [str(k) for k in range(len(centers))]),
                draw_labels(bones, at_joints, [str(k) for k in range(len(joints))], plates),
            ]
        )
        captions.append(f"camera {cameras.ids[index]}: numbers of the parts (left) and of the joints (right)")
    return grid(rows, row_captions=captions)


def clearest_views(cameras: Cameras, centers: np.ndarray) -> list[int]:
    """The camera that shows the part centres (P, 3) farthest apart, and a second one from another side."""
    if len(cameras) == 1 or len(centers) == 1:
        return [0]
    at = project(cameras, centers)[0]  # (V, P, 2)
    apart = np.linalg.norm(at[:, :, None] - at[:, None], axis=-1)
    nearest = np.where(np.eye(len(centers), dtype=bool), np.inf, apart).min(axis=-1)
    score = nearest.mean(axis=-1)
    best = int(score.argmax())
    ahead = cameras.T_camera_world[:, 2, :3]
    other = score * np.linalg.norm(np.cross(ahead, ahead[best]), axis=-1)
    return [best, int(other.argmax())]
