"""Which file is which camera and frame, and where the world is put."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from filmed_scene import Film, write_video
from paper_recordings import write_folders, write_opencv
from scipy.spatial.transform import Rotation

from wim_fast.errors import UserError
from wim_fast.importing.placement import place, rotation_to_z
from wim_fast.recordings.calibration.calibrated import CalibratedCamera
from wim_fast.recordings.calibration.match import match_cameras, uncalled
from wim_fast.recordings.calibration.read import Calibration
from wim_fast.recordings.cameras import project
from wim_fast.recordings.masks import soft
from wim_fast.recordings.pictures import Pictures
from wim_fast.recordings.read import read_recording
from wim_fast.recordings.sources import SourceCamera, find_sources, telling_numbers
from wim_fast.scene.load import load_scene


def touch(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("names", "cameras"),
    [
        (["cam0.mp4", "cam1.mp4", "cam10.mp4"], {0: "cam0", 1: "cam1", 10: "cam10"}),
        (["take2_01.mp4", "take2_05.MOV"], {1: "take2_01", 5: "take2_05"}),
        (["left.mp4", "right.mp4"], {0: "left", 1: "right"}),
        (["GX20240101.mp4", "GX20240102.mp4"], {0: "GX20240101", 1: "GX20240102"}),
        (["a/1.png", "b/1.png", "masks/a/1.png"], {0: "a", 1: "b"}),
        (["images/07/1.png", "images/09/1.png"], {7: "07", 9: "09"}),
        (["videos/07.mp4", "videos/09.mp4", "masks/07/1.png"], {7: "07", 9: "09"}),
    ],
)
def test_cameras(tmp_path, names, cameras):
    touch(tmp_path, names)
    assert {camera.id: camera.name for camera in find_sources(tmp_path)} == cameras


@pytest.mark.parametrize(
    ("pattern", "cameras"),
    [
        ("frame_{t:05d}_cam_{v:03d}.png", [0, 2]),
        ("cam{v}_{t:04d}.jpg", [0, 2]),
        ("{v}_{t}.png", [0, 2]),
        ("{t:06d}_{v:02d}.png", [0, 2]),
        ("shot7_view{v}-f{t}.png", [0, 2]),
        ("C{v}T{t}.png", [0, 2]),
    ],
)
def test_flat_folders(tmp_path, pattern, cameras):
    touch(tmp_path, [pattern.format(t=t, v=v) for t in (3, 4, 12) for v in (0, 2)])
    found = find_sources(tmp_path)
    assert [camera.id for camera in found] == cameras
    for camera in found:
        assert {t: file.name for t, file in camera.pictures.files.items()} == {
            t: pattern.format(t=t, v=camera.id) for t in (3, 4, 12)
        }


def test_flat_folders_with_words(tmp_path):
    touch(tmp_path, [f"{word}_{t}.png" for word in ("left", "right") for t in range(3)])
    assert [(camera.name, list(camera.pictures.frames)) for camera in find_sources(tmp_path)] == [
        ("left", [0, 1, 2]),
        ("right", [0, 1, 2]),
    ]


@pytest.mark.parametrize("names", [["a.png", "b.png"], ["1_2_3.png", "2_3_4.png"], ["x1.png", "x2.png"]])
def test_flat_folders_that_are_not_clear(tmp_path, names):
    touch(tmp_path, names)
    with pytest.raises(UserError, match="which camera and frame"):
        find_sources(tmp_path)


def test_telling_numbers():
    assert telling_numbers(["a1b7", "a1b9"]) == [7, 9]
    assert telling_numbers(["a1", "b1"]) is None
    assert telling_numbers(["a", "b1"]) is None
    assert telling_numbers(["20240101", "20240102"]) is None


def test_values_of_masks():
    def read(*values):
        alpha, unsure = soft(np.array([values], np.uint8))
        return alpha[0].tolist(), unsure[0].tolist()

    assert read(0, 1, 2) == ([0, 1, 0], [False, False, True])
    assert read(0, 255, 128) == ([0, 1, 0], [False, False, True])
    assert read(0, 255) == ([0, 1], [False, False])
    assert read(0, 7, 19) == ([0, 1, 1], [False, False, False])
    assert read(0, 51, 255) == ([0, pytest.approx(0.2), 1], [False, False, False])


@pytest.mark.parametrize("seed", range(3))
def test_a_rotation_to_z(seed):
    axis = np.random.default_rng(seed).normal(size=3)
    for a in (axis / np.linalg.norm(axis), np.array([0, 0, 1.0]), np.array([0, 0, -1.0])):
        R = rotation_to_z(a)
        np.testing.assert_allclose(R @ a, [0, 0, 1], atol=1e-12)
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(R) > 0


def place_dog(spoilt=None):
    """The dog's cameras in a turned and scaled world; `spoilt`: the position of one that is moved aside."""
    scene = load_scene("dog", frames=slice(0, 20, 10), coordinate_scale=1.0)
    T = scene.cameras.T_camera_world.copy()
    R, scale, shift = (
        Rotation.from_euler("xyz", [0.5, 2.0, -1.0]).as_matrix(),
        12.0,
        np.array([3.0, 4.0, 5.0]),
    )
    T[:, :3, :3] = T[:, :3, :3] @ R.T
    T[:, :3, 3] = scale * T[:, :3, 3] - T[:, :3, :3] @ shift
    if spoilt is not None:
        T[spoilt, :3, 3] += [6.0, 0.0, 0.0]
    cameras = type(scene.cameras)(
        scene.cameras.ids, scene.cameras.intrinsics, T, scene.cameras.width, scene.cameras.height
    )
    masks = [scene.mask[:, t] for t in range(scene.num_frames)]
    return scene, cameras, place(cameras, masks), (R, scale, shift)


