"""Joints, driving, merging, doubted masks and bends as tables and lines for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from wim_fast.posing.merge import MergedStructure, MergeStep
from wim_fast.runs.bend import Bend
from wim_fast.runs.check import CameraShares
from wim_fast.runs.drive import Driven
from wim_fast.runs.joints import STILL, JointList


def joint_table(joints: JointList, coordinate_scale: float) -> Table:
    """A row per joint, in the order of the tree, lengths in the units of the recording's files."""
    title = f"frame {joints.frame}: position in scene units, main axis in the world, angles seen"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("joint", "part", "on", "position", "axis", "angles"):
        table.add_column(heading, justify="right", no_wrap=True)
    positions, tree = joints.positions * coordinate_scale, joints.tree
    size = np.ptp(positions, axis=0).max() if len(positions) > 1 else 1.0
    decimals = int(np.clip(2 - np.floor(np.log10(max(size, 1e-9))), 0, 9))
    for part, turn in joints.motions.items():
        joint = int(tree.parent_edge[part])
        angles = "hardly" if turn.span < STILL else f"{turn.least:+.0f}° to {turn.greatest:+.0f}°"
        table.add_row(
            str(joint),
            str(part),
            str(tree.parent[part]),
            " ".join(f"{x:.{decimals}f}" for x in positions[joint]),
            " ".join(f"{x:+.2f}" for x in turn.axis),
            angles,
        )
    return table


def driving_note(driven: Driven, coordinate_scale: float) -> str:
    """How well points drive the model, lengths in the units of the recording's files."""

    def length(x: float) -> str:
        return f"{x * coordinate_scale:.3g} ({x / driven.extent:.2%} of the object's extent)"

    return (
        f"{driven.points} points drive the model, learned from {len(driven.fitted)} frames. "
        f"Residual: {length(driven.residual)} for its points on these frames, "
        f"{length(driven.held_out_error)} on frames held out of the fit"
    )


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


def doubt_table(shares: Sequence[CameraShares]) -> Table:
    """What is doubted of each camera's masks, as shares of the object's pixels."""
    table = Table(title="doubted, of the object's pixels", title_justify="left")
    for heading in ("camera", "missing", "let in"):
        table.add_column(heading, justify="right")
    for camera in shares:
        table.add_row(str(camera.camera), f"{camera.missing:.2%}", f"{camera.let_in:.2%}")
    return table


def bends_table(bends: Sequence[Bend]) -> Table:
    """A row for each bend, the unbent frame first."""
    torn = sum(bend.pieces > bends[0].pieces for bend in bends)
    title = f"{torn} of {len(bends) - 1} bends tear the object"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("part", "on", "turned by", "pieces", "volume"):
        table.add_column(heading, justify="right")
    for bend in bends:
        names = ("-", "-", "-") if bend.part < 0 else (str(bend.part), str(bend.on), f"{bend.degrees:+.0f}°")
        table.add_row(*names, str(bend.pieces), f"{bend.volume:.1%}")
    return table
