"""A short real training of Kundu* and everything one does with its run, through the command line."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from errors import assert_one_error
from tiny_run import differences, newest_checkpoint
from tiny_scene import ring, write_scene
from tiny_template import write_template

import wim_fast
from wim_fast.baselines.trainer import BaselineTrainer
from wim_fast.cli import main
from wim_fast.training.step_report import StepReport

STEPS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of an ellipsoid that moves, and a template of it that is too large."""
    folder = tmp_path_factory.mktemp("kundu")
    write_scene(folder / "scene", frames=14, eyes=ring(5), width=32, solid="ellipsoid")
    write_template(folder / "template.npz")
    return folder


def arguments(folder: Path, run: Path, *more: str) -> list[str]:
    command = ["train", "--scene", str(folder / "scene"), "--output", str(run), "--frames", "0:12"]
    command += ["--method", "kundu", "--template", str(folder / "template.npz"), "--log-every", "10"]
    command += ["--iterations", str(STEPS), "--baseline-images", "4", "--lr-baseline", "0.01"]
    return [*command, "--train-cameras", "0", "1", "2", "3", "--threads", "1", *more]


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    assert main(arguments(folder, folder / "run")) == 0
    return folder / "run"


def test_it_lowers_its_own_errors(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    first, last = rows[0]["losses"], rows[-1]["losses"]
    assert last["outline"] < 0.8 * first["outline"]
    assert last["consensus"] < 0.8 * first["consensus"]
    measured = json.loads((run / "evaluation.json").read_text())
    assert measured["test cameras"]["iou"] > 0.75
    assert measured["test cameras"]["psnr"] > 20
    assert measured["joints"]["error"] < 0.7 * measured["joints"]["error_mean_pose"]
    with np.load(run / "trajectory.npz") as data:
        assert data["joint_position"].shape == (12, 2, 3)


def test_resume_is_exact(folder: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped, step = tmp_path / "stopped", BaselineTrainer.train_step

    def interrupted(trainer: BaselineTrainer) -> StepReport:
        if trainer.step == 33:
            signal.raise_signal(signal.SIGINT)
        return step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(BaselineTrainer, "train_step", interrupted)
        with pytest.raises(SystemExit):
            main(arguments(folder, stopped))
    assert newest_checkpoint(stopped)["step"] == 34
    monkeypatch.chdir(folder)  # the same file by another name
    assert main(["train", "--resume", "--output", str(stopped), "--template", "template.npz"]) == 0
    assert differences(newest_checkpoint(stopped), newest_checkpoint(run)) == []


def test_evaluated_driven_and_rendered(run: Path, folder: Path, tmp_path: Path) -> None:
    """Novel poses are driven by the true points, which move as the training frames did."""
    assert main(["evaluate", str(run), "--output", str(tmp_path / "evaluation")]) == 0
    report = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert report["unconfirmed"] is None
    assert report["abrupt_turns"] is None
    assert report["driving"]["driven_by"] == "points"
    for group in ("training views", "novel views", "novel poses"):
        assert report["summary"][group]["iou"] > 0.7, group
    assert main(["render", str(run), "--turntable", "--frames", "0:2", "--output", str(tmp_path / "t")]) == 0
    assert (tmp_path / "t" / "turntable.mp4").is_file()
    drive = ["--drive", str(folder / "scene" / "gt.npz"), "--size", "32", "--output", str(tmp_path / "d")]
    assert main(["render-novel-pose", str(run), *drive]) == 0
    assert (tmp_path / "d" / "camera_004.mp4").is_file()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["merge", "RUN"], "which has no parts"),
        (["export", "RUN", "--format", "ply"], "which has no parts"),
        (["render-novel-pose", "RUN", "--list-joints"], "which has no parts"),
        (["render", "RUN", "--parts"], "which has no parts"),
        (["evaluate", "RUN", "--align-cameras"], "which has no parts"),
        (["evaluate", "RUN", "--backend", "numba"], "a baseline runs in plain torch"),
        (["train", "--resume", "--output", "RUN", "--view"], "--view: shows parts"),
        (["train", "--method", "kundu"], "poses one body, and has 0"),
        (["train", "--template", "a.npz"], "has no use for it"),
        (["train", "--method", "kundi"], "--method"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_it_cannot_do(run: Path, command: list[str], words: str, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    named = [str(run) if word == "RUN" else word for word in command]
    assert main(named) == 2
    assert_one_error(capsys.readouterr().err, words)


def test_a_body_that_is_gone(run: Path, folder: Path, tmp_path: Path) -> None:
    written = (run / "config.yaml").read_text()
    text = written.partition("\n")[2]  # without the checksum
    try:
        (run / "config.yaml").write_text(text.replace("template.npz", "gone.npz"))
        with pytest.raises(wim_fast.UserError, match="there is no such template"):
            wim_fast.runs.methods.open_run(run)
        write_template(folder / "gone.npz", parents=np.array([-1, 0]), vertices=np.ones((86, 3)))
        assert wim_fast.runs.methods.open_run(run).motion.points.shape == (12, 86, 3)
        (run / "config.yaml").write_text(text.replace("method: kundu", "method: kundo"))
        with pytest.raises(wim_fast.UserError, match=r"baseline\.method"):
            wim_fast.runs.methods.open_run(run)
    finally:
        (run / "config.yaml").write_text(written)
