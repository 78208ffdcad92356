"""JSON without surprises: no deep nesting, no key twice, no numbers that no one can have meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wim_fast.errors import UserError
from wim_fast.files import read_bytes

LARGEST = 64 * 2**20  # bytes of a file


def read(path: Path) -> Any:
    """What the file holds. UserError if it is no JSON, OSError if it cannot be read."""
    remedy = "write it again"
    try:
        return json.loads(read_bytes(path, LARGEST).decode(), object_pairs_hook=_once, parse_constant=_refuse)
    except RecursionError:
        raise UserError(path, "is not valid JSON (it is nested too deeply)", remedy) from None
    except ValueError as error:  # also of digits without end, and of bytes that are no UTF-8
        raise UserError(path, f"is not valid JSON ({error})", remedy) from None


def number(value: Any) -> float:
    """A number of JSON. ValueError for what only becomes one, as true does, or is beyond all measure."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= 1e15:
        raise ValueError(f"{str(value)[:40]} is not a number")
    return float(value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)} is there twice")
    return content


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a number")
