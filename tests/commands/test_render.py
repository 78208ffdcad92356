"""`wim-fast render`: pictures and videos of the learned motion."""

from __future__ import annotations

import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest
from errors import assert_one_error
from PIL import Image
from trained_run import TRAINED_FRAMES, TinyRun

from wim_fast.cli import main


def test_camera(tiny_run: TinyRun) -> None:
    """Through `python -m wim_fast`, as a person would."""
    command = [
        sys.executable,
        "-m",
        "wim_fast",
        "render",
        str(tiny_run.path),
        "--camera",
        "2",
        "--size",
        "32",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    folder = tiny_run.path / "render" / "camera_002"
    assert str(folder / "camera_002.mp4") in result.stdout
    pictures = sorted(folder.glob("frame_*_cam_002.png"))
    assert len(pictures) == TRAINED_FRAMES
    assert all(Image.open(path).size == (32, 32) for path in pictures)
    assert len(iio.imread(folder / "camera_002.mp4")) == TRAINED_FRAMES
    seen = np.asarray(Image.open(pictures[0]))
    filmed = np.asarray(Image.open(tiny_run.scene / "frame_00000_cam_002.png").resize((32, 32)))
    hit = seen[..., 3] > 127
    assert (hit & (filmed[..., 3] > 127)).sum() > 0.5 * hit.sum() > 0


def test_turntable_round_a_still_frame(tiny_run: TinyRun, tmp_path) -> None:
    arguments = ["--turntable", "--frame", "3", "--size", "16", "--output", str(tmp_path)]
    assert main(["render", str(tiny_run.path), *arguments]) == 0
    pictures = sorted(tmp_path.glob("turntable_*.png"))
    assert len(pictures) == len(iio.imread(tmp_path / "turntable.mp4")) == 60
    alpha = np.stack([np.asarray(Image.open(path))[..., 3] / 255.0 for path in pictures])
    rows = (alpha * (np.arange(16) + 0.5)[:, None]).sum((1, 2)) / alpha.sum((1, 2))
    columns = (alpha * (np.arange(16) + 0.5)).sum((1, 2)) / alpha.sum((1, 2))
    assert np.abs(rows - 8).max() < 2  # it stays in the middle of the picture
    assert np.abs(columns - 8).max() < 2


def test_parts_and_joints(tiny_run: TinyRun, tmp_path) -> None:
    arguments = ["--turntable", "--frames", "0:3", "--parts", "--joints", "--size", "24", "--fps", "5"]
    assert main(["render", str(tiny_run.path), *arguments]) == 0
    folder = tiny_run.path / "render" / "turntable_parts_joints"
    drawn = Image.open(folder / "turntable_00000.png")
    assert drawn.mode == "RGB"
    assert min(drawn.size) >= 384  # drawings need room
    parts = ["--frames", "4", "--parts", "--size", "24", "--output", str(tmp_path)]
    assert main(["render", str(tiny_run.path), *parts]) == 0
    assert [path.name for path in tmp_path.iterdir()] == [
        "frame_00004_cam_000.png"
    ]  # no video of one picture
    assert Image.open(tmp_path / "frame_00004_cam_000.png").mode == "RGBA"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--camera", "9"], ["camera 9"]),
        (["--frames", "8:30"], ["frames '8:30'", "10"]),
        (["--turntable", "--frame", "10"], ["frame 10", "0 to 9"]),
        (["--frame", "1"], ["--frame", "--turntable"]),
    ],
)
def test_bad_arguments(
    tiny_run: TinyRun, arguments: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", str(tiny_run.path), *arguments]) == 2
    assert_one_error(capsys.readouterr().err, *named)


@pytest.mark.parametrize(
    "arguments", [["--size", "-3"], ["--size", "x"], ["--fps", "0"], ["--turntable", "--camera", "1"]]
)
def test_bad_values(tiny_run: TinyRun, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["render", str(tiny_run.path), *arguments])
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "render", "merge", "render-novel-pose"])
def test_no_run(command: str, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--list-joints"] if command == "render-novel-pose" else []
    assert main([command, str(tmp_path / "nowhere"), *more]) == 2
    assert_one_error(capsys.readouterr().err, str(tmp_path / "nowhere"))


def test_output_that_is_a_file(tiny_run: TinyRun, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert main(["render", str(tiny_run.path), "--frames", "0", "--size", "8", "--output", str(file)]) == 2
    assert_one_error(capsys.readouterr().err, str(file))
