"""The joints of an exported mechanism as a table for the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from wim_fast.export.links import LinkModel
from wim_fast.export.simulation import seen_range


def joint_kinds_table(model: LinkModel) -> Table:
    """A row per link: how its joint moved in the film, and how far the mechanism is from the learned poses (rms)."""
    title = f"{len(model.links)} links, {model.mass:.3g} kg; residuals to the learned poses, lengths in units"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("link", "parts", "joint", "on", "seen", "turned by", "shifted by", "surface by"):
        table.add_column(heading, justify="right", no_wrap=True)
    for link, joint in zip(model.links, model.joints, strict=True):
        table.add_row(
            link.name,
            ", ".join(map(str, link.parts)),
            joint.kind,
            model.links[joint.parent].name if joint.parent >= 0 else "world",
            ", ".join(seen_range(joint)),
            f"{joint.turn_residual:.1f}°",
            f"{joint.shift_residual:.3g}",
            f"{joint.surface_residual:.3g}",
        )
    return table
