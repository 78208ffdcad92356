"""`wim-fast view-occupancy`: the export, how it is stopped, what goes wrong."""

from __future__ import annotations

import importlib.util
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ports import free_port
from trained_run import TRAINED_FRAMES, TinyRun

from wim_fast.cli import main

needs_viser = pytest.mark.skipif(importlib.util.find_spec("viser") is None, reason="viser is not installed")
PICTURES = {
    "cells.png", "slices.png", "ellipsoids.png", "surface.png", "ray.png", "ray_plot.png", "pixel.png", "image.png",
    "missed_mass.png",
}  # fmt: skip


def test_export(tiny_run: TinyRun, tmp_path, capsys) -> None:
    out = tmp_path / "views"
    arguments = ["--export", str(out), "--size", "64", "--frame", "2", "--camera", "1", "--pixel", "12", "12"]
    assert main(["view-occupancy", str(tiny_run.path), *arguments]) == 0
    assert {path.name for path in out.iterdir()} == PICTURES | {"numbers.json"}
    said = capsys.readouterr().out
    assert all(str(out / name) in said for name in PICTURES)
    for name in PICTURES:
        assert np.asarray(Image.open(out / name)).std() > 1, name
    content = json.loads((out / "numbers.json").read_text())
    assert len(content["frames"]) == TRAINED_FRAMES
    # after so few steps s is low, and the sigmoid's tail beyond the band of training weighs something
    assert all(0 <= row["missed_mass"] < 0.1 for row in content["frames"])
    assert content["ray"]["camera"] == 1
    assert content["backend"] == {"name": "numba", "culling": "intervals"}
    assert "numba culls analytically" in " ".join(content["about"])
    intervals = content["ray"]["intervals"]
    t = content["ray"]["samples"]["t"]
    assert min(row["enters"] for row in intervals) <= t[0] <= t[-1] <= max(row["leaves"] for row in intervals)
    assert all(row["interval_steps_per_ray"] >= row["samples_per_ray"] for row in content["frames"])
    assert len(content["ray"]["samples"]["t"]) == len(content["ray"]["samples"]["weight"])


@needs_viser
def test_ctrl_c_while_it_draws(tiny_run: TinyRun) -> None:
    """The first drawing has begun when the page is announced: the process waits for it, and leaves in order."""
    command = [
        sys.executable,
        "-m",
        "wim_fast",
        "view-occupancy",
        str(tiny_run.path),
        "--port",
        str(free_port()),
    ]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "stop with Ctrl-C" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.splitlines()[-1] == "closed"
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--export", "x", "--frame", "99"], "10 frames trained on"),
        (["--export", "x", "--camera", "77"], "there is no camera 77"),
        (["--export", "x", "--pixel", "99", "0"], "24 x 24"),
        (["--frame", "1"], "can only be given with --export"),
        (["--port", "0"], "no such port"),
    ],
)
@needs_viser
def test_impossible_wishes(tiny_run: TinyRun, capsys, arguments: list[str], words: str) -> None:
    assert main(["view-occupancy", str(tiny_run.path), *arguments]) == 2
    assert words in capsys.readouterr().err


@needs_viser
def test_a_port_in_use_and_no_run(tiny_run: TinyRun, tmp_path, capsys) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert main(["view-occupancy", str(tiny_run.path), "--port", port]) == 2
        assert "is in use" in capsys.readouterr().err
    assert main(["view-occupancy", str(tmp_path), "--port", str(free_port())]) == 2
    assert "is not a run" in capsys.readouterr().err


def test_without_viser_it_says_how_to_get_it(tiny_run: TinyRun, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "viser" else find(name, *rest)
    )
    assert main(["view-occupancy", str(tiny_run.path)]) == 2
    assert "pip install" in capsys.readouterr().err
    assert main(["train", "--scene", str(tiny_run.scene), "--view", "--output", str(Path("never"))]) == 2
    assert "viser is not installed" in capsys.readouterr().err