def test_the_dog_is_placed():
    scene, cameras, placement, (R, scale, shift) = place_dog()
    np.testing.assert_allclose(placement.rotation @ R @ [0, 0, 1], [0, 0, 1], atol=0.03)
    points = scene.ground_truth.points[0].astype(float)
    placed = (scale * points @ R.T + shift) @ placement.matrix[:3, :3].T + placement.matrix[:3, 3]
    assert 0.8 < np.ptp(placed, axis=0).max() < 1.4  # a hull loses thin ends
    assert np.abs(placed.mean(axis=0)).max() < 0.4
    pixels, _ = project(placement.moved(cameras), placed)
    np.testing.assert_allclose(pixels, project(scene.cameras, points)[0], atol=1e-6)
    assert placement.left_out is None


def test_one_camera_that_is_wrong_does_not_stop_it():
    scene, _, placement, _ = place_dog(spoilt=2)
    assert placement.meets
    assert placement.left_out == scene.cameras.ids[2]


def views(*names):
    return Calibration(
        "colmap", Path("model"), [CalibratedCamera(name, np.eye(3), np.eye(4)) for name in names]
    )


@pytest.mark.parametrize(
    ("sources", "names", "expected"),
    [
        (["cam1", "cam10"], ["images/cam10/0001.png", "images/cam1/0001.png"], {"cam1": 1, "cam10": 0}),
        (["cam1", "cam10"], ["cam10.png", "cam1.png"], {"cam1": 1, "cam10": 0}),
        (["cam1", "cam10"], ["cam10_0001.png", "CAM1-0001.PNG"], {"cam1": 1, "cam10": 0}),
        (["cam1", "cam10"], ["10.png", "01.png"], {"cam1": 1, "cam10": 0}),
        (["left", "right"], ["right.jpg", "other.jpg", "left.jpg"], {"left": 2, "right": 0}),
        (["a", "b"], ["film\\a\\1.png", "film\\b\\1.png"], {"a": 0, "b": 1}),
    ],
)
def test_which_camera_is_which(sources, names, expected):
    cameras = [SourceCamera(name, i, Pictures(Path(f"{name}.mp4"))) for i, name in enumerate(sources)]
    calibration = views(*names)
    found = match_cameras(calibration, cameras)
    assert {name: camera.name for name, camera in found.items()} == {n: names[i] for n, i in expected.items()}
    assert uncalled(calibration, found, cameras) == len(names) - len(sources)


def test_views_of_pictures_in_one_folder():
    cameras = [
        SourceCamera(str(v), v, Pictures({t: Path(f"f/s{t}_cam{v}.png") for t in range(2)}), flat=True)
        for v in range(2)
    ]
    found = match_cameras(views("s0_cam1.png", "s1_cam1.png", "s0_cam0.png"), cameras)
    assert {name: camera.name for name, camera in found.items()} == {"0": "s0_cam0.png", "1": "s0_cam1.png"}


def test_pictures_of_the_empty_set_are_of_no_camera(tmp_path):
    """A folder `empty` beside `videos`: used for background subtraction without being named, else left out."""
    film = Film(frames=3, width=40, height=32, lens=(0.0,) * 5)
    names = [f"cam{v}" for v in range(4)]
    for v, name in enumerate(names):
        write_video(tmp_path / "film" / "videos" / f"{name}.mp4", [film.image(v, t) for t in range(3)])
        (tmp_path / "film" / "empty").mkdir(exist_ok=True)
        iio.imwrite(tmp_path / "film" / "empty" / f"{name}.png", film.image(v, 0))
    write_opencv(tmp_path / "film", film, names, vectors=False)
    recording = read_recording(tmp_path / "film", masks="background")
    assert [camera.name for camera in recording.cameras] == names
    assert recording.origin.masks.endswith("against the empty set in " + str(tmp_path / "film" / "empty"))
    write_folders(tmp_path / "other", film, names, tmp_path / "film" / "masks")
    recording = read_recording(tmp_path / "film")
    assert [camera.name for camera in recording.cameras] == names
    assert "empty/ is not used" in recording.origin.masks
