"""Tables of measured runs, a line for each subject or variant: for people and for LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from wim_fast.evaluation.summary import Line

DAGGER = "†"
LABEL_OF_MEAN = "mean"


class Column(NamedTuple):
    """How a metric is headed and printed."""

    heading: str
    form: str
    better: str  # up or down


def shown(columns: Mapping[str, Column], lines: Sequence[Line]) -> dict[str, Column]:
    """The columns that any line has."""
    return {key: column for key, column in columns.items() if any(key in line.values for line in lines)}


def text_table(title: str, columns: Mapping[str, Column], lines: Sequence[Line]) -> Table:
    """For people; what any line has, and how many runs it is of. A mean of several lines is set apart."""
    columns = shown(columns, lines)
    result = Table(title=title, title_justify="left")
    result.add_column("")
    for column in columns.values():
        result.add_column(column.heading, justify="right")
    result.add_column("runs", justify="right")
    for number, line in enumerate(lines):
        cells = [
            _number(line, key, column, " ±", "-") for key, column in columns.items()
        ]  # may break before it
        name = f"{line.name} {DAGGER}" if line.marked else line.name
        end_section = number == len(lines) - 2 and ends_in_mean(lines)
        result.add_row(Text(name), *cells, str(line.runs), end_section=end_section)
    return result


def ends_in_mean(lines: Sequence[Line]) -> bool:
    """Whether the last line is the mean of those before."""
    return len(lines) > 2 and lines[-1].name == LABEL_OF_MEAN


def _number(line: Line, key: str, column: Column, between: str, none: str) -> str:
    if key not in line.values:
        return none
    mean, deviation = line.values[key]
    form = column.form
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


def latex_table(
    title: str, columns: Mapping[str, Column], lines: Sequence[Line], notes: Sequence[str]
) -> str:
    """The same for `\\input` in a document that has the package booktabs; notes stand below it."""
    columns = shown(columns, lines)
    arrows = {"up": r"$\uparrow$", "down": r"$\downarrow$"}
    headings = [f"{escape(column.heading)} {arrows[column.better]}" for column in columns.values()]
    rows = []
    for line in lines:
        cells = [_number(line, key, column, r" \pm ", "") for key, column in columns.items()]
        name = escape(line.name) + (r"$^\dagger$" if line.marked else "")
        rows.append(" & ".join([name, *(f"${cell}$" if cell else "--" for cell in cells)]) + r" \\")
    if ends_in_mean(lines):
        rows.insert(-1, r"\midrule")
    text = [
        f"% {title} Needs \\usepackage{{booktabs}}.",
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
