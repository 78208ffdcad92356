"""`wim-fast render-novel-pose`: by hand, by points, and the list of joints."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import yaml
from errors import assert_one_error
from PIL import Image
from trained_run import TRAINED_FRAMES, TinyRun

from wim_fast.cli import main


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


@pytest.mark.parametrize(
    ("found", "what", "count", "picture"), [("all", "part", 3, "parts.png"), ("2", "body", 2, "bodies.png")]
)
def test_list_joints(
    tiny_run: TinyRun, found: str, what: str, count: int, picture: str, tmp_path, capsys
) -> None:
    """The example that it prints can be rendered as it stands, and its part or body turns."""
    run, flags = str(tiny_run.path), ["--size", "32", "--output", str(tmp_path)]
    assert main(["render-novel-pose", run, "--list-joints", "--parts-found", found, *flags]) == 0
    output = capsys.readouterr().out
    example = tmp_path / "example.yaml"
    assert example.read_text() in output
    assert f"{{{what}: " in example.read_text()
    assert all(f"{what} {node}" in output for node in range(count))
    assert all(f"(joint {joint})" in output for joint in range(count - 1))
    assert str(tmp_path / picture) in output
    assert min(Image.open(tmp_path / picture).size) >= 2 * 768

    arguments = ["--pose", str(example), "--size", "24", "--camera", "1", "--fps", "3"]
    assert main(["render-novel-pose", run, *arguments]) == 0
    folder = tiny_run.path / "novel_pose" / "example"
    assert len(iio.imread(folder / "camera_001.mp4")) == len(list(folder.glob("*.png"))) == 6


def test_a_pose_starts_as_learned_and_moves(tiny_run: TinyRun, tmp_path) -> None:
    run, pose = str(tiny_run.path), tmp_path / "away.yaml"
    pose.write_text(yaml.safe_dump({"frame": 4, "seconds": 1, "fps": 3, "root_translation": [0, 0, 0.4]}))
    size = ["--size", "40"]
    posed, learned = tmp_path / "posed", tmp_path / "learned"
    assert main(["render-novel-pose", run, "--pose", str(pose), *size, "--output", str(posed)]) == 0
    assert main(["render", run, "--frames", "4", *size, "--output", str(learned)]) == 0
    first, last = (pixels(posed / f"frame_{k:05d}_cam_000.png") for k in (0, 2))
    np.testing.assert_array_equal(first, pixels(learned / "frame_00004_cam_000.png"))

    def height(image: np.ndarray) -> float:
        return 40 - (image[..., 3].sum(1) * np.arange(40)).sum() / image[..., 3].sum()

    # focal length 1.4 * 40 pixels, distance about 4, camera 30 degrees above the horizon
    assert height(last) - height(first) == pytest.approx(0.4 * 56 / 4 * np.cos(np.radians(30)), rel=0.25)


def test_driven_as_evaluate_does(tiny_run: TinyRun, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """Driven by the recording's own points in file units: the same pictures under the same names."""
    run, driven, evaluated = str(tiny_run.path), tmp_path / "driven", tmp_path / "evaluated"
    where = ["--frames", "10:14", "--cameras", "4", "5"]
    arguments = ["--drive", str(tiny_run.scene / "gt.npz"), "--train-frames", f"0:{TRAINED_FRAMES}"]
    assert main(["render-novel-pose", run, *arguments, *where, "--output", str(driven)]) == 0
    assert "residual" in capsys.readouterr().out.lower()
    assert main(["evaluate", run, *where, "--output", str(evaluated)]) == 0
    names = sorted(path.name for path in driven.glob("*.png"))
    assert names == sorted(path.name for path in evaluated.glob("frame_*"))
    assert len(names) == 8
    for name in names:
        assert np.abs(pixels(driven / name) - pixels(evaluated / name)).max() <= 2
    assert (driven / "camera_004.mp4").is_file()


