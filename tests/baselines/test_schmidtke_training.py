"""Schmidtke* as one uses it: a short real training through the command line, resumed, measured, driven and filmed."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from errors import assert_one_error
from PIL import Image
from random_vgg import write_weights
from tiny_run import differences, newest_checkpoint
from tiny_scene import ring, write_scene

from wim_fast.baselines.schmidtke.model import Schmidtke, pixel_lines
from wim_fast.baselines.trainer import BaselineTrainer
from wim_fast.cli import main
from wim_fast.config import Config, replace
from wim_fast.recordings.cameras import pixel_rays
from wim_fast.runs.methods import open_run
from wim_fast.training.step import StepReport

STEPS = 100
PARTS = {
    "lower": {"center": [0, 0, -0.25], "sigma": [0.15, 0.2, 0.12]},
    "upper": {"center": [0, 0, 0.25], "sigma": [0.15, 0.2, 0.12]},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A scene of an ellipsoid that moves, eight frames and five cameras, and a template of it."""
    folder = tmp_path_factory.mktemp("schmidtke")
    write_scene(folder / "scene", frames=8, eyes=ring(5), width=48, height=40, solid="ellipsoid")
    anchor = {"parts": ["lower", "upper"], "at": [0, 0, 0]}
    (folder / "template.json").write_text(json.dumps({"parts": PARTS, "anchors": [anchor]}))
    return folder / "scene", folder / "template.json"


def arguments(files: tuple[Path, Path], run: Path, *more: str) -> list[str]:
    scene, template = files
    given = ["--scene", scene, "--output", run, "--method", "schmidtke", "--template", template]
    views = ["--train-cameras", *"0123", "--frames", "0:6"]
    settings = ["--iterations", STEPS, "--baseline-images", 4, "--lr-baseline", 5e-3, "--warmup-steps", 5]
    still = ["--perceptual", "pyramid", "--log-every", 10, "--threads", 1]
    return list(map(str, ["train", *given, *views, *settings, *still, *more]))


