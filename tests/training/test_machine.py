"""machine.json: an entry for each time that training began or went on."""

from __future__ import annotations

import re
from pathlib import Path

from wim_fast.ops.backend import select_backend
from wim_fast.training import machine
from wim_fast.training.machine import commit, read_machines, write_machine


def test_going_on_adds_to_what_was_before(tmp_path: Path) -> None:
    path, backend = tmp_path / "machine.json", select_backend("torch")
    for step in (0, 40, 80, 40):
        write_machine(path, backend, step)
    assert [entry["from_step"] for entry in read_machines(path)] == [0, 40]
    path.write_text('[{"from_step": "x"}, 3')
    assert read_machines(path) == []
    write_machine(path, backend, 40)
    assert [entry["from_step"] for entry in read_machines(path)] == [40]


def test_only_a_checkout_has_a_commit(tmp_path: Path, monkeypatch) -> None:
    found = commit()
    assert found is None or re.fullmatch(r"[0-9a-f]{12,}(-dirty)?", found)
    monkeypatch.setattr(machine, "CHECKOUT", tmp_path)
    assert commit() is None
