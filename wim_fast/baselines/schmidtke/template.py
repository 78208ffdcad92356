"""What Schmidtke* knows beforehand: the Gaussians of an object at rest, and the points at which they hang together.

```json
{
  "parts": {
    "thigh": {"center": [0, 0.1, 0.7], "sigma": [0.06, 0.06, 0.14]},
    "shin": {"center": [0, 0.1, 0.3], "sigma": [0.05, 0.05, 0.14]}
  },
  "anchors": [{"parts": ["thigh", "shin"], "at": [0, 0.1, 0.5]}]
}
```

z is up; any unit will do, for a template is placed and sized by the scene (`placement.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from wim_fast import strict_yaml
from wim_fast.errors import UserError
from wim_fast.files import resource_folder

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Template:
    """P Gaussians along the template's axes, and A anchors of two parts each."""

    names: tuple[str, ...]
    centers: Array  # (P, 3)
    sigmas: Array  # (P, 3)
    anchors: Array  # (A, 3) points that belong to two parts at once
    pairs: NDArray[np.int64]  # (A, 2) those parts


def template_names() -> list[str]:
    """Templates that ship with wim-fast."""
    return sorted(path.stem for path in (resource_folder("configs") / "templates").glob("*.json"))


def read_template(path_or_name: str | Path) -> Template:
    """A shipped template for a name that is known, else that of a file.

    UserError, one line, for what is no template: numbers that are none, anchors of parts that are not there, and parts
    that no anchors connect with the others.
    """
    text = str(path_or_name)
    known = template_names()
    path = resource_folder("configs") / "templates" / f"{text}.json" if text in known else Path(text)
    if not path.is_file():
        remedy = f"give a JSON file, or one of those that ship with wim-fast ({', '.join(known)})"
        raise UserError(text or "--template", "there is no such template", remedy)
    return _Reader(path).template(strict_yaml.read(path))  # which JSON is


@dataclass(frozen=True)
class _Reader:
    """Turns what a file holds into a template, or into a UserError that names the place."""

    path: Path

    def fail(self, problem: str, remedy: str) -> NoReturn:
        raise UserError(self.path, problem, remedy)

    def template(self, content: Any) -> Template:
        content = self.mapping(content, "the file", ("parts", "anchors"))
        parts = content["parts"]
        if not isinstance(parts, dict) or not parts:
            self.fail("parts must hold 'name: part' pairs", "give at least one part")
        entries = [self.mapping(part, f"part {name}", ("center", "sigma")) for name, part in parts.items()]
        names = [str(name) for name in parts]
        centers, sigmas = (
            [self.vector(entry[key], f"{key} of {name}") for name, entry in zip(names, entries, strict=True)]
            for key in ("center", "sigma")
        )
        if np.min(sigmas) <= 0:
            self.fail("a sigma is not above zero", "give standard deviations, in the template's unit")
        anchors, pairs = self.anchors(content["anchors"], names)
        self.check_connected(pairs, names)
        return Template(tuple(names), np.array(centers), np.array(sigmas), anchors, pairs)

    def anchors(self, content: Any, names: Sequence[str]) -> tuple[Array, NDArray[np.int64]]:
        if not isinstance(content, list):
            self.fail("anchors must be a list", 'write {"parts": ["thigh", "shin"], "at": [0, 0, 0.5]}')
        points, pairs = [], []
        for number, raw in enumerate(content, start=1):
            where = f"anchor {number}"
            entry = self.mapping(raw, where, ("parts", "at"))
            pair = entry["parts"]
            if not isinstance(pair, list) or len(pair) != 2 or pair[0] == pair[1]:
                self.fail(f"{where} is of {pair!r}", "name the two parts that meet there")
            for name in pair:
                if name not in names:
                    self.fail(f"{where} is of '{name}', which is no part", f"parts are {', '.join(names)}")
            pairs.append([names.index(name) for name in pair])
            points.append(self.vector(entry["at"], f"at of {where}"))
        return np.array(points).reshape(-1, 3), np.array(pairs, dtype=np.int64).reshape(-1, 2)

    def check_connected(self, pairs: NDArray[np.int64], names: Sequence[str]) -> None:
        """Every part must hang together with the first, by one anchor or several."""
        reached = {0}
        while more := {int(b) for pair in pairs for a, b in (pair, pair[::-1]) if a in reached} - reached:
            reached |= more
        loose = [name for part, name in enumerate(names) if part not in reached]
        if loose:
            remedy = "give anchors that connect all parts"
            self.fail(f"no anchors connect {', '.join(loose)} with {names[0]}", remedy)

    def mapping(self, value: Any, where: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
        if not isinstance(value, dict) or set(value) != set(keys):
            self.fail(f"{where} must hold {' and '.join(keys)}, and nothing else", "see docs/baselines.md")
        return value

    def vector(self, value: Any, where: str) -> list[float]:
        if not isinstance(value, list) or len(value) != 3 or not all(map(_is_number, value)):
            self.fail(f"{where} is {value!r}", "give three finite numbers, such as [0, 0, 0.5]")
        return [float(x) for x in value]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
