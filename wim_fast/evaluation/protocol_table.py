"""The table of a protocol: runs to lines, lines to a table for people and one for LaTeX."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wim_fast.evaluation.joints import PAPER_RIDGE
from wim_fast.evaluation.protocols import Protocol
from wim_fast.posing.regression import RIDGE

if TYPE_CHECKING:
    from rich.table import Table

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


class Value(NamedTuple):
    """Mean of the runs, and their sample standard deviation (n - 1); None of one run."""

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Line:
    """A row of the table: a subject, or the mean of all."""

    name: str
    values: dict[str, Value]
    runs: int
    marked: bool  # not all of it was trained as the protocol says


def means(rows: Iterable[Mapping[str, float]], metrics: Sequence[str]) -> dict[str, float]:
    """Mean over rows of each metric that any row has; rows where it is undefined are left out."""
    rows, found = list(rows), {}
    for key in metrics:
        values = [row[key] for row in rows if key in row and math.isfinite(row[key])]
        if values:
            found[key] = float(np.mean(values))
    return found


def subject_line(name: str, runs: Sequence[Mapping[str, float]], marked: bool) -> Line:
    """Mean and standard deviation over the runs of one subject (its seeds), given the means of each."""
    values = {}
    for key in COLUMNS:
        of = [run[key] for run in runs if key in run]
        if of:
            values[key] = Value(float(np.mean(of)), float(np.std(of, ddof=1)) if len(of) > 1 else None)
    return Line(name, values, len(runs), marked)


def mean_line(lines: Sequence[Line]) -> Line | None:
    """Mean over subjects, every one counting once however many runs it has; None of a single subject."""
    if len(lines) < 2:
        return None
    of = means(({key: value.mean for key, value in line.values.items()} for line in lines), list(COLUMNS))
    values = {key: Value(mean, None) for key, mean in of.items()}
    return Line("mean", values, sum(line.runs for line in lines), any(line.marked for line in lines))


def shown_columns(protocol: Protocol, lines: Sequence[Line]) -> list[str]:
    """The protocol's metrics that any line has."""
    return [key for key in protocol.metrics if any(key in line.values for line in lines)]


def table(protocol: Protocol, lines: Sequence[Line]) -> Table:
    """For people; the last line is set apart if it is the mean."""
    from rich.table import Table
    from rich.text import Text

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