@pytest.fixture(scope="module")
def run(files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    assert main(arguments(files, path)) == 0
    return path


def test_it_learns(run):
    """Its own losses of colour and mask fall, and an unseen camera sees the object where it is."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    first, last = rows[0]["losses"], rows[-1]["losses"]
    assert last["picture"] < 0.5 * first["picture"]
    assert last["mask"] < 0.5 * first["mask"]
    opened = open_run(run)
    image = opened.image(opened.pose_seen(2, 4), opened.recorded_cameras(), 4)
    with Image.open(Path(opened.config.scene.scene) / "frame_00002_cam_004.png") as filmed:
        mask = np.array(filmed)[..., 3] > 127
    seen = image.opacity > 0.5
    assert (seen & mask).sum() > 0.6 * (seen | mask).sum()
    assert set(np.unique(image.part)) <= {-1, 0, 1}
    distance = np.linalg.norm(opened.recorded_cameras().centers[4])
    assert image.depth[seen] == pytest.approx(distance, rel=0.3)


def test_what_was_stopped_ends_in_the_same_numbers(files, run, tmp_path, monkeypatch):
    """Running statistics of the batch normalisation among them."""
    step = BaselineTrainer.train_step

    def interrupted(trainer: BaselineTrainer) -> StepReport:
        if trainer.step == 32:
            signal.raise_signal(signal.SIGINT)
        return step(trainer)

    stopped = tmp_path / "stopped"
    monkeypatch.setattr(BaselineTrainer, "train_step", interrupted)
    with pytest.raises(SystemExit):
        main(arguments(files, stopped))
    monkeypatch.setattr(BaselineTrainer, "train_step", step)
    assert newest_checkpoint(stopped)["step"] == 33
    assert main(["train", "--resume", "--output", str(stopped), "--threads", "1"]) == 0
    assert "translator.first.1.running_mean" in newest_checkpoint(run)["model"]
    assert differences(newest_checkpoint(stopped), newest_checkpoint(run)) == []


def test_evaluation_of_unseen_views_and_driven_poses(run, tmp_path):
    assert main(["evaluate", str(run), "--cameras", "4", "--frames", "2:8:5", "--output", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "metrics.json").read_text())
    summary = report["summary"]
    assert report["method"] == "Schmidtke*, a pyramid of pictures for VGG19"
    assert list(summary) == ["training views", "novel views", "novel poses"]
    for group in summary.values():
        assert group["iou"] > 0.5
        assert group["psnr"] > 12


def test_it_is_filmed_and_driven_and_has_no_list_of_joints(files, run, tmp_path, capsys):
    film, driven = tmp_path / "film", tmp_path / "driven"
    assert main(["render", str(run), "--camera", "4", "--frames", "0:2", "--output", str(film)]) == 0
    assert len(list(film.glob("*.png"))) == 2
    truth = str(files[0] / "gt.npz")
    assert (
        main(["render-novel-pose", str(run), "--drive", truth, "--cameras", "4", "--output", str(driven)])
        == 0
    )
    capsys.readouterr()
    assert main(["render-novel-pose", str(run), "--list-joints"]) == 2
    assert_one_error(capsys.readouterr().err, "schmidtke")


def test_poses_are_points(run):
    """The picture is that of the pose that the network of time gives, and shifts with the points."""
    opened = open_run(run)
    model, cameras = opened.model, opened.recorded_cameras()
    points = model.points(torch.tensor([3.0]))[0].double().numpy()
    assert points.shape == (14, 3)
    K, T = (torch.from_numpy(x[:1]).float() for x in (cameras.intrinsics, cameras.T_camera_world))
    model.eval()
    painted = model.painted(model.poses(torch.tensor([3.0])), K, T, cameras.height, cameras.width)
    model.train()
    image = model.image(points, cameras, 0)
    assert model.training
    np.testing.assert_allclose(
        image.over(opened.config.scene.background_grey), painted.rgb[0].permute(1, 2, 0), atol=1e-3
    )
    np.testing.assert_allclose(image.opacity, painted.opacity[0], atol=1e-3)
    larger = model.image(points, cameras.resized(2 * cameras.width, 2 * cameras.height), 0)
    halved = larger.opacity.reshape(cameras.height, 2, cameras.width, 2).mean((1, 3))
    assert np.abs(halved - image.opacity).mean() < 0.02


def test_pixel_lines_are_the_rays_of_the_cameras(run):
    cameras = open_run(run).recorded_cameras()
    K, T = (torch.from_numpy(x) for x in (cameras.intrinsics, cameras.T_camera_world))
    origins, directions = pixel_lines(K, T, cameras.height, cameras.width)
    for v, row, column in ((0, 0, 0), (3, 11, 17)):
        origin, ray = pixel_rays(K[v].numpy(), T[v].numpy(), np.array([column + 0.5, row + 0.5]))
        direction = directions[v, row * cameras.width + column].numpy()
        np.testing.assert_allclose(origins[v], origin, atol=1e-9)
        np.testing.assert_allclose(direction / np.linalg.norm(direction), ray, atol=1e-9)


def test_wrong_templates_and_missing_weights(files, tmp_path, capsys):
    scene, _ = files
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({"parts": PARTS, "anchors": []}))
    assert main(arguments((scene, wrong), tmp_path / "run")) == 2
    assert_one_error(capsys.readouterr().err, "no anchors connect upper with lower")
    assert main(arguments(files, tmp_path / "run", "--perceptual", "vgg")) == 2
    assert_one_error(
        capsys.readouterr().err, "needs VGG19's weights", "--vgg-weights", "--perceptual pyramid"
    )
    assert main(arguments(files, tmp_path / "run", "--smpl", str(wrong))) == 2
    assert_one_error(capsys.readouterr().err, "baseline.smpl is given", "schmidtke has no use for it")
    assert not (tmp_path / "run").exists()


def test_with_the_features_of_vgg19(files, tmp_path):
    """Of random weights, which are needed to train and not to open what came out."""
    run, weights = tmp_path / "run", write_weights(tmp_path / "vgg19.pth")
    more = ["--perceptual", "vgg", "--vgg-weights", str(weights), "--iterations", "2"]
    assert main(arguments(files, run, *more)) == 0
    weights.unlink()
    assert not [name for name in newest_checkpoint(run)["model"] if "features" in name]
    opened = open_run(run)
    assert opened.image(opened.pose_seen(0, 4), opened.recorded_cameras(), 4).rgb.shape == (40, 48, 3)


def test_shipped_templates_are_known_by_their_names():
    """From any folder; without one it is the person."""
    for name, parts in ((None, 18), ("arm", 10)):
        model = Schmidtke(replace(Config(), method="schmidtke", template=name), num_frames=4)
        assert model.points(torch.tensor([0.0, 1.5])).shape == (2, 7 * parts, 3)
