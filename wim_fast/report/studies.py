"""What was measured on several runs: the JSON that `wim-fast protocol` and `wim-fast ablate` write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wim_fast.errors import UserError
from wim_fast.evaluation.protocols import PROTOCOLS
from wim_fast.report.course import number
from wim_fast.report.run_content import files_inside, read_json
from wim_fast.report.table import Column, Table
from wim_fast.runs.ablation import measure as ablation
from wim_fast.runs.protocol.tables import COLUMNS, our_columns, published_columns
from wim_fast.runs.result_table import DAGGER
from wim_fast.runs.result_table import Column as Metric
from wim_fast.settings import as_text

PROTOCOL_FILE, ABLATION_FILE = "protocol.json", "ablation.json"


@dataclass(frozen=True)
class Study:
    """A table of several runs, what must be known beside it, and its pictures."""

    title: str
    table: Table
    notes: list[str]
    pictures: list[Path]


def read_protocol(folder: Path) -> Study:
    """UserError if its JSON is not one that `wim-fast protocol` wrote."""
    path = folder / PROTOCOL_FILE
    content, lines = read_table(path)
    protocol = content.get("protocol")
    if not isinstance(protocol, dict):
        raise damaged(path)
    name, title = text(protocol.get("name")), text(protocol.get("title"))
    names = [[text(line.get("name")) + dagger(line)] for line in lines]
    known = PROTOCOLS.get(name)
    metrics = published_columns(known) | our_columns(known) if known else COLUMNS
    table = table_of(title or name, [Column("")], names, lines, metrics)
    source = [f"Measured as in: {text(protocol.get('source'))}."] if protocol.get("source") else []
    return Study(f"Protocol {name}", table, [*source, *texts(content.get("notes"))], [])


def dagger(line: Mapping[str, Any]) -> str:
    """Behind the name of a line whose runs were not trained as the protocol says."""
    return "" if line.get("as_published", True) else f" {DAGGER}"


def read_ablation(folder: Path) -> Study:
    """UserError if its JSON is not one that `wim-fast ablate` wrote."""
    content, lines = read_table(folder / ABLATION_FILE)
    scene = Path(text(content.get("scene"))).name
    names = [[text(line.get("label")) or text(line.get("variant")), changes(line)] for line in lines]
    columns = [Column("variant"), Column("settings", is_text=True)]
    table = table_of(f"Ablation of {scene}", columns, names, lines, ablation.COLUMNS)
    pictures = files_inside(folder, "pictures.png")
    return Study(f"Ablation, {scene}", table, list(texts(content.get("notes"))), pictures)


def changes(line: Mapping[str, Any]) -> str:
    """The settings of a variant that differ from those of the whole method."""
    settings = line.get("settings")
    return ", ".join(f"{k} {as_text(v)}" for k, v in settings.items()) if isinstance(settings, dict) else ""


def table_of(
    caption: str,
    columns: Sequence[Column],
    names: Sequence[Sequence[str]],
    lines: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, Metric],
) -> Table:
    """A row for each line: its names, every metric that any line has, and how many runs it is of.

    Args:
        metrics: those that are known; others are shown by their keys.
    """
    keys = dict.fromkeys(key for line in lines for key, value in line.items() if is_value(value))
    shown = {key: metrics.get(key, Metric(key.replace("_", " "), ".4g", "up")) for key in keys}
    rows = [
        [*name, *(value_text(line.get(key), metric.form) for key, metric in shown.items()), count_text(line)]
        for name, line in zip(names, lines, strict=True)
    ]
    headings = [Column(metric.heading) for metric in shown.values()]
    return Table(caption, [*columns, *headings, Column("runs")], rows).without_empty_columns()


def is_value(value: Any) -> bool:
    """Whether this is a metric: a mean and a deviation."""
    return isinstance(value, dict) and number(value.get("mean")) is not None


def value_text(value: Any, form: str) -> str:
    """A mean and, of several runs, its deviation."""
    if not is_value(value):
        return ""
    deviation = number(value.get("deviation"))
    mean = f"{value['mean']:{form}}"
    return mean if deviation is None else f"{mean} ± {deviation:{form}}"


def count_text(line: Mapping[str, Any]) -> str:
    count = number(line.get("runs"))
    return "" if count is None else f"{count:.0f}"


def read_table(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A JSON object, and the lines of its `table`; UserError if it is something else."""
    content = read_json(path, [])
    lines = None if content is None else content.get("table")
    if content is None or not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise damaged(path)
    return content, lines


def damaged(path: Path) -> UserError:
    command = "wim-fast protocol" if path.name == PROTOCOL_FILE else "wim-fast ablate"
    return UserError(path, "is damaged", f"write it anew: {command}")


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def texts(values: Any) -> Sequence[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
