"""`wim-fast train --view`: the same run, bit for bit, and a page that follows it."""

from __future__ import annotations

import importlib.util
import time
import urllib.request

import pytest
import torch
from ports import free_port
from tiny_run import differences, flags, newest_checkpoint, tiny_scene

from wim_fast.cli import main
from wim_fast.viewer import live

pytestmark = pytest.mark.skipif(importlib.util.find_spec("viser") is None, reason="viser is not installed")


def test_training_is_the_same_with_a_view(tmp_path, monkeypatch, capsys) -> None:
    """And its page answers while it trains, shows a copy of the model, and ends with it."""
    monkeypatch.setattr(live, "SECONDS", 0.05)
    monkeypatch.setattr(live, "SHARE", 1.0)
    port = free_port()
    scene = tiny_scene(tmp_path / "scene")
    seen: dict[str, object] = {}
    observe = live.LiveView.observe

    def until_the_page_answers(view: live.LiveView, trainer) -> None:
        """The first step waits for it: a run this small would be over before."""
        observe(view, trainer)
        if "page" in seen:
            return
        end = time.monotonic() + 120
        while "page" not in seen:
            assert time.monotonic() < end
            assert view.process is not None
            assert view.process.poll() is None
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5) as answer:
                    seen["page"] = answer.read()
            except OSError:
                time.sleep(0.1)
        seen["process"] = view.process
        with torch.random.fork_rng():  # making a model draws its first parameters
            run = live.read_copy(view.run, view.file)
        seen["copy"] = run.step, run.frame_ids

    monkeypatch.setattr(live.LiveView, "observe", until_the_page_answers)
    for name, view in (("with", ["--view", str(port)]), ("without", [])):
        assert main(["train", *flags(scene=scene, output=tmp_path / name, iterations=40), *view]) == 0
    assert b"<html" in seen["page"]  # type: ignore[operator]
    assert seen["copy"] == (1, tuple(range(6)))
    assert seen["process"].returncode == 0  # type: ignore[attr-defined]
    assert f"localhost:{port}" in capsys.readouterr().out
    found = differences(newest_checkpoint(tmp_path / "with"), newest_checkpoint(tmp_path / "without"))
    assert not found


def test_a_view_that_dies_leaves_training_alone(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(live, "SECONDS", 0.0)
    monkeypatch.setattr(live, "SHARE", 1e9)
    monkeypatch.setattr(live.sys, "executable", "/bin/false")
    said: list[str] = []

    class Trainer:
        step, iterations = 1, 2

        @staticmethod
        def learned() -> dict:
            return {"model": {}, "inv_s": 1.0}

    from wim_fast.training.checkpoint import TrainedOn

    view = live.LiveView(tmp_path, TrainedOn((0,), (0,), 1.0), 9, said.append)
    view.observe(Trainer)  # type: ignore[arg-type]
    assert view.process is not None
    view.process.wait(20)
    view.observe(Trainer)  # type: ignore[arg-type]
    view.observe(Trainer)  # type: ignore[arg-type]
    view.close()
    assert sum("has ended" in line for line in said) == 1
    assert not view.folder.exists()
