"""Pictures are enlarged, and written to files whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wim_fast.drawing.images import enlarge, write_png, write_video


def blank(height: int = 128, width: int = 128, value: int = 90) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_enlarge() -> None:
    image = np.random.default_rng(0).integers(0, 255, size=(10, 14, 3), dtype=np.uint8)
    big = enlarge(image, 25)
    assert big.shape == (30, 42, 3)
    np.testing.assert_array_equal(big[1::3, 1::3], image)
    assert enlarge(image, 10) is image
    assert enlarge(image, 25, smooth=True).shape == (30, 42, 3)


@pytest.mark.parametrize("channels", [None, 3, 4])
def test_png(tmp_path: Path, channels: int | None) -> None:
    shape = (5, 7) if channels is None else (5, 7, channels)
    image = np.random.default_rng(0).integers(0, 255, size=shape, dtype=np.uint8)
    path = write_png(tmp_path / "new" / "image.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), image)
    assert [p.name for p in path.parent.iterdir()] == ["image.png"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_png(tmp_path / "image.png", blank(4, 4))
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_png(path, np.zeros((4, 4, 3), complex))
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_video(tmp_path: Path) -> None:
    imageio = pytest.importorskip("imageio.v2")
    frames = [blank(33, 47, value) for value in (20, 120, 220)]
    path = write_video(tmp_path / "motion.mp4", iter(frames), fps=10, least=60)
    assert [p.name for p in tmp_path.iterdir()] == ["motion.mp4"]
    with imageio.get_reader(path) as reader:
        assert reader.get_meta_data()["codec"] == "h264"
        read = list(reader.iter_data())
    assert [frame.shape for frame in read] == [(66, 94, 3)] * 3
    for frame, value in zip(read, (20, 120, 220), strict=True):
        assert abs(float(np.mean(frame)) - value) < 4


def test_video_of_odd_size_and_errors(tmp_path: Path) -> None:
    imageio = pytest.importorskip("imageio.v2")
    path = write_video(tmp_path / "odd.mp4", [blank(51, 33)], fps=5, least=1)
    with imageio.get_reader(path) as reader:
        assert reader.get_data(0).shape == (52, 34, 3)
    with pytest.raises(ValueError, match="no frames"):
        write_video(tmp_path / "none.mp4", [], fps=5)
    with pytest.raises(ValueError, match="frames of"):
        write_video(tmp_path / "mixed.mp4", [blank(50, 50), blank(52, 50)], fps=5, least=1)
    assert [p.name for p in tmp_path.iterdir()] == ["odd.mp4"]
