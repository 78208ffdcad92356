"""What is doubted of masks: bites and what is let in, not an outline that is a pixel off, and nothing of good ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import yaml
from trained_run import TRAINED, train_tiny_run

from wim_fast.cli import main
from wim_fast.runs.check import LET_IN, MISSING, OUTLINE, CheckedMask, check_masks
from wim_fast.runs.run import load_run

SPOILED_CAMERA, SPOILED_FRAME = 1, 4


@pytest.fixture(scope="module")
def spoiled(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, np.ndarray, np.ndarray]:
    """A run of masks as of film, with a recording in which one has lost a corner and won another; and where."""
    folder = tmp_path_factory.mktemp("spoiled")
    tiny_run = train_tiny_run(tmp_path_factory.mktemp("film"), "--outline-share", "0", "--ray-spread", "1")
    run, scene = (Path(shutil.copytree(p, folder / p.name)) for p in (tiny_run.path, tiny_run.scene))
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["scene"]["scene"] = str(scene)
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    picture = scene / f"frame_{SPOILED_FRAME:05d}_cam_{SPOILED_CAMERA:03d}.png"
    rgba = iio.imread(picture)
    y, x = np.argwhere(rgba[..., 3] > 0).mean(axis=0).round().astype(int)
    bitten, won = np.zeros(rgba.shape[:2], bool), np.zeros(rgba.shape[:2], bool)
    bitten[y - 2 : y + 3, x - 2 : x + 3] = True
    won[:5, :5] = True
    rgba[bitten, 3], rgba[won, 3] = 0, 255
    iio.imwrite(picture, rgba)
    return run, bitten, won


def test_bites_and_what_is_let_in(spoiled: tuple[Path, np.ndarray, np.ndarray]) -> None:
    path, bitten, won = spoiled
    found = {c.camera: c for c in check_masks(load_run(path), [SPOILED_FRAME])}
    assert set(found) == set(TRAINED)
    checked = found.pop(SPOILED_CAMERA)
    assert checked.missing[bitten].mean() > 0.1, "but for the hole's rim, and what the model does not know"
    assert not checked.missing[~bitten].any()
    assert checked.let_in[won].mean() > 0.8
    for other in found.values():
        assert not other.missing.any()
        assert other.let_in.mean() < 0.02


def test_picture_and_table(
    spoiled: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "doubt.png"
    frames = f"{SPOILED_FRAME}:{SPOILED_FRAME + 1}"
    assert main(["check", str(spoiled[0]), "--output", str(picture), "--frames", frames]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "%" in line]
    assert len(rows) == len(TRAINED)
    assert "0.00%" not in rows[TRAINED.index(SPOILED_CAMERA)]
    colors = {tuple(c) for c in iio.imread(picture)[..., :3].reshape(-1, 3).tolist()}
    assert {OUTLINE, MISSING, LET_IN} <= colors


def test_marks_lie_over_the_picture() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    nothing = np.zeros_like(mask)
    marked = CheckedMask(0, 0, mask, nothing, nothing).marked(np.zeros((9, 9, 3), np.uint8))
    assert (marked[2, 2:7] == OUTLINE).all()
    assert not marked[3:6, 3:6].any()
    assert not marked[0].any()