def test_driven_past_the_recording(tiny_run: TinyRun, tmp_path) -> None:
    """Rows after the last frame go on counting; joints drive where there are no points."""
    with np.load(tiny_run.scene / "gt.npz") as data:
        corners = data["points"]
    more = np.concatenate([corners, corners[-1:] + np.array([0.1, 0, 0])])
    np.savez(tmp_path / "more.npz", joints=more)
    arguments = ["--drive", str(tmp_path / "more.npz"), "--frames", "14:15", "--camera", "4", "--size", "24"]
    assert main(["render-novel-pose", str(tiny_run.path), *arguments]) == 0
    assert (tiny_run.path / "novel_pose" / "more" / "frame_00014_cam_004.png").is_file()


def write(folder: Path, what: str) -> list[str]:
    """A file that cannot drive, and the arguments to try it."""
    file = folder / "points.npz"
    rng = np.random.default_rng(0)
    if what == "no npz":
        file.write_text("points")
    elif what == "pickle":
        np.savez(file, points=np.array([{}, None], dtype=object))
    elif what == "no key":
        np.savez(file, vertices=rng.normal(size=(14, 4, 3)))
    elif what == "flat":
        np.savez(file, points=rng.normal(size=(14, 12)))
    elif what == "nan":
        np.savez(file, points=np.full((14, 4, 3), np.nan))
    elif what == "good":
        np.savez(file, points=rng.normal(size=(14, 4, 3)))
    return ["--drive", str(file)]


@pytest.mark.parametrize(
    ("what", "more", "named"),
    [
        ("missing", [], ["points.npz", "no such file"]),
        ("no npz", [], ["points.npz", "npz file"]),
        ("pickle", [], ["points.npz", "npz file"]),
        ("no key", [], ["points.npz", "points", "joints"]),
        ("flat", [], ["points.npz", "(14, 12)"]),
        ("nan", [], ["points.npz", "finite"]),
        ("good", ["--train-frames", "5:12"], ["frames 5:12", "row 10", "frame 10"]),
        ("good", ["--frames", "0:20"], ["frames '0:20'", "14 rows"]),
        ("good", ["--cameras", "9"], ["camera 9"]),
        ("good", ["--cameras", "4", "--camera", "4"], ["--cameras", "--camera "]),
    ],
)
def test_bad_points(
    tiny_run: TinyRun,
    what: str,
    more: list[str],
    named: list[str],
    tmp_path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["render-novel-pose", str(tiny_run.path), *write(tmp_path, what), *more]) == 2
    assert_one_error(capsys.readouterr().err, *named)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("rotations: [{part: 3, axis_angle: [0, 0, 30]}]", "part 3"),
        ("parts_found: 2\nrotations: [{body: 2, axis_angle: [0, 0, 30]}]", "body 2"),
        ("frame: 10\nroot_translation: [0, 0, 1]", "frame"),
    ],
)
def test_bad_pose_file(
    tiny_run: TinyRun, text: str, named: str, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    pose = tmp_path / "pose.yaml"
    pose.write_text(text)
    assert main(["render-novel-pose", str(tiny_run.path), "--pose", str(pose)]) == 2
    assert_one_error(capsys.readouterr().err, str(pose), named)


def test_flags_that_would_do_nothing(tiny_run: TinyRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render-novel-pose", str(tiny_run.path), "--list-joints", "--frames", "0:3"]) == 2
    assert_one_error(capsys.readouterr().err, "--frames", "--drive")
    assert main(["render-novel-pose", str(tiny_run.path), "--list-joints", "--frame", "77"]) == 2
    assert_one_error(capsys.readouterr().err, "frame 77", "0 to 9")
    assert main(["render-novel-pose", str(tiny_run.path), "--pose", "x.yaml", "--parts-found", "3"]) == 2
    assert "--parts-found: can only be given with --list-joints" in capsys.readouterr().err
