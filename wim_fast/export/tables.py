"""What the command shows of an export."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from wim_fast.export.compare import Loss
from wim_fast.export.links import LinkModel
from wim_fast.export.simulation import seen_range

COLUMNS = ("psnr", "psnr_box", "iou")


def loss_table(loss: Loss) -> Table:
    """The field and the mesh against the film, a row of each for each group of views."""
    table = Table(title="against the film, means of views", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("", "", "PSNR dB", "in the box dB", "IoU", "IoU of both"):
        table.add_column(heading, justify="right", no_wrap=True)
    for group, means in loss.summary().items():
        for what in ("field", "mesh"):
            psnr, box, iou = (means.get(f"{what}_{name}", float("nan")) for name in COLUMNS)
            between = f"{means['between']:.3f}" if what == "mesh" else ""
            name = group if what == "field" else ""
            table.add_row(name, what, f"{psnr:.1f}", f"{box:.1f}", f"{iou:.3f}", between)
    return table


def links_table(model: LinkModel) -> Table:
    """A row per link: its joint and what it did in the film, and how far that is from the learned poses (rms)."""
    title = f"{len(model.links)} links, {model.mass:.3g} kg; off the learned poses in degrees and units of the recording"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("link", "on", "parts", "joint", "seen", "turned", "shifted", "at the surface"):
        table.add_column(heading, justify="right")
    for link, joint in zip(model.links, model.joints, strict=True):
        table.add_row(
            link.name,
            model.links[joint.parent].name if joint.parent >= 0 else "world",
            " ".join(map(str, link.parts)),
            joint.kind,
            ", ".join(seen_range(joint)),
            f"{joint.turn_residual:.1f}°",
            f"{joint.shift_residual:.2g}",
            f"{joint.surface_residual:.2g}",
        )
    return table
