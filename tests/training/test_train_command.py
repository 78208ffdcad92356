"""`wim-fast train`: what a run writes and prints, and what stops it."""

import errno
import json
import os
import re
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from tiny_run import flags, newest_checkpoint, tiny_scene

from wim_fast.cli import main
from wim_fast.config import from_yaml
from wim_fast.ops.shape_losses import cpu
from wim_fast.recordings.calibration.raw_json import read_raw_camera
from wim_fast.runs.new_run import RUNS
from wim_fast.runs.run import load_run
from wim_fast.training.machine import read_machines

OFTEN = 0.00001  # minutes: a checkpoint after every step


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_scene(tmp_path_factory.mktemp("scene") / "tiny")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(scene: Path, *arguments: str, **changes: object) -> int:
    return main(["train", "--scene", str(scene), *arguments, *flags(**changes)])


def test_a_run_holds_everything(scene, capsys):
    assert train(scene, "--train-cameras", "0", "2", "4", preview_minutes=0.02) == 0
    run = Path("runs/tiny_1")
    names = {path.name.split(".")[0] for path in run.iterdir()}
    assert names == {
        "",  # .lock
        "cameras",
        "checkpoints",
        "config",
        "evaluation",
        "events",
        "machine",
        "metrics",
        "preview",
        "trajectory",
    }
    (machine,) = read_machines(run / "machine.json")
    assert (machine["from_step"], machine["backend"], machine["torch"]) == (
        0,
        "numba",
        str(torch.__version__),
    )
    config = from_yaml(run / "config.yaml")
    assert config.scene.scene == str(scene.resolve())
    assert config.scene.train_cameras == (0, 2, 4)
    assert config.scene.test_cameras == (1, 3)
    assert config.schedule.iterations == 120
    assert config.scene.coordinate_scale == newest_checkpoint(run)["coordinate_scale"]

    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(10, 121, 10))
    assert {"photo", "mask", "eikonal", "silhouette", "joint", "separation"} <= rows[0]["losses"].keys()
    assert "merge" not in rows[0]["losses"]
    assert "merge" in rows[-1]["losses"]
    assert rows[0]["rays_per_second"] > 0
    assert rows[-1]["psnr"] > rows[0]["psnr"]

    pictures = sorted((run / "preview").iterdir())
    assert pictures[-1].name == "step_000120.png"
    assert iio.imread(pictures[-1]).shape[2] == 3

    evaluation = json.loads((run / "evaluation.json").read_text())
    assert evaluation["training cameras"].keys() == evaluation["test cameras"].keys()
    assert 0 <= evaluation["test cameras"]["iou"] <= 1
    assert evaluation["unconfirmed"].keys() == {"unseen", "hidden"}
    assert evaluation["abrupt_turns"].keys() == {"parts", "frames"}
    output = capsys.readouterr().out
    assert re.search(r"PSNR.* dB .* dB", output)
    assert "Turntable: " in output
    for path in ("config.yaml", "checkpoints/step_00000120.pt", "trajectory.npz", "metrics.jsonl", "preview"):
        assert f"{run}/{path}" in output
    assert load_run(run).camera_ids == (0, 2, 4)


@pytest.mark.usefixtures("bare_training")
def test_runs_are_numbered_and_never_overwritten(scene, capsys):
    Path("runs/tiny_4").mkdir(parents=True)
    assert train(scene, iterations=3) == 0
    assert Path("runs/tiny_5/config.yaml").is_file()
    before = newest_checkpoint(Path("runs/tiny_5"))["step"]
    capsys.readouterr()
    assert train(scene, "--output", "runs/tiny_5", iterations=5) == 2
    assert "runs/tiny_5: exists already" in capsys.readouterr().err
    assert newest_checkpoint(Path("runs/tiny_5"))["step"] == before
    assert main(["train", "--scene", str(scene), "--resume"]) == 0  # the newest run of this scene


