"""Pictures: the palette, what is drawn where, and the files that are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wim_fast.drawing.figures import (
    draw_joints,
    draw_labels,
    enlarge,
    grid,
    part_palette,
    side_by_side,
    write_png,
    write_video,
)


def blank(height: int = 128, width: int = 128, value: int = 90) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_palette_is_distinct_and_stable() -> None:
    palette = part_palette(40)
    assert palette.shape == (40, 3)
    assert palette.dtype == np.uint8
    apart = np.abs(palette[:, None].astype(int) - palette[None]).sum(-1) + 999 * np.eye(40, dtype=int)
    assert apart.min() >= 40
    np.testing.assert_array_equal(part_palette(7), palette[:7])
    np.testing.assert_array_equal(part_palette(50)[40:], palette[:10])
    assert part_palette(0).shape == (0, 3)


def test_joints_are_drawn_where_they_are() -> None:
    image = blank()
    centers = np.array([[20.5, 60.5], [100.5, 60.5]])
    joints = np.array([[60.5, 60.5]])
    drawn = draw_joints(image, joints, centers, np.array([[0, 1]]))
    assert (image == 90).all()  # the input is left as it is
    palette = part_palette(2)
    np.testing.assert_array_equal(drawn[60, 60], [255, 255, 255])
    np.testing.assert_array_equal(drawn[60, 20], palette[0])
    np.testing.assert_array_equal(drawn[60, 100], palette[1])
    assert (
        np.abs(drawn[60, 40].astype(int) - palette[0]).sum() < 120
    )  # bone, in the part's colour, one pixel wide
    changed = np.argwhere((drawn != 90).any(axis=-1))
    assert changed[:, 0].min() > 50
    assert changed[:, 0].max() < 70
    assert (draw_joints(image, joints)[60, 60] == 255).all()


def test_drawing_is_centred_on_half_pixels() -> None:
    """A ring at (64, 64), the corner shared by four pixels, is symmetric about it."""
    drawn = draw_joints(blank(), np.array([[64.0, 64.0]])).astype(int)
    np.testing.assert_allclose(drawn, drawn[::-1], atol=2)
    np.testing.assert_allclose(drawn, drawn[:, ::-1], atol=2)


def test_what_is_not_there_is_not_drawn() -> None:
    image = blank()
    away = np.array([[np.nan, 3.0], [1e12, -1e12]])
    np.testing.assert_array_equal(draw_joints(image, away), image)
    np.testing.assert_array_equal(draw_joints(image, np.zeros((0, 2))), image)
    np.testing.assert_array_equal(draw_labels(image, away[:1], ["0"]), image)
    np.testing.assert_array_equal(draw_labels(image, np.zeros((0, 2)), []), image)


@pytest.mark.parametrize("shape", [(1, 1), (8, 40), (600, 300)])
def test_any_size_can_be_drawn_on(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).uniform(0, 1, size=(3, 2)) * shape[::-1]
    drawn = draw_joints(blank(*shape), pixels[1:], pixels, np.array([[0, 1], [1, 2]]))
    assert draw_labels(drawn, pixels, ["0", "1", "long label"]).shape == (*shape, 3)


def test_labels_do_not_hide_each_other() -> None:
    image = blank(400, 400)
    pixels = 200 + np.random.default_rng(0).normal(size=(12, 2))  # all at the same place
    drawn = draw_labels(image, pixels, [str(k) for k in range(12)])
    for color in part_palette(12):  # of each plate enough is left to be seen
        assert (drawn == color).all(axis=-1).sum() > 60


def test_enlarge() -> None:
    image = np.random.default_rng(0).integers(0, 255, size=(10, 14, 3), dtype=np.uint8)
    big = enlarge(image, 25)
    assert big.shape == (30, 42, 3)
    np.testing.assert_array_equal(big[1::3, 1::3], image)
    assert enlarge(image, 10) is image
    assert enlarge(image, 25, smooth=True).shape == (30, 42, 3)


def test_grid_places_images() -> None:
    images = [blank(20, 30, value) for value in (10, 20, 30)]
    sheet = grid([images[:2], images[2:]])
    gap = (sheet.shape[0] - 40) // 3
    assert sheet.shape == (40 + 3 * gap, 60 + 3 * gap, 3)
    assert (sheet[gap : gap + 20, gap : gap + 30] == 10).all()
    assert (sheet[gap : gap + 20, 2 * gap + 30 : 2 * gap + 60] == 20).all()
    assert (sheet[2 * gap + 20 : 2 * gap + 40, gap : gap + 30] == 30).all()
    assert (sheet[2 * gap + 20 :, 2 * gap + 30 :] == 255).all()
    with pytest.raises(ValueError, match="no images"):
        grid([[]])


def test_captions_take_room_above() -> None:
    images = [blank(64, 64), blank(64, 64)]
    plain, titled = (
        side_by_side(images),
        side_by_side(images, ["truth", "a caption that is far too long for it"]),
    )
    extra = titled.shape[0] - plain.shape[0]
    assert extra > 10
    np.testing.assert_array_equal(titled[extra:], plain)
    assert (titled[:extra] < 128).any()
    both = grid([images, images], ["truth", "render"], ["training camera 3", "unseen camera 5"])
    assert both.shape[0] > 2 * 64 + 3 * extra


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
