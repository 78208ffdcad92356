"""The table of a protocol, for people and for LaTeX, and its description."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from wim_fast.evaluation.joints import PAPER_RIDGE
from wim_fast.evaluation.protocols import JOINTS, Protocol, numbers
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
    "ssim": Column("SSIM", ".4f", "up"),
    "lpips": Column("LPIPS", ".4f", "down"),
    "iou": Column("mask IoU", ".4f", "up"),
    "mpjpe": Column(f"MPJPE (mm), ridge {PAPER_RIDGE:g}", ".1f", "down"),
    "mpjpe_ridge": Column(f"MPJPE (mm), ridge {RIDGE:g}", ".1f", "down"),
    "mpjpe_mean_pose": Column("mean pose (mm)", ".1f", "down"),
}


def shown_columns(protocol: Protocol, lines: Sequence[Line]) -> list[str]:
    """The protocol's metrics that any line has."""
    return [key for key in protocol.metrics if any(key in line.values for line in lines)]


def table(protocol: Protocol, lines: Sequence[Line]) -> Table:
    """For people; the last line is set apart if it is the mean."""
    keys = shown_columns(protocol, lines)
    result = Table(title=protocol.title, title_justify="left")
    result.add_column("", no_wrap=True)
    for key in keys:
        result.add_column(COLUMNS[key].heading, justify="right")
    result.add_column("runs", justify="right")
    for number, line in enumerate(lines):
        cells = [_number(line, key, " ± ", "-") for key in keys]
        last = number == len(lines) - 2 and len(lines) > 2
        name = f"{line.name} {DAGGER}" if line.marked else line.name
        result.add_row(Text(name), *cells, str(line.runs), end_section=last)
    return result


def _number(line: Line, key: str, between: str, none: str) -> str:
    if key not in line.values:
        return none
    mean, deviation = line.values[key]
    form = COLUMNS[key].form
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
    keys = shown_columns(protocol, lines)
    arrows = {"up": r"$\uparrow$", "down": r"$\downarrow$"}
    headings = [f"{escape(COLUMNS[key].heading)} {arrows[COLUMNS[key].better]}" for key in keys]
    rows = []
    for line in lines:
        cells = [_number(line, key, r" \pm ", "") for key in keys]
        name = escape(line.name) + (r"$^\dagger$" if line.marked else "")
        rows.append(" & ".join([name, *(f"${cell}$" if cell else "--" for cell in cells)]) + r" \\")
    if len(lines) > 2:  # two subjects at least, and their mean
        rows.insert(-1, r"\midrule")
    text = [
        f"% {protocol.name}: {protocol.title}. Needs \\usepackage{{booktabs}}.",
        rf"\begin{{tabular}}{{l{'r' * len(keys)}}}",
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
        f"  metrics   {'; '.join(COLUMNS[key].heading for key in protocol.metrics)}",
        f"  source    {protocol.source}",
        *(f"  {'' if k else 'guesses':10}{guess}" for k, guess in enumerate(protocol.guesses)),
        "",
    ]
