"""Every line of bad input: one message with the file, what is wrong and what to do."""

import json
import os
import struct
import zlib
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from tiny_scene import TinyScene, write_scene

from wim_fast.cli import main
from wim_fast.errors import UserError
from wim_fast.scene.load import check_trainable, load_scene


@pytest.fixture
def tiny(tmp_path) -> TinyScene:
    return write_scene(tmp_path / "tiny", frames=3, width=24)


def failure(path, **options) -> UserError:
    with pytest.raises(UserError) as caught:
        load_scene(path, **options)
    error = caught.value
    text = str(error)
    assert "\n" not in text
    assert text == text.strip()
    assert ".." not in text
    assert text.endswith((".", "?", "!"))
    assert error.remedy
    return error


def change_camera(tiny: TinyScene, camera: int, change) -> str:
    file = tiny.camera(camera)
    data = json.loads(file.read_text())
    change(data["camera_data"])
    file.write_text(json.dumps(data))
    return str(file)


def test_no_such_scene(tmp_path):
    error = failure("no-such-scene")
    assert "no-such-scene: there is no such scene" in str(error)
    assert "ships with wim-fast" in error.remedy
    assert "is a file" in str(failure(__file__))
    failure("")


def test_no_images(tmp_path):
    assert "there are no images" in str(failure(tmp_path))
    (tmp_path / "cam_000.json").write_text("{}")
    (tmp_path / "picture.png").write_bytes(b"")
    assert "frame_00000_cam_000.png" in failure(tmp_path).remedy


def test_camera_without_images(tiny):
    for t in range(3):
        tiny.image(t, 2).unlink()
    error = failure(tiny.path)
    assert error.where == tiny.camera(2)
    assert "camera 2 has no images" in str(error)


def test_images_without_camera(tiny):
    tiny.camera(1).unlink()
    error = failure(tiny.path)
    assert error.where == tiny.camera(1)
    assert "no calibration" in str(error)


def test_missing_frame(tiny):
    tiny.image(1, 3).unlink()
    error = failure(tiny.path)
    assert error.where == tiny.image(1, 3)
    assert "frame 1 of camera 3 is missing" in str(error)
    assert "--allow-missing" in error.remedy
    tiny.image(2, 0).unlink()
    assert "is missing, and 1 more" in str(failure(tiny.path))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
def test_truncated_image(tiny, share):
    file = tiny.image(2, 1)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    error = failure(tiny.path)
    assert error.where == file
    assert "the image is truncated" in str(error)


def test_not_an_image(tiny):
    tiny.image(0, 0).write_text("hello")
    assert failure(tiny.path).where == tiny.image(0, 0)
    content = bytearray(tiny.image(1, 1).read_bytes())
    content[4] ^= 0xFF
    tiny.image(0, 0).write_bytes(content)
    assert "cannot be read as an image" in str(failure(tiny.path))


def test_image_without_alpha(tiny):
    iio.imwrite(tiny.image(0, 2), np.zeros((24, 24, 3), np.uint8))
    error = failure(tiny.path)
    assert error.where == tiny.image(0, 2)
    assert "no alpha channel" in str(error)


def test_sizes_that_differ(tiny):
    iio.imwrite(tiny.image(1, 2), np.zeros((24, 20, 4), np.uint8))
    error = failure(tiny.path)
    assert error.where == tiny.image(1, 2)
    assert "is 20 x 24 pixels" in str(error)
    assert "24 x 24" in str(error)


def test_masks_that_are_all_empty(tiny):
    for t in range(3):
        for v in range(4):
            iio.imwrite(tiny.image(t, v), np.zeros((24, 24, 4), np.uint8))
    assert "all masks are empty" in str(failure(tiny.path))
    scene = load_scene(tiny.path, coordinate_scale=1.0)
    with pytest.raises(UserError, match="all masks are empty"):
        check_trainable(scene)


def test_masks_that_do_not_meet(tiny):
    flipped = [np.flipud(iio.imread(tiny.image(0, v))) for v in range(4)]
    for v in (0, 1):
        moved = np.zeros_like(flipped[v])
        moved[-3:] = (9, 9, 9, 255)
        moved[:, :5] = moved[:, -5:] = 0
        moved[-1] = 0
        iio.imwrite(tiny.image(0, v), moved)
    assert "do not meet" in str(failure(tiny.path))


def set_matrix(i, j, value):
    def change(camera):
        camera["camera_view_matrix"][i][j] = value

    return change


def transpose(camera):
    camera["camera_view_matrix"] = np.array(camera["camera_view_matrix"]).T.tolist()


def scale(camera):
    M = np.array(camera["camera_view_matrix"])
    M[:3, :3] *= 2
    camera["camera_view_matrix"] = M.tolist()


