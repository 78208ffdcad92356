"""Recordings that cannot be imported: one line says where, what and what to do; nothing is left behind."""

from __future__ import annotations

import json
import shutil
import struct

import imageio.v3 as iio
import numpy as np
import pytest
from filmed_scene import Film, opencv_yaml
from paper_recordings import (
    transforms,
    write_colmap_binary,
    write_colmap_text,
    write_folders,
    write_opencv,
    write_transforms,
)
from tiny_scene import ring

from wim_fast.cli import main
from wim_fast.errors import UserError
from wim_fast.importing.staging import Room
from wim_fast.recordings.calibration.read import read_calibration
from wim_fast.scene.load import load_scene

pytestmark = pytest.mark.usefixtures("blank_overview")

NAMES = [f"cam{v}" for v in range(4)]


@pytest.fixture(scope="module")
def film():
    return Film(eyes=ring(4), frames=3, width=40, height=32, lens=(0.0,) * 5)


@pytest.fixture(scope="module")
def original(tmp_path_factory, film):
    path = tmp_path_factory.mktemp("recording") / "film"
    write_folders(path, film, NAMES, path / "masks")
    write_transforms(path / "transforms.json", transforms(film, NAMES))
    return path


@pytest.fixture
def recording(original, tmp_path):
    return shutil.copytree(original, tmp_path / "film")


def refused(capsys, source, *arguments):
    """The one line that it says; no scene and no unfinished folder is left."""
    output = source.parent / "made"
    before = sorted(p.name for p in source.parent.iterdir())
    assert main(["import", str(source), "--output", str(output), *map(str, arguments)]) == 2
    assert sorted(p.name for p in source.parent.iterdir()) == before
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    return error


def test_no_such_folder(capsys, tmp_path):
    assert "does not exist" in refused(capsys, tmp_path / "nowhere")


def test_nothing_in_it(capsys, recording):
    for name in NAMES:
        shutil.rmtree(recording / name)
    assert "no images or videos" in refused(capsys, recording)


def test_a_kind_of_video_that_is_not_read(capsys, recording):
    for name in NAMES:
        shutil.rmtree(recording / name)
    (recording / "cam0.wmv").write_bytes(b"RIFF")
    assert "cam0.wmv: this kind of video" in refused(capsys, recording)


def test_pictures_without_a_camera(capsys, recording):
    data = json.loads((recording / "transforms.json").read_text())
    del data["frames"][2]
    write_transforms(recording / "transforms.json", data)
    error = refused(capsys, recording)
    assert "no calibration for cam2" in error
    assert "--without" in error


def test_no_calibration(capsys, recording):
    (recording / "transforms.json").unlink()
    assert "no cameras in a known format" in refused(capsys, recording)
    assert "does not exist" in refused(capsys, recording, "--cameras", recording / "model")


def test_names_that_do_not_match(capsys, recording, film):
    write_transforms(recording / "transforms.json", transforms(film, ["left", "right", "top", "back"]))
    assert "It names left, right, top, back" in refused(capsys, recording)


def test_no_masks(capsys, recording):
    shutil.rmtree(recording / "masks")
    assert "there are no masks" in refused(capsys, recording)
    assert "has no alpha channel" in refused(capsys, recording, "--masks", "alpha")
    assert "does not exist" in refused(capsys, recording, "--masks", recording / "other")


def test_masks_of_some_cameras(capsys, recording):
    shutil.rmtree(recording / "masks" / "cam3")
    assert "there are no masks for cam3" in refused(capsys, recording)


def test_masks_of_other_frames(capsys, recording):
    for t in range(3):
        (recording / "masks" / "cam1" / f"{t:04d}.png").rename(
            recording / "masks" / "cam1" / f"{t + 50:04d}.png"
        )
    assert "pictures 0 to 2 and masks 50 to 52" in refused(capsys, recording)


def test_empty_masks(capsys, recording):
    for file in (recording / "masks").rglob("*.png"):
        iio.imwrite(file, np.zeros((32, 40), np.uint8))
    assert "all masks are empty" in refused(capsys, recording)


def test_a_mask_of_another_shape(capsys, recording):
    iio.imwrite(recording / "masks" / "cam1" / "0001.png", np.zeros((32, 32), np.uint8))
    assert "the mask is 32 x 32 pixels, its picture 40 x 32" in refused(capsys, recording)


def test_a_picture_of_another_size(capsys, recording):
    iio.imwrite(recording / "cam1" / "0002.png", np.zeros((30, 40, 3), np.uint8))
    iio.imwrite(recording / "masks" / "cam1" / "0002.png", np.zeros((30, 40), np.uint8))
    assert "frame 2 is 40 x 30 pixels, the first 40 x 32" in refused(capsys, recording)


