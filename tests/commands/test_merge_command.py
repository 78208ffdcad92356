"""`wim-fast merge`: the sequence, the pictures, and the merged structure as data."""

from __future__ import annotations

import json

import numpy as np
import pytest
from errors import assert_one_error
from PIL import Image
from trained_run import TRAINED_FRAMES, TinyRun

from wim_fast.cli import main


def test_merge_to_two_groups(tiny_run: TinyRun, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--groups", "2", "--size", "48", "--output", str(tmp_path)]
    assert main(["merge", str(tiny_run.path), *arguments]) == 0
    report = json.loads((tmp_path / "merge.json").read_text())
    assert [step["groups_left"] for step in report["steps"]] == [2, 1]
    assert [step["merged"] for step in report["steps"]] == [True, False]
    assert sorted(part for group in report["groups"] for part in group) == [0, 1, 2]
    first, second = report["steps"]
    assert set(first["parts"]) in [set(group) for group in report["groups"]]
    assert first["merge_distance"] <= second["merge_distance"]

    learned = np.load(tiny_run.path / "trajectory.npz")
    merged = np.load(tmp_path / "merged.npz")
    assert merged["edges"].shape == (1, 2)
    joint = report["joint_ids"][0]
    np.testing.assert_allclose(merged["joint_position"][:, 0], learned["joint_position"][:, joint], atol=1e-5)
    assert merged["group_rotation"].shape == (TRAINED_FRAMES, 2, 3, 3)
    alone = next(g for g, parts in enumerate(report["groups"]) if len(parts) == 1)
    part = report["groups"][alone][0]
    np.testing.assert_allclose(
        merged["group_translation"][:, alone], learned["part_translation"][:, part], atol=1e-5
    )
    np.testing.assert_allclose(
        merged["group_rotation"][:, alone], learned["part_rotation"][:, part], atol=1e-5
    )
    groups = merged["group_of_part"]
    assert [np.flatnonzero(groups == g).tolist() for g in range(2)] == report["groups"]

    for name in ("sequence.png", "before_after.png", "merged_00.png", "merged_01.png", "merged_02.png"):
        assert min(Image.open(tmp_path / name).size) >= 48
    output = capsys.readouterr().out
    assert str(tmp_path / "merged.npz") in output
    assert "merge distance" in output


def test_threshold(tiny_run: TinyRun) -> None:
    def groups(threshold: str) -> int:
        assert main(["merge", str(tiny_run.path), "--threshold", threshold, "--size", "32"]) == 0
        return len(json.loads((tiny_run.path / "merge" / "merge.json").read_text())["groups"])

    assert groups("1e-9") == 3
    assert groups("1000") == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--groups", "4"], ["groups 4", "1 to 3"]),
        (["--groups", "0"], ["groups 0", "1 to 3"]),
        (["--frame", "10"], ["frame 10", "0 to 9"]),
        (["--camera", "77"], ["camera 77"]),
    ],
)
def test_bad_arguments(
    tiny_run: TinyRun, arguments: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", str(tiny_run.path), *arguments]) == 2
    assert_one_error(capsys.readouterr().err, *named)
