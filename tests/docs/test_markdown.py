"""The Markdown of the repository: lines that fit on a screen, links that lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path
    for folder in (".", ".github", "docs", "assets", "assets/*", "tools", "configs")
    for path in ROOT.glob(f"{folder}/*.md")
)
LONGEST = 119
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`]*`")
_HEADING = re.compile(r"^#+ +(.*)$")


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines outside of code blocks."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings."""
    found = set()
    for _, line in prose(text):
        if heading := _HEADING.match(line):
            words = re.sub(r"[^\w\- ]", "", heading[1].strip().lower())
            found.add(words.replace(" ", "-"))
    return found


def test_files_are_found() -> None:
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "method.md"} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_fit(path: Path) -> None:
    """Tables and formulas may be wider: they cannot be broken."""
    formula, long = False, []
    for number, line in prose(path.read_text(encoding="utf-8")):
        if line.strip() == "$$":
            formula = not formula
        elif not formula and not line.lstrip().startswith("|") and len(line) > LONGEST:
            long.append(number)
    assert not long, f"{path.name}: lines {long} have more than {LONGEST} characters"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for number, line in prose(path.read_text(encoding="utf-8")):
        for target in _LINK.findall(_CODE.sub("", line)):
            if "://" in target or target.startswith("mailto:"):
                continue
            name, _, anchor = target.partition("#")
            file = (path.parent / name).resolve() if name else path
            if not file.exists():
                broken.append(f"line {number}: {target}")
            elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text(encoding="utf-8")):
                broken.append(f"line {number}: no heading {target}")
    assert not broken, broken


def test_the_test_command_is_the_one_that_ci_runs() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert 'pip install -e ".[test]" && python -m pytest -n 2 -q' in lines
    assert "pip install -e . && wim-fast train --scene dog" in lines
