"""Protocols that were measured, from the protocol.json that `wim-fast protocol` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wim_fast.errors import UserError
from wim_fast.report.course import number
from wim_fast.report.run_content import read_json
from wim_fast.report.table import Column, Table
from wim_fast.runs.protocol.tables import COLUMNS, DAGGER

PROTOCOL_FILE = "protocol.json"


@dataclass(frozen=True)
class Study:
    """Something that was measured on several runs: its table, what must be known beside it, its pictures."""

    title: str
    table: Table
    notes: list[str]
    pictures: list[Path]


def read_protocol(folder: Path) -> Study:
    """UserError if its JSON is not one that `wim-fast protocol` wrote."""
    content = read_study(folder / PROTOCOL_FILE, "wim-fast protocol")
    protocol = content.get("protocol")
    lines = content.get("table")
    if not isinstance(protocol, dict) or not isinstance(lines, list):
        raise damaged(folder / PROTOCOL_FILE, "wim-fast protocol")
    lines = [line for line in lines if isinstance(line, dict)]
    keys = [key for key in COLUMNS if any(isinstance(line.get(key), dict) for line in lines)]
    columns = [Column(""), *(Column(COLUMNS[key].heading) for key in keys), Column("runs")]
    rows = [
        [line_name(line), *(value_text(line.get(key), COLUMNS[key].form) for key in keys), count_text(line)]
        for line in lines
    ]
    name, title = text(protocol.get("name")), text(protocol.get("title"))
    notes = [f"Measured as in: {text(protocol.get('source'))}.", *texts(content.get("notes"))]
    return Study(f"Protocol {name}", Table(title or name, columns, rows), notes, [])


def line_name(line: Mapping[str, Any]) -> str:
    """With a dagger if its runs were not trained as the protocol says."""
    return text(line.get("name")) + ("" if line.get("as_published", True) else f" {DAGGER}")


def count_text(line: Mapping[str, Any]) -> str:
    count = number(line.get("runs"))
    return "" if count is None else f"{count:.0f}"


def value_text(value: Any, form: str) -> str:
    """A mean and, of several runs, its deviation."""
    if not isinstance(value, dict) or (mean := number(value.get("mean"))) is None:
        return ""
    deviation = number(value.get("deviation"))
    return f"{mean:{form}}" if deviation is None else f"{mean:{form}} ± {deviation:{form}}"


def read_study(path: Path, command: str) -> dict[str, Any]:
    """A JSON object; UserError if it is something else."""
    content = read_json(path, [])
    if content is None:
        raise damaged(path, command)
    return content


def damaged(path: Path, command: str) -> UserError:
    return UserError(path, "is damaged", f"write it anew: {command}")


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def texts(values: Any) -> Sequence[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
