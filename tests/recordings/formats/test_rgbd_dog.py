import shutil

import imageio.v3 as iio
import numpy as np
import pytest
from filmed_scene import Film, write_rgbd_dog
from tiny_scene import ring

from wim_fast.config import load_config
from wim_fast.errors import UserError
from wim_fast.recordings import windows
from wim_fast.recordings.cameras import project
from wim_fast.recordings.masks import three_valued
from wim_fast.scene.load import load_scene, scan_scene

FILM = Film(width=96, height=64, unit=1000.0)


@pytest.fixture(autouse=True)
def small_crops(monkeypatch):
    monkeypatch.setattr(windows, "LEAST_SQUARE", 40)


@pytest.fixture(scope="module")
def filmed_dog(tmp_path_factory):
    return write_rgbd_dog(tmp_path_factory.mktemp("dogs") / "dog", FILM, mask_scale=1).parent


@pytest.fixture
def dog(filmed_dog, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(filmed_dog, tmp_path / "dog")


def check_against(scene, film, frames):
    """The mask lies where the box projects, up to a pixel of the video, and has the frame's colour."""
    for v in range(len(scene.cameras)):
        for t, frame in enumerate(frames):
            (pixels,), _ = project(scene.cameras.select([v]), film.corners(frame) / scene.coordinate_scale)
            rows, columns = np.nonzero(scene.mask[v, t] == 1)
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            expected = np.clip([*pixels.min(0), *pixels.max(0)], 0, scene.size[0])
            pixel = scene.cameras.intrinsics[v, 0, 0] / film.K[0, 0]  # of the video, in those of the scene
            np.testing.assert_allclose(found, expected, atol=1.5 * max(pixel, 1))
            inner = scene.rgba[v, t][(scene.rgba[v, t, ..., 3] == 255) & (scene.mask[v, t] == 1)][:, :3]
            assert np.abs(np.median(inner.astype(int), 0) - film.color(frame)).max() < 8


def test_a_motion(dog):
    film, motion = FILM, dog / "motion_testSeq"
    contents = scan_scene(motion, 1000.0)
    assert (contents.camera_ids, contents.frame_ids) == ((0, 1, 2, 3), tuple(range(6)))
    scene = load_scene(motion, size=64, coordinate_scale=1000.0)
    assert scene.size == (64, 64)
    np.testing.assert_allclose(scene.cameras.centers, film.eyes, atol=1e-6)
    check_against(scene, film, range(6))
    some = load_scene(dog, cameras=(2,), frames="3:5", size=64, coordinate_scale=1000.0)
    np.testing.assert_array_equal(some.rgba, scene.rgba[2:3, 3:5])
    np.testing.assert_array_equal(some.mask, scene.mask[2:3, 3:5])
    np.testing.assert_array_equal(some.cameras.intrinsics, scene.cameras.intrinsics[2:3])
    large = load_scene(motion, coordinate_scale=1000.0)
    assert large.size[0] == large.size[1] >= 40
    check_against(large, film, range(6))
    np.testing.assert_allclose(large.cameras.intrinsics[:, [0, 1], [0, 1]], film.K[0, 0], rtol=1e-9)
    moved = large.cameras.intrinsics[:, :2, 2] - (film.K[:2, 2] + 0.5)  # by whole pixels
    assert np.abs(moved - np.round(moved)).max() < 1e-6


def test_masks_of_4k(tmp_path):
    film = Film(eyes=ring(2), frames=2, width=96, height=64, unit=1000.0)
    scene = load_scene(write_rgbd_dog(tmp_path / "dog", film), coordinate_scale=1000.0)
    check_against(scene, film, range(2))


def test_beyond_the_edge_of_the_film_it_is_unreliable(tmp_path, monkeypatch):
    """The square is higher than the image: nothing is known about what is not in it."""
    monkeypatch.setattr(windows, "LEAST_SQUARE", 100)
    aside = Film(
        eyes=ring(3), frames=2, width=128, height=72, unit=1000.0, aim=(0.0, 0.9, 0.5), lens=(0.0,) * 5
    )
    scene = load_scene(write_rgbd_dog(tmp_path / "dog", aside), size=60, coordinate_scale=1000.0)
    K = scene.cameras.intrinsics
    for v in range(3):
        x, y = np.meshgrid(np.arange(60) + 0.5, np.arange(60) + 0.5)
        scale = K[v, 0, 0] / aside.K[0, 0]
        x = (x - K[v, 0, 2]) / scale + aside.K[0, 2] + 0.5
        y = (y - K[v, 1, 2]) / scale + aside.K[1, 2] + 0.5
        slack = 0.51 / scale
        off = (x < -slack) | (x > 128 + slack) | (y < -slack) | (y > 72 + slack)
        well_inside = (x > slack) & (x < 128 - slack) & (y > slack) & (y < 72 - slack)
        assert (scene.mask[v][:, off] == 2).all()
        assert (scene.mask[v][:, well_inside] != 2).all()
    assert (scene.mask[:] == 2).any()


def test_the_square_stays_in_the_image():
    for x, y, side, expected in ((0, 0, 8, (0, 0, 40)), (88, 10, 8, (56, 0, 40)), (20, 10, 44, (18, 8, 49))):
        image = np.zeros((64, 96), bool)
        image[y : y + side, x : x + side] = True
        window = windows.square_around([image], (64, 96))
        assert (window.x0, window.y0, window.x1 - window.x0) == expected
        assert window.y1 - window.y0 == expected[2]


@pytest.mark.parametrize("unsure", [128, 2])
def test_painted_pixels_are_unreliable(dog, unsure):
    motion = dog / "motion_testSeq"
    file = motion / "sony" / "camera01" / "masks" / "01_00000002_4K.png"
    mask = iio.imread(file)
    mask[30:40, 44:50] = 128
    iio.imwrite(file, mask if unsure == 128 else np.select([mask == 128, mask > 0], [2, 1]).astype(np.uint8))
    scene = load_scene(motion, coordinate_scale=1000.0)
    assert (scene.mask[1, 2] == 2).sum() > 50
    assert (scene.mask[1, 3] == 2).sum() == (scene.mask[1, 2] == 2).sum() - np.sum(
        (scene.mask[1, 2] == 2) & (scene.mask[1, 3] != 2)
    )
    alpha, unreliable = three_valued(np.array([[0, 63, 64, 191, 192, 255]], np.uint8))
    np.testing.assert_array_equal(alpha + 2 * unreliable, [[0, 0, 2, 2, 1, 1]])


def test_the_papers_settings():
    config = load_config("rgbd-dog")
    assert config.scene.train_cameras == (0, 1, 4, 5, 6, 7, 8, 9)
    assert config.loss.part_center_weight == 0
    assert config.scene.coordinate_scale == 1000


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: (d / "calibration/sony/calibFile02").unlink(), "calibFile02: is missing"),
        (
            lambda d: (d / "calibration/sony/calibFile02").write_text("1 2 x"),
            "cannot be read as a calibration",
        ),
        (lambda d: (d / "calibration/sony/calibFile02").write_text("1 2 3"), "holds 3 numbers"),
        (
            lambda d: (d / "calibration/sony/calibFile02").write_text("nan " * 32),
            "is not the calibration of a camera",
        ),
        (lambda d: (d / "calibration/sony/calibFile02").write_text("100 " * 32), "is not a camera matrix"),
        (
            lambda d: (d / "calibration/sony/calibFile02").write_bytes(b"\xff" * 9),
            "cannot be read as a calibration",
        ),
        (
            lambda d: (d / "motion_testSeq/sony/camera01/camera01_2K.mp4").write_bytes(b"x"),
            "as a video",
        ),
        (lambda d: (d / "motion_testSeq/sony/camera01/camera01_2K.mp4").unlink(), "there is no such video"),
        (
            lambda d: (d / "motion_testSeq/sony/camera01/masks").rename(d / "m"),
            "there are no masks for camera 01",
        ),
        (lambda d: (d / "motion_testSeq/sony").rename(d / "x"), "several motions or none"),
        (
            lambda d: (d / "motion_testSeq/sony/camera01/masks/01_00000003_4K.png").rename(
                d / "motion_testSeq/sony/camera01/masks/01_00000033_4K.png"
            ),
            "frame 33 of camera 0 is missing, and 4 more",
        ),
    ],
)
def test_bad_recordings(dog, change, problem):
    change(dog)
    with pytest.raises(UserError) as caught:
        load_scene(dog, coordinate_scale=1000.0)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