def test_a_truncated_picture(capsys, recording):
    file = recording / "cam2" / "0001.png"
    file.write_bytes(file.read_bytes()[:90])
    assert "cam2/0001.png: cannot be read as an image" in refused(capsys, recording)


def test_pictures_turned_by_90_degrees(capsys, recording):
    for folder in (recording, recording / "masks"):
        for file in (folder / "cam0").iterdir():
            iio.imwrite(file, np.swapaxes(iio.imread(file), 0, 1).copy())
    assert "32 x 40, but cam0 was calibrated for 40 x 32" in refused(capsys, recording)


def test_no_frame_in_common(capsys, recording):
    for folder in (recording, recording / "masks"):
        for t in range(3):
            (folder / "cam1" / f"{t:04d}.png").rename(folder / "cam1" / f"{t + 50:04d}.png")
    assert "no frame is seen by all cameras" in refused(capsys, recording)


def test_cameras_that_move(capsys, recording, film):
    data = transforms(film, [f"{name}/{{t:04d}}.png" for name in NAMES], frames=3)
    data["frames"][4]["transform_matrix"][0][3] += 0.1
    write_transforms(recording / "transforms.json", data)
    assert "camera cam1 moves: its 3 poses differ" in refused(capsys, recording)


def test_a_full_disk_in_the_middle(capsys, recording, monkeypatch):
    """What is there stays for the same command."""

    def full(*rest):
        raise OSError(28, "No space left on device", "frame_00000_cam_000.png")

    output = recording.parent / "scene"
    monkeypatch.setattr("wim_fast.importing.pixels.write_image", full)
    assert main(["import", str(recording), "--output", str(output)]) == 2
    assert "cannot be written (No space left on device)" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(["import", str(recording), "--output", str(output)]) == 0
    assert f"going on with {output}.unfinished" in capsys.readouterr().out
    assert sorted(p.name for p in recording.parent.iterdir()) == ["film", "scene"]


def test_output_that_is_there(capsys, recording):
    output = recording.parent / "scene"
    (output / "mine").mkdir(parents=True)
    arguments = ["import", str(recording), "--output", str(output)]
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 2
    assert "is not an imported scene" in capsys.readouterr().err
    assert (output / "mine").is_dir()
    (output / "mine").rmdir()
    assert main(arguments) == 0
    assert main([*arguments, "--overwrite", "--without", "3"]) == 0
    assert load_scene(output).num_cameras == 3


def test_cameras_that_do_not_fit(capsys, recording, film):
    """The scene is written with its pictures, so that one sees why, and the exit code says that it is not usable."""
    data = transforms(film, NAMES)
    for frame in data["frames"]:
        frame["transform_matrix"] = (np.array(frame["transform_matrix"]) @ np.diag([1, -1, -1, 1])).tolist()
    write_transforms(recording / "transforms.json", data)
    output = recording.parent / "scene"
    assert main(["import", str(recording), "--output", str(output)]) == 2
    assert "do not meet in space" in capsys.readouterr().err
    assert (output / "import.png").is_file()


def test_frames_that_not_all_have_are_left_out(capsys, recording):
    (recording / "cam2" / "0001.png").unlink()
    output = recording.parent / "scene"
    assert main(["import", str(recording), "--output", str(output)]) == 0
    assert "frames that not every camera has are left out" in capsys.readouterr().err
    assert load_scene(output).frame_ids == (0, 2)


def test_a_full_disk(tmp_path, monkeypatch):
    (tmp_path / "image").write_bytes(bytes(1000))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**5))
    room = Room(tmp_path, 1000)
    for _ in range(11):
        room.wrote(tmp_path / "image")
    with pytest.raises(UserError, match="GB more"):
        room.wrote(tmp_path / "image")


# Calibration files


def message(path, format="auto"):
    with pytest.raises(UserError) as error:
        read_calibration(path, format)
    return str(error.value)


def test_lenses_that_are_not_understood(tmp_path, film):
    write_colmap_binary(tmp_path, film, NAMES, "RAD_TAN_THIN_PRISM_FISHEYE")
    assert "RAD_TAN_THIN_PRISM_FISHEYE" in message(tmp_path)
    for change, what in (
        ({"camera_model": "FISHEYE624"}, "FISHEYE624"),
        ({"k4": 0.1}, "k4"),
        ({"is_fisheye": True, "p1": 0.1}, "a fisheye with p1"),
        ({"is_fisheye": True, "fl_x": None, "camera_angle_x": 1.0}, "without focal length"),
    ):
        write_transforms(tmp_path / "t.json", transforms(film, NAMES) | change)
        assert what in message(tmp_path / "t.json")


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin"])
def test_colmap_files_cut_anywhere(tmp_path, film, name):
    write_colmap_binary(tmp_path, film, NAMES, "OPENCV")
    content = (tmp_path / name).read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / name).write_bytes(content[:length])
        assert name in message(tmp_path)
    (tmp_path / name).write_bytes(content + b"more")
    assert "has data after its end" in message(tmp_path)


