"""The table of a protocol, for people and for LaTeX, and its description."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from wim_fast.evaluation.protocols import JOINTS, OUR_DRIVING, Protocol, numbers
from wim_fast.evaluation.summary import Line
from wim_fast.posing.regression import RIDGE

DAGGER = "†"


class Column(NamedTuple):
    """How a metric is headed and printed."""

    heading: str
    form: str
    better: str  # up or down


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


def shown_columns(protocol: Protocol, lines: Sequence[Line]) -> dict[str, Column]:
    """The source's metrics and then ours, headed so, that any line has."""
    columns = {key: column_of(key) for key in protocol.metrics}
    for key in protocol.our_metrics:
        ours = "our driving" if key.endswith(OUR_DRIVING) else "ours"
        column = column_of(key)
        columns[key] = column._replace(heading=f"{column.heading}, {ours}")
    return {key: column for key, column in columns.items() if any(key in line.values for line in lines)}


def column_of(key: str) -> Column:
    """Of a metric, of views driven by our map too."""
    return COLUMNS[key.removesuffix(OUR_DRIVING)]


def table(protocol: Protocol, lines: Sequence[Line]) -> Table:
    """For people; the last line is set apart if it is the mean."""
    columns = shown_columns(protocol, lines)
    result = Table(title=protocol.title, title_justify="left")
    result.add_column("", no_wrap=True)
    for column in columns.values():
        result.add_column(column.heading, justify="right")
    result.add_column("runs", justify="right")
    for number, line in enumerate(lines):
        cells = [_number(line, key, " ± ", "-") for key in columns]
        last = number == len(lines) - 2 and len(lines) > 2
        name = f"{line.name} {DAGGER}" if line.marked else line.name
        result.add_row(Text(name), *cells, str(line.runs), end_section=last)
    return result


def _number(line: Line, key: str, between: str, none: str) -> str:
    if key not in line.values:
        return none
    mean, deviation = line.values[key]
    form = column_of(key).form
    return f"{mean:{form}}" if deviation is None else f"{mean:{form}}{between}{deviation:{form}}"


_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "†": r"$^\dagger$",
    "±": r"$\pm$",
    **{character: "\\" + character for character in "&%$#_{}"},
}


def escape(text: str) -> str:
    """Text that LaTeX prints as it is; characters that do not print become blanks."""
    return "".join(_SPECIAL.get(c, c if c.isprintable() else " ") for c in text)


def latex(protocol: Protocol, lines: Sequence[Line], notes: Sequence[str]) -> str:
    """The table for `\\input` in a document that has the package booktabs; notes stand below it."""
    columns = shown_columns(protocol, lines)
    arrows = {"up": r"$\uparrow$", "down": r"$\downarrow$"}
    headings = [f"{escape(column.heading)} {arrows[column.better]}" for column in columns.values()]
    rows = []
    for line in lines:
        cells = [_number(line, key, r" \pm ", "") for key in columns]
        name = escape(line.name) + (r"$^\dagger$" if line.marked else "")
        rows.append(" & ".join([name, *(f"${cell}$" if cell else "--" for cell in cells)]) + r" \\")
    if len(lines) > 2:  # two subjects at least, and their mean
        rows.insert(-1, r"\midrule")
    text = [
        f"% {protocol.name}: {protocol.title}. Needs \\usepackage{{booktabs}}.",
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        " & ".join(["", *headings]).lstrip() + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if notes:
        text += [r"\par\smallskip", *(rf"{{\footnotesize {escape(note)}\par}}" for note in notes)]
    return "\n".join(text) + "\n"


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
