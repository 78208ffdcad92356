"""A long recording is decoded once, and what was kept of it is never trusted."""

import errno
import json
import os

import numpy as np
import pytest
from tiny_scene import ring, write_scene

from wim_fast.errors import UserError
from wim_fast.recordings import pictures
from wim_fast.recordings.read import read_recording
from wim_fast.scene import pixel_cache
from wim_fast.scene.load import load_scene, scene_of


@pytest.fixture
def recording(tmp_path, monkeypatch):
    """Every recording is long enough to be kept."""
    monkeypatch.setenv("WIM_FAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pixel_cache.read_through, "__kwdefaults__", {"least_bytes": 1})
    tiny = write_scene(tmp_path / "scene", frames=3, eyes=ring(3), width=40)
    np.savez(tiny.path / "gt.npz", joints=np.zeros((3, 2, 3)), points=np.ones((3, 5, 3)))
    return tiny.path


@pytest.fixture
def decoded(monkeypatch):
    """Counts how often the images are decoded."""
    calls = []
    read_rgba = pictures.read_rgba
    monkeypatch.setattr(pictures, "read_rgba", lambda file: (calls.append(file), read_rgba(file))[1])
    return calls


def entries(recording):
    return sorted((recording.parent / "cache").iterdir())


def assert_same(a, b):
    np.testing.assert_array_equal(a.rgba, b.rgba)
    np.testing.assert_array_equal(a.mask, b.mask)
    np.testing.assert_array_equal(a.footage.counts, b.footage.counts)
    np.testing.assert_array_equal(a.cameras.intrinsics, b.cameras.intrinsics)
    np.testing.assert_array_equal(a.cameras.T_camera_world, b.cameras.T_camera_world)
    np.testing.assert_array_equal(a.ground_truth.joints, b.ground_truth.joints)
    np.testing.assert_array_equal(a.ground_truth.points, b.ground_truth.points)
    assert (a.name, a.path, a.cameras.ids, a.frame_ids) == (b.name, b.path, b.cameras.ids, b.frame_ids)
    assert (a.size, a.coordinate_scale, a.cameras.up) == (b.size, b.coordinate_scale, b.cameras.up)


@pytest.mark.parametrize("imported", [False, True])  # its up is known
def test_decoded_once(recording, decoded, imported):
    if imported:
        (recording / "import.json").write_text("{}")
    plain = scene_of(read_recording(recording), size=20)
    decoded.clear()
    first = load_scene(recording, size=20, coordinate_scale=1.0)
    assert len(decoded) >= 9
    decoded.clear()
    second = load_scene(recording, size=20, coordinate_scale=1.0)
    assert not decoded
    for scene in (first, second):
        assert_same(scene, plain)
    assert len(entries(recording)) == 1


def test_each_request_has_its_own(recording):
    whole = load_scene(recording, coordinate_scale=2.0)
    for _ in range(2):
        some = load_scene(recording, cameras=[2, 0], frames="1:", coordinate_scale=2.0)
        assert_same(some, whole.select([2, 0], slice(1, None)))
        numbered = load_scene(recording, frames=[np.int64(2), 0], coordinate_scale=2.0)
        np.testing.assert_array_equal(numbered.mask[:, 0], whole.mask[:, 2])
    assert len(entries(recording)) == 3


def test_changed_files_are_read_again(recording, decoded):
    load_scene(recording, coordinate_scale=1.0)
    image = recording / "frame_00001_cam_001.png"
    image.write_bytes((recording / "frame_00000_cam_002.png").read_bytes())
    changed = load_scene(recording, coordinate_scale=1.0)
    np.testing.assert_array_equal(changed.rgba[1, 1], changed.rgba[2, 0])
    calibration = recording / "cam_002.json"
    data = json.loads(calibration.read_text())
    data["camera_data"]["intrinsics"]["fx"] *= 2
    calibration.write_text(json.dumps(data))
    twice = load_scene(recording, coordinate_scale=1.0).cameras.intrinsics[2, 0, 0]
    assert twice == pytest.approx(2 * changed.cameras.intrinsics[2, 0, 0])
    (recording / "gt.npz").unlink()
    assert load_scene(recording, coordinate_scale=1.0).ground_truth is None
    assert len(entries(recording)) == 1
    decoded.clear()
    load_scene(recording, coordinate_scale=1.0)
    assert not decoded


@pytest.mark.parametrize("name", ["rgba.tiles", "mask.tiles", "scene.npz", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "empty"])
def test_damaged_entries_are_made_anew(recording, decoded, name, damage):
    plain = load_scene(recording, coordinate_scale=1.0)
    plain = plain.rgba[:], plain.mask[:]
    (entry,) = entries(recording)
    content = bytearray((entry / name).read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 0x55
    if damage == "cut":
        del content[len(content) // 2 :]
    (entry / name).write_bytes(b"" if damage == "empty" else content)
    if damage == "gone":
        (entry / name).unlink()
    for again in (True, False):
        decoded.clear()
        scene = load_scene(recording, coordinate_scale=1.0)
        assert bool(decoded) == again
        np.testing.assert_array_equal(scene.rgba, plain[0])
        np.testing.assert_array_equal(scene.mask, plain[1])


def test_nothing_is_left_of_a_failure(recording):
    """Neither of an image that cannot be read, nor of a disk that is full."""
    (recording / "frame_00002_cam_002.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="frame_00002_cam_002"):
        load_scene(recording)
    assert not entries(recording)


def test_full_disk(recording, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pixel_cache.FootageBuilder, "put", full)
    with pytest.raises(UserError, match="disk is full") as error:
        load_scene(recording)
    assert "WIM_FAST_CACHE" in str(error.value)
    assert not entries(recording)


def test_a_folder_that_cannot_be_made(recording, monkeypatch):
    file = recording.parent / "file"
    file.touch()
    monkeypatch.setenv("WIM_FAST_CACHE", str(file))
    with pytest.raises(UserError, match="cannot be written to"):
        load_scene(recording)


def test_attempts_that_died_are_removed(recording):
    load_scene(recording, coordinate_scale=1.0)
    (entry,) = entries(recording)
    dead, living = (entry.parent / f".{entry.name}-{name}" for name in ("dead", "living"))
    for folder in (dead, living):
        folder.mkdir()
        (folder / "rgba.tiles").write_bytes(b"x")
    os.utime(dead / "rgba.tiles", (0, 0))
    (entry / "manifest.json").unlink()
    load_scene(recording, coordinate_scale=1.0)
    assert entries(recording) == [living, entry]


def test_small_recordings_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("WIM_FAST_CACHE", str(tmp_path / "cache"))
    load_scene(write_scene(tmp_path / "scene", frames=2).path)
    assert not (tmp_path / "cache").exists()


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.delenv("WIM_FAST_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert pixel_cache.cache_folder() == tmp_path / "wim-fast"
