"""`wim_fast.train` from Python: silent, the same numbers as the command, and stopped by what is called."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import imageio.v3 as iio
import pytest
from tiny_run import SETTINGS, differences, flags, newest_checkpoint, tiny_scene

import wim_fast
from wim_fast.cli import main


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_scene(tmp_path_factory.mktemp("scene") / "tiny")


SHORT = {**SETTINGS, "iterations": 30}


def test_as_the_command_trains(scene: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The same files and numbers; nothing printed; no signal handler left or set."""
    handlers: set[object] = set()
    steps: list[wim_fast.TrainingStep] = []

    def on_step(step: wim_fast.TrainingStep) -> None:
        handlers.add(signal.getsignal(signal.SIGINT))
        steps.append(step)

    usual = signal.getsignal(signal.SIGINT)
    run = wim_fast.train(scene, output=tmp_path / "api", on_step=on_step, **SHORT)
    assert capfd.readouterr().out == ""
    assert handlers == {usual}
    assert (run.step, run.iterations, run.path) == (30, 30, tmp_path / "api")
    assert [step.step for step in steps] == list(range(1, 31))
    assert steps[-1].iterations == 30
    assert steps[-1].psnr > 0
    assert {"photo", "mask", "joint"} <= steps[-1].losses.keys()
    assert steps[-1].seconds_left == 0 < steps[10].seconds_left
    command = ["train", "--scene", str(scene), "--output", str(tmp_path / "cli"), *flags(iterations=30)]
    assert main(command) == 0
    assert differences(newest_checkpoint(tmp_path / "api"), newest_checkpoint(tmp_path / "cli")) == []
    files = [{path.name.split(".")[0] for path in (tmp_path / name).iterdir()} for name in ("api", "cli")]
    assert files[0] == files[1]


@pytest.mark.usefixtures("bare_training")
@pytest.mark.parametrize("how", ["False", "KeyboardInterrupt"])
def test_a_callback_stops_and_resume_goes_on(scene: Path, tmp_path: Path, how: str) -> None:
    def until_ten(step: wim_fast.TrainingStep) -> bool:
        if step.step == 10 and how == "KeyboardInterrupt":
            raise KeyboardInterrupt
        return step.step < 10

    stopped = wim_fast.train(scene, output=tmp_path / "a", on_step=until_ten, **SHORT)
    assert stopped.step == 10
    assert not (tmp_path / "a" / "evaluation.json").exists()
    resumed = wim_fast.train(output=tmp_path / "a", resume=True, scene=scene)
    assert resumed.step == 30
    wim_fast.train(scene, output=tmp_path / "b", **SHORT)
    assert differences(newest_checkpoint(tmp_path / "a"), newest_checkpoint(tmp_path / "b")) == []


@pytest.mark.usefixtures("bare_training")
def test_an_error_of_the_callback_is_raised_once_the_run_is_saved(scene: Path, tmp_path: Path) -> None:
    def fails(step: wim_fast.TrainingStep) -> None:
        if step.step == 7:
            raise FileNotFoundError("a file of the caller's")

    with pytest.raises(FileNotFoundError, match="of the caller's"):
        wim_fast.train(scene, output=tmp_path / "a", on_step=fails, **SHORT)
    assert newest_checkpoint(tmp_path / "a")["step"] == 7


@pytest.mark.usefixtures("bare_training")
def test_runs_are_numbered(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert wim_fast.train(scene, **{**SHORT, "iterations": 2}).path == Path("runs/tiny_1")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"partz": 3}, "did you mean parts?"),
        ({"parts": "many"}, "parts is 'many'"),
        ({"minutes": 1.0, "iterations": 3}, "exactly one"),
    ],
)
def test_settings_that_are_wrong(scene: Path, tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(wim_fast.UserError) as caught:
        wim_fast.train(scene, output=tmp_path / "run", **settings)
    assert message in str(caught.value).lower()
    assert not (tmp_path / "run").exists()


def test_large_pictures_are_drawn_smaller_and_fewer_are_measured(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(name: str) -> tuple[tuple[int, ...], int]:
        run = wim_fast.train(scene, output=tmp_path / name, **{**SETTINGS, "iterations": 2})
        measured = json.loads((run.path / "evaluation.json").read_text())["training cameras"]
        return iio.imread(run.path / "preview" / "step_000002.png").shape, measured["images"]

    shape, images = trained("as it is")
    monkeypatch.setattr("wim_fast.training.preview.MOST_PIXELS", 23)
    monkeypatch.setattr("wim_fast.runs.final_evaluation.PIXELS_MEASURED", 10 * 24**2)
    smaller, fewer = trained("large")
    assert (images, fewer) == (20, 10)
    assert smaller[1] - shape[1] == 4 * (17 * 23 - 16 * 24)  # 24 pixels are enlarged 16 times, 23 17 times
