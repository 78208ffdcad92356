"""What says the same thing in two files says it alike: version, licence, Pythons."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

import wim_fast

ROOT = Path(__file__).parents[2]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load(text("CITATION.cff"))
    dated = re.search(
        rf"^## \[{re.escape(wim_fast.__version__)}\] - (\S+)$", text("CHANGELOG.md"), re.MULTILINE
    )
    assert dated, "the changelog has no heading for this version"
    assert citation["version"] == wim_fast.__version__
    assert citation["date-released"] == dated[1]


def test_the_licence_is_the_same_everywhere() -> None:
    assert yaml.safe_load(text("CITATION.cff"))["license"] == "Apache-2.0"
    assert 'license = "Apache-2.0"' in text("pyproject.toml")
    assert "Version 2.0, January 2004" in text("LICENSE")


def test_every_python_that_is_promised_is_tested() -> None:
    promised = re.findall(r"Python :: (3\.\d+)\"", text("pyproject.toml"))
    test_job = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"]["test"]
    assert promised == ["3.10", "3.11", "3.12", "3.13"]
    assert test_job["strategy"]["matrix"]["python"] == promised
    assert {"run": ".ci/run"} in test_job["steps"]
