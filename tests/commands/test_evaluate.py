"""`wim-fast evaluate`: what it writes agrees with the recording and with itself."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from errors import assert_one_error
from PIL import Image
from trained_run import FRAMES, OTHERS, SIZE, TRAINED, TRAINED_FRAMES, TinyRun

from wim_fast.cli import main


@pytest.fixture(scope="module")
def evaluated(tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory):
    """The folder and the report of an evaluation across trained and other frames."""
    folder = tmp_path_factory.mktemp("evaluated")
    arguments = ["--cameras", "4", "5", "--frames", "0:14:3", "--output", str(folder)]
    assert main(["evaluate", str(tiny_run.path), *arguments]) == 0
    return folder, json.loads((folder / "metrics.json").read_text())


def test_pictures_are_those_asked_for(evaluated) -> None:
    folder, _ = evaluated
    expected = {f"frame_{f:05d}_cam_{c:03d}.png" for f in range(0, FRAMES, 3) for c in OTHERS}
    assert {path.name for path in folder.glob("frame_*")} == expected
    for name in expected:
        with Image.open(folder / name) as image:
            assert image.mode == "RGBA"
            assert image.size == (SIZE, SIZE)
    with Image.open(folder / "comparison.png") as image:
        assert min(image.size) > 300


def test_groups_stand_side_by_side(evaluated) -> None:
    _, report = evaluated
    assert list(report["summary"]) == ["training views", "novel views", "novel poses"]
    frames = {group: set() for group in report["summary"]}
    cameras = {group: set() for group in report["summary"]}
    for row in report["images"]:
        frames[row["group"]].add(row["frame"])
        cameras[row["group"]].add(row["camera"])
        assert (row["file"] is not None) == (row["group"] != "training views")
    assert frames["training views"] == frames["novel views"] == {0, 3, 6, 9}
    assert frames["novel poses"] == {12}
    assert cameras == {
        "training views": set(TRAINED),
        "novel views": set(OTHERS),
        "novel poses": set(OTHERS),
    }


def test_metrics_are_those_of_the_pictures(evaluated, tiny_run: TinyRun) -> None:
    """From the files alone: straight alpha over white, as anybody else would measure them."""
    folder, report = evaluated

    def on_white(path):
        rgba = np.asarray(Image.open(path), float) / 255
        return rgba[..., 3:] * rgba[..., :3] + 1 - rgba[..., 3:], rgba[..., 3] > 0.5

    for row in report["images"]:
        if row["file"]:
            image, mask = on_white(folder / row["file"])
            truth, true_mask = on_white(tiny_run.scene / row["file"])
            assert row["psnr"] == pytest.approx(-10 * np.log10(((image - truth) ** 2).mean()), abs=0.1)
            union = (mask | true_mask).sum()
            assert row["iou"] == pytest.approx((mask & true_mask).sum() / union, abs=2 / union)
    rows = [row["psnr"] for row in report["images"] if row["group"] == "novel views"]
    assert report["summary"]["novel views"]["psnr"] == pytest.approx(np.mean(rows))


def test_driven_frames_follow_the_object(evaluated) -> None:
    """The ellipsoid moves on by 0.15 after the last frame trained on: a still pose would miss it."""
    _, report = evaluated
    assert report["driving"]["driven_by"] == "points"
    assert report["driving"]["held_out_error"] < 0.25
    assert report["summary"]["novel poses"]["iou"] > report["summary"]["novel views"]["iou"] - 0.15


def test_defaults_and_size(tiny_run: TinyRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tiny_run.path), "--size", "30"]) == 0
    folder = tiny_run.path / "evaluation"
    pictures = sorted(folder.glob("frame_*"))
    assert len(pictures) == len(OTHERS) * FRAMES
    assert Image.open(pictures[0]).size == (30, 30)
    assert json.loads((folder / "metrics.json").read_text())["size"] == [SIZE, SIZE]
    output = capsys.readouterr().out
    for text in (
        "training views",
        "novel views",
        "novel poses",
        "PSNR",
        "SSIM",
        "IoU",
        "LPIPS",
        "Joint error",
    ):
        assert text in output
    assert str(folder / "metrics.json") in output


def test_without_truth(tiny_run: TinyRun, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """No gt.npz: no joint error and no novel poses, and asking for one is an error."""
    scene, run = tmp_path / "scene", tmp_path / "run"
    shutil.copytree(tiny_run.scene, scene, ignore=shutil.ignore_patterns("gt.npz"))
    shutil.copytree(tiny_run.path, run)
    config = run / "config.yaml"
    settings = config.read_text().partition("\n")[2]  # edited, so without the checksum of what was there
    config.write_text(settings.replace(str(tiny_run.scene), str(scene)))
    arguments = ["evaluate", str(run), "--cameras", "4", "--output", str(tmp_path / "out")]
    assert main([*arguments, "--frames", "0:2"]) == 0
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert report["joint_error"] is None
    assert list(report["summary"]) == ["training views", "novel views"]
    assert main([*arguments, "--frames", f"0:{TRAINED_FRAMES + 1}"]) == 2
    assert_one_error(capsys.readouterr().err, str(scene), f"frame {TRAINED_FRAMES}")

    for path in scene.glob("frame_00000_*"):
        path.unlink()
    assert main([*arguments, "--frames", "0:2"]) == 2
    assert_one_error(capsys.readouterr().err, str(scene), "frame 0")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--cameras", "4", "99"], ["camera 99"]),
        (["--frames", "0:99"], ["frames '0:99'", "14 frames"]),
        (["--frames", "20:30"], ["frames '20:30'", "0:14"]),
        (["--frames", "abc"], ["abc"]),
    ],
)
def test_bad_arguments(
    tiny_run: TinyRun, arguments: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(tiny_run.path), *arguments]) == 2
    assert_one_error(capsys.readouterr().err, *named)