def mirror(camera):
    M = np.array(camera["camera_view_matrix"])
    M[:, 0] *= -1
    camera["camera_view_matrix"] = M.tolist()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (set_matrix(0, 1, float("nan")), "is not valid JSON"),
        (set_matrix(3, 2, float("inf")), "is not valid JSON"),
        (lambda c: c["intrinsics"].update(fx=float("nan")), "is not valid JSON"),
        (lambda c: c["intrinsics"].update(fy=-3), "focal lengths"),
        (set_matrix(0, 0, 0.5), "not a rotation"),
        (scale, "not a rotation"),
        (mirror, "not a rotation"),
        (transpose, "last column"),
        (lambda c: c.pop("camera_view_matrix"), "camera_view_matrix is missing"),
        (lambda c: c["intrinsics"].pop("cx"), "cx is missing"),
        (lambda c: c.update(camera_view_matrix=[[1, 2], [3, 4]]), "2 x 2"),
        (lambda c: c.update(camera_view_matrix=[[1, 2], [3]]), "cannot be read as a camera"),
        (lambda c: c.update(camera_view_matrix="x"), "cannot be read as a camera"),
        (lambda c: c.update(intrinsics=None), "cannot be read as a camera"),
        (lambda c: c["intrinsics"].update(fx="wide"), "cannot be read as a camera"),
        (lambda c: c["intrinsics"].update(fx=10**400), "cannot be read as a camera"),
    ],
)
def test_bad_camera(tiny, change, problem):
    file = change_camera(tiny, 2, change)
    error = failure(tiny.path)
    assert str(error.where) == file
    assert problem in str(error)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00"])
def test_malformed_camera(tiny, text):
    tiny.camera(0).write_text(text)
    assert failure(tiny.path).where == tiny.camera(0)


def test_one_frame(tmp_path):
    scene = load_scene(write_scene(tmp_path, frames=1).path)
    with pytest.raises(UserError, match="only one frame, so nothing moves"):
        check_trainable(scene)


def test_selection_that_is_not_there(tiny):
    error = failure(tiny.path, cameras=(0, 7, 9))
    assert "no camera 7, 9" in str(error)
    assert "choose from 0, 1, 2, 3" in str(error).lower()
    assert "twice" in str(failure(tiny.path, cameras=(1, 1)))
    assert "no camera was asked for" in str(failure(tiny.path, cameras=()))
    assert "not a range of frames" in str(failure(tiny.path, frames="first ten"))
    assert "no frames are left of its 3" in str(failure(tiny.path, frames="5:9"))
    with pytest.raises(UserError, match="no camera 7"):
        load_scene(tiny.path).select((7,))


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"joints": np.zeros((2, 5, 3))}, "joints has 2 frames, the folder has 3"),
        ({"joints": np.zeros((3, 5, 2))}, "shape (3, 5, 2)"),
        ({"points": np.zeros((3, 3))}, "shape (3, 3)"),
        ({"points": np.full((3, 5, 3), np.nan)}, "not finite"),
        ({"other": np.zeros(3)}, "neither joints nor points"),
        ({"joints": np.array([{"a": 1}] * 3, dtype=object)}, "cannot be read"),
        ({"joints": np.full((3, 1, 3), "x")}, "joints is"),
    ],
)
def test_bad_truth(tiny, arrays, problem):
    np.savez(tiny.path / "gt.npz", **arrays)
    error = failure(tiny.path)
    assert error.where == tiny.path / "gt.npz"
    assert problem in str(error)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04broken"])
def test_malformed_truth(tiny, content):
    (tiny.path / "gt.npz").write_bytes(content)
    assert "cannot be read" in str(failure(tiny.path))


def test_truncated_truth(tiny):
    file = tiny.path / "gt.npz"
    file.write_bytes(file.read_bytes()[:-40])
    assert failure(tiny.path).where == file
    np.save(tiny.path / "array.npy", np.zeros(3))
    (tiny.path / "array.npy").rename(file)
    assert failure(tiny.path).where == file


def too_large(file: Path, side: int) -> None:
    """The head of a PNG whose rows nobody will read."""
    head = struct.pack(">4sIIBBBBB", b"IHDR", side, side, 8, 6, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 1 << 10) + b"IDAT" + bytes(1 << 10) + b"IEND"
    )


@pytest.mark.parametrize(
    ("put", "words"),
    [
        (lambda file: file.symlink_to(file.name), "is a link that leads to itself"),
        (lambda file: file.mkdir(), "is a folder, not a file"),
        (lambda file: os.mkfifo(file), "is a pipe, not a file"),
        (lambda file: file.symlink_to("/dev/zero"), "is a device, not a file"),
        (lambda file: too_large(file, 9000), "has 9000 x 9000 pixels, too many"),
        (lambda file: too_large(file, 60_000), "would unpack to far too many pixels"),
    ],
    ids=["loop", "folder", "pipe", "device", "large", "bomb"],
)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a POSIX system")
def test_what_is_no_picture_is_called_by_its_name(tiny, tmp_path, capsys, put, words):
    """Alike in `train` and in `import`, and without waiting for a pipe or unpacking anything."""
    file = tiny.image(1, 2)
    file.unlink()
    put(file)
    output = ["--output", str(tmp_path / "never")]
    for command in (["train", "--scene", str(tiny.path)], ["import", str(tiny.path)]):
        assert main([*command, *output]) == 2
        assert capsys.readouterr().err.count(f"{file}: {words}") == 1


def test_a_folder_that_leads_to_itself(tmp_path, capsys):
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    for command in (["train", "--scene", str(loop)], ["import", str(loop)]):
        assert main([*command, "--output", str(tmp_path / "never")]) == 2
        assert f"{loop}: is a link that leads to itself" in capsys.readouterr().err
