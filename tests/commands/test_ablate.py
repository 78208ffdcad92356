"""`wim-fast ablate` through the command line: one of two variants has finished, the other goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from tiny_run import flags, tiny_scene

import wim_fast
from wim_fast.cli import _parse, main
from wim_fast.config import config_overrides, to_yaml
from wim_fast.runs.ablation.jobs import plan_jobs
from wim_fast.runs.ablation.variants import VARIANTS

STEPS, STOPPED = 24, 5


def test_ablate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene, output = tiny_scene(tmp_path / "scene"), tmp_path / "out"
    settings = flags(iterations=STEPS, log_every=1, test_cameras=4, checkpoint_minutes=10)
    arguments = ["ablate", str(scene), *settings, "--seeds", "1", "--output", str(output)]
    arguments += ["--variants", "no-merge", "ours", "--at-once", "2"]

    # ours was begun and stopped, the other has finished
    variants = [VARIANTS["ours"], VARIANTS["no-merge"]]
    ours, finished = plan_jobs(output, variants, 1, config_overrides(_parse(arguments)))
    for job, last in ((ours, STOPPED), (finished, STEPS + 1)):
        job.folder.create(to_yaml(job.config))
        wim_fast.train(output=job.folder.path, resume=True, on_step=lambda step, last=last: step.step < last)
    finished_by = (finished.folder.checkpoints / f"step_{STEPS:08d}.pt").stat().st_mtime_ns
    assert ours.progress == pytest.approx(0.99 * STOPPED / STEPS)

    assert main(arguments) == 0
    assert (ours.folder.checkpoints / f"step_{STOPPED:08d}.pt").exists()
    assert (ours.folder.path / "train.stderr").exists()
    assert not (finished.folder.path / "train.stderr").exists()
    assert (finished.folder.checkpoints / f"step_{STEPS:08d}.pt").stat().st_mtime_ns == finished_by
    report = json.loads((output / "ablation.json").read_text())
    assert [row["variant"] for row in report["table"]] == ["ours", "no-merge"]
    assert report["table"][1]["settings"] == {"merge_weight": 0.0}
    for row, run in zip(report["table"], report["runs"], strict=True):
        folder = output / run["run"]
        losses = [json.loads(line)["losses"] for line in (folder / "metrics.jsonl").open()]
        assert len(losses) == run["step"] == STEPS
        assert ("merge" in losses[-1]) == (row["variant"] == "ours")
        written = json.loads((folder / "evaluation.json").read_text())["test cameras"]
        assert run["psnr"] == row["psnr"]["mean"] == written["psnr"]
    shown = capsys.readouterr().out
    assert "without" in shown
    assert f"{report['table'][0]['psnr']['mean']:.2f}" in shown
    assert r"novel-view PSNR (dB) $\uparrow$ &" in (output / "table.tex").read_text()
    sheet = Image.open(output / "pictures.png")
    assert sheet.width > 3 * 384
    assert sheet.height > 2 * 384

    assert main([*arguments, "--parts", "4"]) == 2
    assert "were trained with another --parts" in capsys.readouterr().err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", "--list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in VARIANTS)
    assert "joint_weight_start 0, joint_weight_end 0" in shown
