"""`wim-fast merge`: joins parts that move as one, step by step, and shows what is left (supplement D)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from wim_fast.compositing import over_uint8
from wim_fast.drawing.annotate import draw_joints, part_palette
from wim_fast.drawing.images import write_png
from wim_fast.drawing.sheets import grid
from wim_fast.drawing.views import projected
from wim_fast.errors import UserError
from wim_fast.files import output_folder
from wim_fast.model.motion import Motion, edges_of, joints_of, learned_motion, posed_at, semi_axes_of
from wim_fast.posing.merge import (
    MERGE_THRESHOLD,
    MergedStructure,
    MergeStep,
    choose_num_merges,
    merge_distance,
    merge_sequence,
    merged_structure,
)
from wim_fast.recordings.cameras import Cameras
from wim_fast.rendering.part_map import PartMap, render_parts
from wim_fast.runs.defaults import PART_PICTURE_SIZE
from wim_fast.runs.joint_list import clearest_views
from wim_fast.runs.studio import extreme_points, grey, open_run, resized_to, some_cameras, zoomed
from wim_fast.terminal import console, say, say_written
from wim_fast.training.run_folder import Run

PANELS = 8  # steps of the sequence that are shown
COLUMNS = 4
PALE = 0.35  # how much of its colour the object keeps where only the structure is to be seen


def merge(args: argparse.Namespace) -> None:
    """Merges, shows and writes."""
    run = open_run(args)
    motion, semi_axes = learned_motion(run.model), semi_axes_of(run.model)
    if not 0 <= args.frame < len(motion):
        remedy = f"choose one from 0 to {len(motion) - 1}"
        raise UserError(f"--frame {args.frame}", f"there are {len(motion)} frames trained on", remedy)
    distance = merge_distance(motion.rotation, motion.translation)
    steps = merge_sequence(distance)
    taken, reason = num_taken(args, steps)
    edges = edges_of(run.model)
    levels = [np.arange(len(semi_axes)), *(step.labels for step in steps)]
    structures = [merged_structure(labels, edges) for labels in levels]
    merged = structures[taken]

    with output_folder(args.output or run.path / "merge") as folder:
        stage = Stage.of(run, args, motion)
        tiles = []
        for k in panels(len(structures), taken):
            picture = stage.painted(structures[k])
            write_png(folder / f"merged_{k:02d}.png", picture)
            tiles.append(captioned(picture, caption(k, structures[k], steps, taken)))
        rows = [tiles[k : k + COLUMNS] for k in range(0, len(tiles), COLUMNS)]
        before_after = [
            captioned(stage.painted(structures[0]), f"{len(semi_axes)} parts and their joints"),
            captioned(stage.painted(merged), f"{merged.num_groups} groups after merging"),
            captioned(stage.connections(merged), "joints and the group centres they connect"),
        ]
        arrays: dict[str, Any] = {"merge_distance": distance, **merged_arrays(run, merged, motion)}
        json_path, npz_path = folder / "merge.json", folder / "merged.npz"
        json_path.write_text(
            json.dumps(report(args, merged, steps, taken, reason), indent=1) + "\n", encoding="utf-8"
        )
        np.savez(npz_path, **arrays)
        console.print(steps_table(steps, taken), highlight=False)
        say(f"Merged: {taken} of {len(steps)} steps ({reason}). --groups and --threshold choose otherwise.\n")
        console.print(groups_table(merged), highlight=False)
        sequence = write_png(folder / "sequence.png", grid(rows))
        result = write_png(folder / "before_after.png", grid([before_after]))
        say_written([sequence, result, json_path, npz_path])


def num_taken(args: argparse.Namespace, steps: Sequence[MergeStep]) -> tuple[int, str]:
    """How many steps of the sequence to take, and why there."""
    if args.groups is not None:
        if not 1 <= args.groups <= len(steps) + 1:
            problem = f"there are {len(steps) + 1} parts"
            raise UserError(f"--groups {args.groups}", problem, f"choose from 1 to {len(steps) + 1}")
        return len(steps) + 1 - args.groups, "as asked for"
    if args.threshold is not None:
        return choose_num_merges(steps, args.threshold), f"distances below {args.threshold:g}"
    taken = choose_num_merges(steps)
    if taken:
        return taken, "up to the largest jump of the distances"
    return choose_num_merges(steps, MERGE_THRESHOLD), f"no clear jump, so distances below {MERGE_THRESHOLD:g}"


def panels(count: int, taken: int) -> list[int]:
    """Which of the structures after 0..count-1 merges are shown: evenly spread, the chosen one among them."""
    spread = np.linspace(0, count - 1, min(PANELS, count)).round().astype(int)
    nearest = 1 + np.abs(spread[1:-1] - taken).argmin() if len(spread) > 2 else 0
    if taken not in spread:
        spread[nearest] = taken
    return spread.tolist()


def caption(k: int, structure: MergedStructure, steps: Sequence[MergeStep], taken: int) -> str:
    """What a panel of the sequence shows."""
    text = f"{structure.num_groups} " + ("parts" if k == 0 else "groups" if k < len(steps) else "group")
    if k:
        text += f", up to {steps[k - 1].value / 2:.3f}"
    return f"{text} (chosen)" if k == taken else text


def captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """A picture with a line above it."""
    return grid([[picture]], [text])


@dataclass(frozen=True)
class Stage:
    """One pose of the model seen by one camera, to be painted in the colours of any merged structure."""

    parts: PartMap
    edges: np.ndarray  # (P-1, 2)
    joints: np.ndarray  # (P-1, 2) pixels
    centers: np.ndarray  # (P, 3) world
    semi_axes: np.ndarray  # (P, 3)
    camera: Cameras  # as large as the drawing
    background: float

    @classmethod
    def of(cls, run: Run, args: argparse.Namespace, motion: Motion) -> Stage:
        """The frame and camera that the command line asks for."""
        pose = motion.at([args.frame])
        ids = run.camera_ids if args.camera is None else (args.camera,)
        cameras = resized_to(some_cameras(run, ids), args.size or PART_PICTURE_SIZE)
        cameras = cameras.select(clearest_views(cameras, pose.translation[0])[:1])
        cameras = zoomed(cameras, extreme_points(pose, semi_axes_of(run.model)))
        parts = render_parts(run.model, posed_at(run.model, pose, 0), cameras, 0, run.inv_s, run.backend)
        edges, joints = edges_of(run.model), projected(cameras, joints_of(run.model, pose)[0])
        return cls(parts, edges, joints, pose.translation[0], semi_axes_of(run.model), cameras, grey(run))

    def painted(self, structure: MergedStructure) -> np.ndarray:
        """Groups in their colours; bones through all parts, rings round the joints that remain."""
        colors = part_colors(structure, self.semi_axes)
        picture = over_uint8(self.parts.paint(colors), self.background)
        remains = np.isin(np.arange(len(self.edges)), structure.joint_ids)
        centers = projected(self.camera, self.centers)
        return draw_joints(picture, self.joints, centers, self.edges, colors, remains)

    def connections(self, structure: MergedStructure) -> np.ndarray:
        """The joints that remain, and the group centres that they connect, on a pale object."""
        colors = part_colors(structure, self.semi_axes)
        pale = np.round(255 - PALE * (255.0 - colors)).astype(np.uint8)
        picture = over_uint8(self.parts.paint(pale), self.background)
        centers = projected(self.camera, structure.centers(self.centers, self.semi_axes))
        colors = colors[largest_parts(structure, self.semi_axes)]
        return draw_joints(picture, self.joints[structure.joint_ids], centers, structure.edges, colors)


def largest_parts(structure: MergedStructure, semi_axes: np.ndarray) -> np.ndarray:
    """(G,) the part of the largest volume in each group: it stands for the group."""
    volume = semi_axes.prod(axis=1)
    return np.array([max(group, key=lambda part: volume[part]) for group in structure.groups()])


def part_colors(structure: MergedStructure, semi_axes: np.ndarray) -> np.ndarray:
    """(P, 3) uint8: every part in the colour of its group's largest part."""
    return part_palette(len(semi_axes))[largest_parts(structure, semi_axes)[structure.labels]]


