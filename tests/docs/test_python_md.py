"""Every block of docs/python.md runs, one after the other, with a tiny run as `runs/dog` and a tenth of the steps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from trained_run import TinyRun

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_every_block_runs(tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "dog").symlink_to(tiny_run.path)
    (tmp_path / "recording").symlink_to(tiny_run.scene)
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    for steps in ("step.step < 200", "step.step < 250"):
        assert steps in text
        text = text.replace(steps, steps[:-1])
    names: dict[str, object] = {}
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    assert len(blocks) > 9
    for block in blocks:
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(PAGE), "exec"), names)  # errors name the page's line
    assert (tmp_path / "dog.png").is_file()
    assert "novel poses" in capsys.readouterr().out
    assert names["run"].step == 25  # type: ignore[attr-defined]
