"""Film made imperfect: what was asked for is wrong by as much as it should be, and nothing else is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from tiny_scene import TinyScene, write_scene

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import film_benchmark
import imperfect_film

from wim_fast.recordings.calibration.raw_json import read_raw_camera

FRAMES, TEST_CAMERA = 12, 3


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> TinyScene:
    return write_scene(tmp_path_factory.mktemp("clean"), frames=FRAMES, width=48)


def film_of(clean: TinyScene, folder: Path, *flags: str) -> dict[str, Any]:
    """What truth.json says of its cameras."""
    train = ["--train-cameras", "0", "1", "2"]
    imperfect_film.main([str(clean.path), "--output", str(folder), *train, *flags])
    return json.loads((folder / "truth.json").read_text())["cameras"]


def image(folder: Path, frame: int, camera: int) -> np.ndarray:
    return iio.imread(folder / f"frame_{frame:05d}_cam_{camera:03d}.png").astype(float)


def test_all_of_it_and_the_same_again(clean: TinyScene, tmp_path: Path) -> None:
    truth = film_of(clean, tmp_path / "a", "--seed", "5")
    film_of(clean, tmp_path / "b", "--seed", "5")
    names = sorted(p.name for p in (tmp_path / "a").glob("*.[pj]*"))
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)
    for camera in range(4):
        wrong = camera != TEST_CAMERA
        assert (image(tmp_path / "a", 0, camera) != image(clean.path, 0, camera)).any() == wrong
        assert (truth[str(camera)]["rms_px"] > 0.5) == wrong
        assert (np.ptp(truth[str(camera)]["gain"]) > 0) == wrong


def test_cameras_turn_by_what_is_said(clean: TinyScene, tmp_path: Path) -> None:
    truth = film_of(clean, tmp_path, "--cameras")
    given, true = (read_raw_camera(folder / "cam_001.json") for folder in (tmp_path, clean.path))
    assert np.allclose(given.center, true.center)
    assert given.K[0, 0] == pytest.approx(true.K[0, 0], rel=0.02)
    assert given.K[0, 0] != true.K[0, 0]
    assert 0.5 < truth["1"]["rms_px"] < 1.0
    assert truth["1"]["camera_data"] == json.loads(clean.camera(1).read_text())["camera_data"]
    assert (image(tmp_path, 4, 1) == image(clean.path, 4, 1)).all()


def test_masks_are_wrong_at_the_outline_and_the_room_shows(clean: TinyScene, tmp_path: Path) -> None:
    film_of(clean, tmp_path, "--masks")
    shares = []
    for frame in range(FRAMES):
        wrong, right = (image(folder, frame, 0) for folder in (tmp_path, clean.path))
        inside = right[..., 3] > 127
        assert (wrong[inside] == right[inside])[..., :3].all(), "the object keeps its colours"
        shares.append((inside != (wrong[..., 3] > 127)).sum() / inside.sum())
    assert 0.01 < np.median(shares) < 0.2
    let_in = (wrong[..., 3] > 127) & ~inside
    assert wrong[let_in][:, :3].std() > 5, "the room is no single colour"


def test_a_late_camera_shows_what_comes(clean: TinyScene, tmp_path: Path) -> None:
    truth = film_of(clean, tmp_path, "--every", "2", "--late", "1=0.5", "2=-1")
    assert truth["1"]["time_offset"] == 0.5
    kept = [2, 4, 6, 8, 10]  # source frames for which camera 2 has an earlier one and camera 1 a later one
    points = np.load(tmp_path / "gt.npz")["points"]
    assert (points == np.load(clean.path / "gt.npz")["points"][kept]).all()
    for frame, source in enumerate(kept):
        for camera, shift in ((0, 0), (1, 1), (2, -2)):
            assert (image(tmp_path, frame, camera) == image(clean.path, source + shift, camera)).all()


def test_what_cannot_be_is_refused(clean: TinyScene, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no camera 9"):
        film_of(clean, tmp_path, "--late", "9=1")
    with pytest.raises(SystemExit):
        film_of(clean, tmp_path, "--late", "1=0.5")


def test_the_benchmark_measures_corrected_cameras(clean: TinyScene, tmp_path: Path) -> None:
    """True ones miss nothing; those given miss by less than each alone, for the world may move with them."""
    truth = film_of(clean, tmp_path / "film", "--cameras")
    assert film_benchmark.camera_column(tmp_path, tmp_path / "film") == "", "no run has corrected any"
    (tmp_path / "cameras.json").write_text(json.dumps({"cameras": truth}))
    before, after = map(float, film_benchmark.camera_column(tmp_path, tmp_path / "film").split(" -> "))
    assert 0.05 < before < 1
    assert after == 0
