"""The table of a protocol, for people and for LaTeX, and its description."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from wim_fast.evaluation.protocols import JOINTS, OUR_DRIVING, Protocol, numbers
from wim_fast.evaluation.summary import Line
from wim_fast.posing.regression import RIDGE
from wim_fast.runs.result_table import Column, latex_table, text_table

COLUMNS = {
    "psnr": Column("PSNR (dB)", ".2f", "up"),
    "psnr_box": Column("PSNR in the box (dB)", ".2f", "up"),
    "ssim": Column("SSIM", ".4f", "up"),
    "ssim_box": Column("SSIM in the box", ".4f", "up"),
    "ssim_paper": Column("SSIM, image's range", ".4f", "up"),
    "lpips_vgg": Column("LPIPS (VGG)", ".4f", "down"),
    "iou": Column("mask IoU", ".4f", "up"),
    "mpjpe": Column("MPJPE (mm)", ".1f", "down"),
    "mpjpe_ridge": Column(f"MPJPE (mm), ridge {RIDGE:g}", ".1f", "down"),
    "mpjpe_mean_pose": Column("mean pose (mm)", ".1f", "down"),
}


def published_columns(protocol: Protocol) -> dict[str, Column]:
    """The source's metrics."""
    return {key: column_of(key) for key in protocol.metrics}


def our_columns(protocol: Protocol) -> dict[str, Column]:
    """The metrics that we add, headed so."""
    columns = {}
    for key in protocol.our_metrics:
        ours = "our driving" if key.endswith(OUR_DRIVING) else "ours"
        column = column_of(key)
        columns[key] = column._replace(heading=f"{column.heading}, {ours}")
    return columns


def column_of(key: str) -> Column:
    """Of a metric, of views driven by our map too."""
    return COLUMNS[key.removesuffix(OUR_DRIVING)]


def tables(protocol: Protocol, lines: Sequence[Line]) -> list[Table]:
    """For people: what the source measures, if it does, and what we add."""
    choices = published_columns(protocol), our_columns(protocol)
    return [text_table(protocol.title, columns, lines) for columns in choices if columns]


def latex(protocol: Protocol, lines: Sequence[Line], notes: Sequence[str]) -> str:
    """One table for `\\input` in a document that has the package booktabs; notes stand below it."""
    columns = published_columns(protocol) | our_columns(protocol)
    return latex_table(f"{protocol.name}: {protocol.title}.", columns, lines, notes)


def described(protocol: Protocol) -> list[str]:
    """A protocol for people, in lines."""
    cameras: dict[tuple[int, ...], list[str]] = {}
    for subject in protocol.subjects:
        cameras.setdefault(subject.train_cameras, []).append(subject.name)
    count = "all" if protocol.test_count is None else f"{protocol.test_count}"
    where = "all others" if protocol.test_cameras is None else numbers(protocol.test_cameras)
    views = f"cameras {where}; {count} of the frames {protocol.test_frames}"
    return [
        f"{protocol.name}  {protocol.title}",
        *(
            f"  train     cameras {numbers(ids)}; frames {protocol.train_frames} of {', '.join(names)}"
            for ids, names in cameras.items()
        ),
        f"  test      {protocol.group}" + ("" if protocol.group == JOINTS else f": {views}"),
        f"  images    {protocol.size} pixels, background {protocol.background:g}",
        f"  metrics   {headings(protocol.metrics) or 'none of the source'}; ours: {headings(protocol.our_metrics)}",
        f"  source    {protocol.source}",
        *(f"  {'' if k else 'ours':10}{detail}" for k, detail in enumerate(protocol.ours)),
        "",
    ]


def headings(metrics: Sequence[str]) -> str:
    """Of columns, in one line."""
    return ", ".join(
        column_of(key).heading + (" by our driving" if key.endswith(OUR_DRIVING) else "") for key in metrics
    )