@pytest.mark.usefixtures("bare_training")
def test_the_seed_decides_everything(scene):
    for output, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert train(scene, "--output", output, iterations=12, seed=seed) == 0
    a, b, c = (newest_checkpoint(Path(name))["model"]["field.table"] for name in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.usefixtures("bare_training")
def test_test_cameras_are_not_trained_on(scene):
    assert train(scene, "--test-cameras", "1", "2", iterations=2) == 0
    assert load_run("runs/tiny_1").camera_ids == (0, 3, 4)


@pytest.mark.usefixtures("bare_training")
def test_the_number_of_parts_is_chosen_once(scene, capsys):
    assert train(scene, iterations=1, parts="auto") == 0
    assert from_yaml(Path("runs/tiny_1/config.yaml")).model.parts == 12  # its pictures tell no more apart
    assert "; 12 parts" in capsys.readouterr().out


def test_without_test_cameras_there_is_no_test_column(scene):
    assert train(scene, "--train-cameras", *"01234", iterations=2) == 0
    evaluation = json.loads(Path("runs/tiny_1/evaluation.json").read_text())
    assert "test cameras" not in evaluation


@pytest.mark.usefixtures("bare_training")
def test_other_cameras_that_cannot_be_read_are_no_obstacle(tmp_path, capsys):
    scene = tiny_scene(tmp_path / "tiny")
    (scene / "frame_00005_cam_004.png").unlink()
    assert train(scene, "--train-cameras", "0", "1", "2", iterations=2) == 0
    assert "warning: the other cameras are not used for testing" in capsys.readouterr().err
    arguments = ["--train-cameras", "0", "1", "2", "--test-cameras", "4"]
    assert train(scene, *arguments, iterations=2) == 2
    assert "frame 5 of camera 4 is missing" in capsys.readouterr().err


@pytest.mark.usefixtures("bare_training")
def test_a_loss_that_is_no_number_stops_the_run(scene, capsys, monkeypatch):
    calls = 0
    original = cpu.shape_losses

    def spoilt(*arguments):
        nonlocal calls
        calls += 1
        found = original(*arguments)
        return found._replace(hull=found.hull * (float("nan") if calls == 31 else 1.0))

    monkeypatch.setattr(cpu, "shape_losses", spoilt)
    assert train(scene, iterations=60, checkpoint_minutes=OFTEN) == 2
    errors = capsys.readouterr().err
    assert "the hull loss is no longer finite at step 29; the last good checkpoint is runs/tiny_1" in errors
    content = newest_checkpoint(Path("runs/tiny_1"))
    assert content["step"] < 29
    assert all(torch.isfinite(x).all() for x in content["model"].values())


@pytest.mark.usefixtures("bare_training")
def test_a_spoilt_model_is_not_saved(scene, capsys, monkeypatch):
    """A gradient can be no number where the loss still is one."""
    calls = 0
    original = cpu.shape_losses

    def spoilt(tap_sdf, *others):
        nonlocal calls
        calls += 1
        if calls == 30:
            tap_sdf.register_hook(lambda g: g * float("nan"))
        return original(tap_sdf, *others)

    monkeypatch.setattr(cpu, "shape_losses", spoilt)
    assert train(scene, iterations=60, checkpoint_minutes=OFTEN) == 2
    assert "no longer finite" in capsys.readouterr().err
    assert newest_checkpoint(Path("runs/tiny_1"))["step"] < 29


@pytest.mark.usefixtures("bare_training")
def test_a_full_disk_stops_the_run_cleanly(scene, capsys, monkeypatch):
    original = os.fsync

    def full(descriptor):
        if len(list(Path("runs/tiny_1/checkpoints").glob("step_*.pt"))) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert train(scene, iterations=20, checkpoint_minutes=OFTEN) == 2
    errors = capsys.readouterr().err
    assert "No space left on device" in errors
    assert "Make room, then continue with: wim-fast train --resume --output runs/tiny_1" in errors
    assert not list(Path("runs").rglob(".*.tmp"))
    step = newest_checkpoint(Path("runs/tiny_1"))["step"]
    monkeypatch.setattr(os, "fsync", original)
    assert main(["train", "--resume", "--output", "runs/tiny_1"]) == 0
    assert step < newest_checkpoint(Path("runs/tiny_1"))["step"] == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parts", "200"], "too few for 200 parts"),
        (["--frames", "0:1"], "only one frame"),
        (["--train-cameras", "0", "99"], "there is no camera 99"),
        (["--test-cameras", "0", "99"], "there is no camera 99"),
        (["--test-cameras", *"01234"], "all cameras are test cameras"),
        (["--threads", "1000"], "1000 threads are not possible"),
        (["--backend", "abacus"], "--backend is abacus. It must be one of auto, tcnn, triton, numba, torch"),
        (["--config", "nowhere.yaml"], "there is no such file"),
        (["--output", "/proc/run"], "cannot be written"),
    ],
)
def test_what_cannot_be_trained(scene, capsys, arguments, message):
    changes = {"parts": None} if arguments[0] == "--parts" else {}
    assert train(scene, *arguments, **changes) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.splitlines()[-1].startswith("error: ")
    assert not Path("runs").exists()


def test_no_such_scene(capsys):
    assert main(["train", "--scene", "unicorn"]) == 2
    assert "error: unicorn: there is no such scene" in capsys.readouterr().err


def test_a_gap_between_cameras_is_told(scene, capsys, monkeypatch):
    summaries = iter([{"psnr": 30.0, "images": 1}, {"psnr": 28.0, "images": 1}])
    monkeypatch.setattr("wim_fast.runs.final_evaluation.summarize", lambda rows: next(summaries))
    assert train(scene, "--train-cameras", "0", "2", "4", iterations=2) == 0
    assert "2.0 dB worse" in capsys.readouterr().err


@pytest.mark.usefixtures("bare_training")
def test_the_trajectory_follows_the_object(scene):
    """The solid moves by 0.05 a frame in the units of the files; its parts go with it."""
    assert train(scene, iterations=250) == 0
    with np.load("runs/tiny_1/trajectory.npz") as data:
        middle = data["part_translation"].mean(axis=1)
    moved = middle[-1] - middle[0]
    assert np.linalg.norm(moved - [0.25, 0, 0]) < 0.1
    assert Path("runs") == RUNS


@pytest.mark.usefixtures("bare_training")
def test_cameras_that_were_found_are_told(scene):
    """In the layout of a camera file each, with what changed."""
    assert train(scene, "--train-cameras", "0", "2", "4", iterations=30) == 0
    cameras = json.loads(Path("runs/tiny_1/cameras.json").read_text())["cameras"]
    assert set(cameras) == {"0", "2", "4"}
    for name, camera in cameras.items():
        file = Path(f"cam_{int(name):03d}.json")
        file.write_text(json.dumps(camera))
        found, given = read_raw_camera(file), read_raw_camera(scene / file.name)
        changed = camera["changed"]
        moved = np.linalg.norm(found.center - given.center)
        assert moved == pytest.approx(changed["moved"], abs=1e-4)
        assert found.K[0, 0] / given.K[0, 0] == pytest.approx(changed["focal_length"], rel=1e-5)
        assert np.shape(changed["color"]) == (3, 3)
        assert {"pixels", "degrees", "principal_point", "frames"} < set(changed)
    assert train(scene, "--no-learn-cameras", iterations=2) == 0
    assert not Path("runs/tiny_2/cameras.json").exists()
