"""`wim-fast merge`: the sequence, the pictures, and the bodies as data."""

from __future__ import annotations

import json

import numpy as np
import pytest
from errors import assert_one_error
from PIL import Image
from trained_run import TRAINED_FRAMES, TinyRun

from wim_fast import load_run
from wim_fast.cli import main


def test_merge_to_two_bodies(tiny_run: TinyRun, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--parts-found", "2", "--size", "48", "--output", str(tmp_path)]
    assert main(["merge", str(tiny_run.path), *arguments]) == 0
    report = json.loads((tmp_path / "merge.json").read_text())
    assert [step["bodies_left"] for step in report["steps"]] == [2, 1]
    assert [step["merged"] for step in report["steps"]] == [True, False]
    assert sorted(part for parts in report["bodies"] for part in parts) == [0, 1, 2]
    assert set(report["steps"][0]["parts"]) in [set(parts) for parts in report["bodies"]]
    assert report["criterion"][str(report["proposed"])] == min(report["criterion"].values())
    assert report["found"] == 2

    learned = np.load(tiny_run.path / "trajectory.npz")
    merged = np.load(tmp_path / "merged.npz")
    assert merged["body_edges"].tolist() == report["edges"] == [[0, 1]]
    assert merged["body_joint_position"].shape == (TRAINED_FRAMES, 1, 3)
    assert merged["body_rotation"].shape == (TRAINED_FRAMES, 2, 3, 3)
    alone = next(body for body, parts in enumerate(report["bodies"]) if len(parts) == 1)
    part = report["bodies"][alone][0]
    run = load_run(tiny_run.path)
    turns = merged["body_rotation"][:, alone], run.bodies(2).motion[:, alone, :3, :3]
    np.testing.assert_allclose(*turns, atol=1e-6)
    away = run.bodies(2).motion[:, alone, :3, 3] - merged["body_translation"][:, alone] / run.coordinate_scale
    in_body = np.einsum("tji,tj->ti", turns[0], away)  # its centre has one place on it
    np.testing.assert_allclose(in_body, in_body[[0]].repeat(len(in_body), 0), atol=1e-5)
    places = merged["body_translation"][:, alone], learned["part_translation"][:, part]
    np.testing.assert_allclose(*(x.mean(axis=0) for x in places), atol=0.02)
    bodies = merged["body_of_part"]
    assert [np.flatnonzero(bodies == body).tolist() for body in range(2)] == report["bodies"]

    for name in ("bodies.png", "sequence.png", "before_after.png", "merged_00.png", "merged_02.png"):
        assert min(Image.open(tmp_path / name).size) >= 48
    output = capsys.readouterr().out
    assert str(tmp_path / "merged.npz") in output
    assert "are proposed" in output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--parts-found", "4"], ["4 bodies", "1 to 3"]),
        (["--parts-found", "0"], ["0 bodies", "1 to 3"]),
        (["--frame", "10"], ["frame 10", "0 to 9"]),
        (["--camera", "77"], ["camera 77"]),
    ],
)
def test_bad_arguments(
    tiny_run: TinyRun, arguments: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", str(tiny_run.path), *arguments]) == 2
    assert_one_error(capsys.readouterr().err, *named)