def steps_table(steps: Sequence[MergeStep], taken: int) -> Table:
    """The merging sequence; a line is drawn where it stops."""
    table = Table(title="merging sequence, most alike first", title_justify="left")
    for heading in ("step", "parts", "merge distance", "groups left", ""):
        table.add_column(heading, justify="right")
    for k, step in enumerate(steps, start=1):
        i, j = step.pair
        verdict = "merged" if k <= taken else ""
        table.add_row(
            str(k),
            f"{i} + {j}",
            f"{step.value / 2:.4f}",
            str(step.num_groups),
            verdict,
            end_section=k == taken,
        )
    return table


def groups_table(merged: MergedStructure) -> Table:
    """The groups that are left and the joints between them."""
    table = Table(title="what is left", title_justify="left")
    for heading in ("group", "parts", "joints (to group)"):
        table.add_column(heading, justify="left")
    for g, parts in enumerate(merged.groups()):
        joints = [
            f"{joint} (to {edge[1 - edge.index(g)]})"
            for joint, edge in zip(merged.joint_ids.tolist(), merged.edges.tolist(), strict=True)
            if g in edge
        ]
        table.add_row(str(g), " ".join(map(str, parts)), ", ".join(joints))
    return table


def report(
    args: argparse.Namespace, merged: MergedStructure, steps: Sequence[MergeStep], taken: int, reason: str
) -> dict[str, Any]:
    """What merge.json holds."""
    return {
        "run": str(args.run),
        "stopped": reason,
        "steps": [
            {
                "step": k,
                "parts": list(step.pair),
                "merge_distance": step.value / 2,
                "groups_left": step.num_groups,
                "merged": k <= taken,
            }
            for k, step in enumerate(steps, start=1)
        ],
        **merged.to_dict(),
    }


def merged_arrays(run: Run, merged: MergedStructure, motion: Motion) -> dict[str, np.ndarray]:
    """The merged structure as arrays, lengths in the scene's own units, part-to-world as in trajectory.npz.

    group_of_part (P,); edges (G-1, 2) the groups that are joined, joint_ids (G-1,) which joint of the
    unmerged tree that is, joint_position (T, G-1, 3); group_rotation (T, G, 3, 3) of each group's largest
    part, group_translation (T, G, 3) its parts' centres weighted by volume; frame_ids (T,).
    """
    semi_axes = semi_axes_of(run.model)
    return {
        "group_of_part": merged.labels,
        "edges": merged.edges,
        "joint_ids": merged.joint_ids,
        "joint_position": joints_of(run.model, motion)[:, merged.joint_ids] * run.coordinate_scale,
        "group_rotation": motion.rotation[:, largest_parts(merged, semi_axes)],
        "group_translation": merged.centers(motion.translation, semi_axes) * run.coordinate_scale,
        "frame_ids": np.array(run.frame_ids),
    }