def test_colmap_counts_that_lie(tmp_path, film):
    write_colmap_binary(tmp_path, film, NAMES, "PINHOLE")
    content = (tmp_path / "images.bin").read_bytes()
    (tmp_path / "images.bin").write_bytes(struct.pack("<Q", 2**63) + content[8:])
    assert "ends too early" in message(tmp_path)
    points = content[: 8 + 64 + 5] + struct.pack("<Q", 2**62) + content[8 + 64 + 5 + 8 :]
    (tmp_path / "images.bin").write_bytes(points)
    assert "ends too early" in message(tmp_path)
    (tmp_path / "images.bin").write_bytes(content)
    (tmp_path / "cameras.bin").write_bytes(
        struct.pack("<Q", 1) + struct.pack("<IiQQ", 7, 99, 40, 32) + bytes(64)
    )
    assert "number 99" in message(tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "what"),
    [
        ("cameras.txt", "7 PINHOLE forty 32 1 1 1 1\n", "line 1 is not a camera"),
        ("cameras.txt", "7 PINHOLE 40 32 1 1 1\n", "has 3 parameters, not 4"),
        ("cameras.txt", "7 PINHOLE 40 32 nan 1 1 1\n", "parameters"),
        ("cameras.txt", "7 PINHOLE 40 32 0 1 1 1\n", "focal lengths"),
        ("cameras.txt", "8 PINHOLE 40 32 50 50 20 16\n", "is of camera 7"),
        ("images.txt", "# nothing\n", "holds no images"),
        ("images.txt", "1 1 0 0 0 0 0\n", "line 1 is not an image"),
        ("images.txt", "1 0 0 0 0 0 0 0 7 cam0.png\n\n", "has no rotation"),
        ("images.txt", "1 1 0 0 0 nan 0 0 7 cam0.png\n\n", "rotation and translation"),
        ("images.txt", "1 1 0 0 0 0 0 0 7 a.png\n2 1 0 0 0 0 0 0 7 b.png\n", "takes two lines"),
    ],
)
def test_colmap_texts(tmp_path, film, file, text, what):
    write_colmap_text(tmp_path, film, NAMES, "PINHOLE")
    (tmp_path / file).write_text(text)
    assert what in message(tmp_path)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"frames": []}, "holds no frames"),
        ({"frames": [1]}, "no file_path"),
        ({"frames": [{"file_path": "a"}]}, "no transform_matrix"),
        ({"frames": [{"file_path": "a", "transform_matrix": [[1, 2], [3]]}]}, "no transform_matrix"),
        ({"frames": [{"file_path": "a", "transform_matrix": np.zeros((4, 4)).tolist()}]}, "not a rotation"),
        ({"frames": [{"file_path": "a", "transform_matrix": [[10**400] * 4] * 4}]}, "transform_matrix"),
        ({"fl_x": "wide"}, "fl_x"),
        ({"fl_x": -3}, "focal lengths"),
        ({"fl_x": None, "camera_angle_x": 9.0}, "no focal length"),
        ({"w": 10**12}, "w of"),
    ],
)
def test_transforms(tmp_path, film, change, what):
    write_transforms(tmp_path / "transforms.json", transforms(film, NAMES) | change)
    assert what in message(tmp_path)


def test_transforms_that_are_no_json(tmp_path):
    for text in ("{", "[" * 100000, "[]", '"x"', "\x00"):
        (tmp_path / "transforms.json").write_text(text)
        assert "transforms.json" in message(tmp_path)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"camera_matrix": np.zeros((2, 2))}, "camera matrix"),
        ({"distortion_coefficients": np.ones((1, 14))}, "14 numbers"),
        ({"R": 2 * np.eye(3)}, "not a rotation"),
        ({"T": np.zeros((2, 1))}, "rotation and translation"),
    ],
)
def test_opencv(tmp_path, film, change, what):
    matrices = {"camera_matrix": film.K, "distortion_coefficients": np.zeros((1, 5)), "R": film.R[0]}
    matrices |= {"T": film.t[0][:, None]}
    (tmp_path / "cam0.yml").write_text(opencv_yaml(matrices | change))
    assert what in message(tmp_path)


def test_opencv_without_a_pose(tmp_path, film):
    (tmp_path / "cam0.yml").write_text(opencv_yaml({"K": film.K}))
    assert "rotation and translation" in message(tmp_path)
    write_opencv(tmp_path, film, ["cam0"], vectors=False)
    assert len(read_calibration(tmp_path).views) == 1
