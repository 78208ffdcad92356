"""Joints, driving, merging, doubted masks and bends as tables and lines for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from wim_fast.posing.bodies.structure import BodyStructure
from wim_fast.runs.bend import Bend
from wim_fast.runs.check import CameraShares
from wim_fast.runs.drive import Driven
from wim_fast.runs.joints import STILL, JointList
from wim_fast.runs.merge import Merging
from wim_fast.runs.topology import Topology


def joint_table(joints: JointList, coordinate_scale: float) -> Table:
    """A row per joint, in the order of the tree, lengths in the units of the recording's files."""
    title = f"frame {joints.frame}: position in scene units, main axis in the world, angles seen"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("joint", joints.skeleton.what, "on", "position", "axis", "angles"):
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


def steps_table(merging: Merging) -> Table:
    """The merging sequence; a line is drawn where it stops."""
    title = "merging sequence, that which changes least of what is seen first"
    table = Table(title=title, title_justify="left")
    for heading in ("step", "parts", "change", "bodies left", "criterion", ""):
        table.add_column(heading, justify="right")
    criterion = merging.sequence.criterion - merging.sequence.criterion.min()
    for k, step in enumerate(merging.sequence.steps, start=1):
        table.add_row(
            str(k),
            " + ".join(map(str, step.pair)),
            f"{step.cost:.2g}",
            str(merging.parts - k),
            f"+{criterion[k]:.3g}",
            "proposed" if criterion[k] == 0 else "",
            end_section=k == merging.taken,
        )
    return table


def bodies_table(bodies: BodyStructure) -> Table:
    """The bodies and the joints between them, and which of them no picture shows to turn."""
    table = Table(title="bodies", title_justify="left")
    for heading in ("body", "parts", "joints (to body)", "")[: 4 if bodies.hidden else 3]:
        table.add_column(heading, justify="left")
    edges = bodies.edges.tolist()
    for body, parts in enumerate(bodies.parts()):
        joints = [f"{joint} (to {sum(edge) - body})" for joint, edge in enumerate(edges) if body in edge]
        row = [str(body), " ".join(map(str, parts)), ", ".join(joints)]
        if body in bodies.hidden:
            row.append("hides between {} and {}".format(*bodies.hidden[body]))
        table.add_row(*row)
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
    for heading in (bends[0].what, "on", "turned by", "pieces", "volume"):
        table.add_column(heading, justify="right")
    for bend in bends:
        names = ("-", "-", "-") if bend.node < 0 else (str(bend.node), str(bend.on), f"{bend.degrees:+.0f}°")
        table.add_row(*names, str(bend.pieces), f"{bend.volume:.1%}")
    return table


def topology_table(found: Sequence[tuple[int, Topology]]) -> Table:
    """A row for each frame (id) of what was counted in it."""
    table = Table(title="the object's inside", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("frame", "pieces", "tunnels", "cavities", "Euler characteristic"):
        table.add_column(heading, justify="right")
    for frame, of in found:
        table.add_row(*map(str, (frame, *of, of.euler)))
    return table
