"""What the command shows of an export."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from wim_fast.export.compare import Loss

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
