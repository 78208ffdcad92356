"""A run that was stopped, in whatever way, ends in the same numbers as one that was not."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from tiny_run import (
    ITERATIONS,
    OFTEN,
    SETTINGS,
    differences,
    flags,
    newest_checkpoint,
    start,
    tiny_scene,
    wait_for_checkpoint,
)

import wim_fast
from wim_fast.cli import main
from wim_fast.errors import UserError
from wim_fast.training.run_folder import RunFolder
from wim_fast.training.step import StepReport
from wim_fast.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("bare_training")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_scene(tmp_path_factory.mktemp("scene") / "tiny")


@pytest.fixture(scope="module")
def uninterrupted(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "uninterrupted"
    assert main(arguments(scene, run)) == 0
    return run


def arguments(scene: Path, run: Path) -> list[str]:
    """Bit for bit the same needs the same number of threads."""
    return ["train", "--scene", str(scene), "--output", str(run), *flags(threads=1, checkpoint_minutes=OFTEN)]


def resume(run: Path) -> None:
    assert main(["train", "--resume", "--output", str(run), "--threads", "1"]) == 0


def assert_same(run: Path, other: Path) -> None:
    """Checkpoints bit for bit, and what was logged but for times."""
    assert newest_checkpoint(run)["step"] == ITERATIONS
    assert differences(newest_checkpoint(run), newest_checkpoint(other)) == []
    first, second = logged(run), logged(other)
    assert first.keys() == second.keys()


def logged(run: Path) -> dict[int, dict]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == sorted({row["step"] for row in rows})
    return {row["step"]: row for row in rows}


def test_after_kill(scene, uninterrupted, tmp_path):
    run = tmp_path / "killed"
    process = start(*arguments(scene, run))
    wait_for_checkpoint(run, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert newest_checkpoint(run)["step"] < ITERATIONS
    resume(run)
    assert_same(run, uninterrupted)


def test_sigterm(scene, tmp_path):
    run = tmp_path / "stopped"
    process = start(*arguments(scene, run), "--iterations", "100000")
    wait_for_checkpoint(run, process)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGTERM
    assert f"continue with: wim-fast train --resume --output {run}" in output
    assert "Traceback" not in errors
    assert newest_checkpoint(run)["step"] < 100000
    assert (run / "trajectory.npz").is_file()


def test_after_interrupts(scene, uninterrupted, tmp_path, monkeypatch):
    """Stopped twice, at steps where nothing would have been saved."""
    run, step = tmp_path / "stopped", Trainer.train_step

    def interrupted(trainer: Trainer) -> StepReport:
        if trainer.step in (33, 87):
            signal.raise_signal(signal.SIGINT)
        return step(trainer)

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    for begin, stopped_at in ((arguments(scene, run), 34), (["train", "--resume", "--output", str(run)], 88)):
        with pytest.raises(SystemExit) as caught:
            main(begin)
        assert caught.value.code == 128 + signal.SIGINT
        assert newest_checkpoint(run)["step"] == stopped_at
    resume(run)
    assert_same(run, uninterrupted)


def test_after_kill_before_the_first_checkpoint(uninterrupted, tmp_path):
    """What is there by then is config.yaml; the run begins again with the same N."""
    run = tmp_path / "early"
    run.mkdir()
    (run / "config.yaml").write_text((uninterrupted / "config.yaml").read_text())
    resume(run)
    assert_same(run, uninterrupted)


def test_a_damaged_checkpoint_is_put_aside(uninterrupted, tmp_path, capsys):
    """The one before it is taken; both are damaged: an error."""
    run = shutil.copytree(uninterrupted, tmp_path / "run")
    before, newest = sorted(run.glob("checkpoints/*.pt"))
    newest.write_bytes(newest.read_bytes()[:-200])
    resume(run)
    said = capsys.readouterr().out.replace("\n", "")
    assert "put aside, the one before it is taken" in said
    step = int(before.stem.removeprefix("step_"))
    assert f"goes on from step {step}; steps up to {ITERATIONS} are taken again" in said
    assert newest.with_suffix(".damaged").is_file()
    assert_same(run, uninterrupted)
    for path in run.glob("checkpoints/*.pt"):
        path.write_bytes(b"")
    assert main(["train", "--resume", "--output", str(run)]) == 2


def test_two_cannot_train_into_one_folder(scene, tmp_path, capsys):
    folder = RunFolder(tmp_path / "run")
    with folder.owned():
        assert main(arguments(scene, folder.path)) == 2
    assert "is being trained by another process" in capsys.readouterr().err


def test_a_folder_that_vanishes_is_rescued(scene, tmp_path):
    run = tmp_path / "run"

    def move_away(step):
        if step.step == 20:
            run.rename(tmp_path / "elsewhere")  # at once, while other threads write

    with pytest.raises(UserError, match="is gone; what was learned so far is now in") as caught:
        wim_fast.train(scene, output=run, on_step=move_away, **SETTINGS)
    (rescued,) = tmp_path.glob("run_rescued_*")
    assert str(rescued) in caught.value.remedy
    assert 20 <= newest_checkpoint(rescued)["step"] <= 30
    assert not run.exists()


def test_flags_may_be_repeated_but_not_changed(scene, uninterrupted, capsys):
    before = newest_checkpoint(uninterrupted)
    again = ["train", "--resume", "--scene", str(scene), "--output", str(uninterrupted), "--minutes", "3"]
    assert main([*again, "--parts", "3"]) == 0
    assert differences(before, newest_checkpoint(uninterrupted)) == []
    assert main([*again, "--parts", "4"]) == 2
    assert "--parts is 4, but the run has 3" in capsys.readouterr().err


def test_a_recording_that_has_changed(uninterrupted, tmp_path, capsys):
    """Another scene under the same name is noticed by its frames."""
    run, scene = tmp_path / "run", tiny_scene(tmp_path / "tiny")
    assert main(["train", "--scene", str(scene), "--output", str(run), *flags(iterations=10)]) == 0
    for image in scene.glob("frame_00005_*"):
        image.unlink()
    (scene / "gt.npz").unlink()
    capsys.readouterr()
    assert main(["train", "--resume", "--output", str(run)]) == 2
    assert "was trained on other cameras or frames" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["missing", "empty"])
def test_nothing_to_go_on_with(tmp_path, capsys, what):
    run = tmp_path / "run"
    if what == "empty":
        run.mkdir()
    assert main(["train", "--resume", "--output", str(run)]) == 2
    assert ("there is no such run" if what == "missing" else "is not a run") in capsys.readouterr().err
