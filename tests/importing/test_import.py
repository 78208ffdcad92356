"""`wim-fast import` on tiny recordings in every layout that it reads."""

from __future__ import annotations

import json

import imageio.v3 as iio
import numpy as np
import pytest
from filmed_scene import Film, write_easymocap
from paper_recordings import (
    transforms,
    turned,
    write_colmap_binary,
    write_colmap_text,
    write_flat,
    write_folders,
    write_opencv,
    write_transforms,
    write_videos,
)
from tiny_scene import ring

from wim_fast.cli import main
from wim_fast.recordings.cameras import project
from wim_fast.scene.load import load_scene

pytestmark = pytest.mark.usefixtures("blank_overview")

STRAIGHT = (0.0,) * 5


def make_film(lens=STRAIGHT, *, width=72, height=56, cameras=5, frames=3, up=None, similar=True):
    """Five cameras, and the same as a calibration has them (`rig`): its world is turned, scaled and shifted."""
    film = Film(eyes=ring(cameras, elevation=25.0), frames=frames, width=width, height=height, lens=lens)
    R, scale, shift = np.eye(3) if up is None else up, 37.0, np.array([5.0, -3.0, 11.0])
    film.similarity = (scale, R, shift) if similar else (1.0, np.eye(3), np.zeros(3))
    return film, turned(film, film.similarity[1], film.similarity[0], film.similarity[2])


Y_DOWN = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # film's z up becomes the calibration's -y


def imported(tmp_path, *arguments, crop=False):
    arguments = [*map(str, arguments), *([] if crop else ["--no-crop"])]
    assert main(["import", *arguments, "--output", str(tmp_path / "scene")]) == 0
    scene = load_scene(tmp_path / "scene", coordinate_scale=1.0)
    return scene, json.loads((tmp_path / "scene" / "import.json").read_text())


def check(film, scene, report, *, size=None, overlap=1.0):
    """Corners of the solid fall onto their pixels of the ideal camera, masks are those of the ideal camera."""
    factor = 1.0 if size is None else size / max(film.width, film.height)
    scale, R, shift = film.similarity
    M = np.array(report["T_scene_world"])
    straight = Film(
        eyes=film.eyes, frames=len(film.centers), width=film.width, height=film.height, lens=STRAIGHT
    )
    straight.K = film.K
    for t in range(len(film.centers)):
        corners = film.corners(t)
        in_scene = (scale * corners @ R.T + shift) @ M[:3, :3].T + M[:3, 3]
        pixels, _ = project(scene.cameras, in_scene)
        for v, (r, translation) in enumerate(zip(film.R, film.t, strict=True)):
            drawn = (corners @ r.T + translation) @ film.K.T
            expected = (drawn[:, :2] / drawn[:, 2:] + 0.5) * factor
            assert np.abs(pixels[v] - expected).max() < 0.01
            if size is None:
                ours, theirs = scene.mask[v, t], straight.mask(v, t)
                sure = ours != 2
                union = ((ours == 1) | theirs) & sure
                assert ((ours == 1) & theirs & sure).sum() >= overlap * union.sum()
                seen = scene.rgba[v, t][ours == 1][:, :3].astype(int)
                assert np.abs(np.median(seen, axis=0) - film.color(t)).max() <= 8
    size_in_scene = np.ptp(film.corners(0), axis=0).max() * scale * report["scale"]
    assert 0.8 < size_in_scene < 1.2  # a hull is larger than what is in it
    np.testing.assert_allclose(M[:3, :3] @ R @ [0, 0, 1] / report["scale"], [0, 0, 1], atol=1e-6)


@pytest.mark.parametrize("model", ["PINHOLE", "SIMPLE_PINHOLE"])
@pytest.mark.parametrize("write", [write_colmap_text, write_colmap_binary])
def test_colmap_without_distortion(tmp_path, model, write):
    film, rig = make_film(up=Y_DOWN)
    names = [f"cam{v}" for v in range(5)]
    write_folders(tmp_path / "film", film, names, tmp_path / "film" / "masks")
    write(tmp_path / "film" / "sparse" / "0", rig, [f"{name}/0000.png" for name in names], model)
    scene, report = imported(tmp_path, tmp_path / "film")
    check(film, scene, report)
    assert report["calibration"]["format"] == "colmap"


@pytest.mark.parametrize(
    ("model", "lens"),
    [
        ("SIMPLE_RADIAL", (-0.12, 0, 0, 0, 0)),
        ("RADIAL", (-0.12, 0.05, 0, 0, 0)),
        ("OPENCV", (-0.12, 0.05, 0.004, -0.003, 0)),
        ("FULL_OPENCV", (-0.12, 0.05, 0.004, -0.003, 0.01)),
    ],
)
def test_colmap_lenses(tmp_path, model, lens):
    film, rig = make_film(lens)
    names = [f"{v}" for v in range(5)]
    write_folders(tmp_path / "film", film, names, tmp_path / "masks")
    write_colmap_binary(tmp_path / "model", rig, [f"{name}.png" for name in names], model)
    scene, report = imported(
        tmp_path, tmp_path / "film", "--cameras", tmp_path / "model", "--masks", tmp_path / "masks"
    )
    check(film, scene, report, overlap=0.97)


@pytest.mark.parametrize("each", [False, True])
def test_transforms_and_videos(tmp_path, each):
    film, rig = make_film((-0.1, 0.03, 0.002, -0.001, 0.01), up=Y_DOWN)
    names = [f"camera_{v:02d}" for v in range(5)]
    write_videos(tmp_path / "film", film, names, tmp_path / "masks")
    paths = [f"images/{name}/{{t:05d}}.png" for name in names]
    write_transforms(tmp_path / "t.json", transforms(rig, paths, each=each, frames=3 if each else 1))
    scene, report = imported(
        tmp_path, tmp_path / "film", "--cameras", tmp_path / "t.json", "--masks", tmp_path / "masks"
    )
    check(film, scene, report, overlap=0.95)


def test_field_of_view_alone(tmp_path):
    film, rig = make_film()
    film.K[0, 2], film.K[1, 2] = film.width / 2 - 0.5, film.height / 2 - 0.5
    write_folders(tmp_path / "film", film, [f"v{v}" for v in range(5)], None, alpha=True)
    data = {
        "camera_angle_x": 2 * np.arctan(film.width / 2 / film.K[0, 0]),
        "frames": transforms(rig, [f"./v{v}" for v in range(5)])["frames"],
    }
    write_transforms(tmp_path / "film" / "transforms.json", data)
    scene, report = imported(tmp_path, tmp_path / "film")
    check(film, scene, report)


@pytest.mark.parametrize("vectors", [False, True])
def test_opencv_and_a_flat_folder(tmp_path, vectors):
    film, rig = make_film()
    write_flat(tmp_path / "film", film)
    write_opencv(tmp_path / "cameras", rig, [f"cam{v}" for v in range(5)], vectors=vectors)
    scene, report = imported(
        tmp_path, tmp_path / "film", "--cameras", tmp_path / "cameras", "--masks", "alpha"
    )
    check(film, scene, report)


def test_easymocap_and_smaller_images(tmp_path):
    film, _ = make_film((-0.12, 0.05, 0.004, -0.003, 0.01), similar=False)
    write_easymocap(tmp_path / "film", film)
    scene, report = imported(tmp_path, tmp_path / "film", "--size", "36")
    assert scene.cameras.ids == (1, 2, 3, 4, 5)
    assert scene.size == (28, 36)
    check(film, scene, report, size=36)


def test_frames_and_cameras_are_chosen(tmp_path):
    film, rig = make_film(frames=6)
    write_flat(tmp_path / "film", film)
    write_opencv(tmp_path / "cameras", rig, [f"cam{v}" for v in range(5)], vectors=False)
    scene, _ = imported(
        tmp_path, tmp_path / "film", "--cameras", tmp_path / "cameras", "--frames", "1:6:2", "--without", "3"
    )
    assert scene.frame_ids == (1, 3, 5)
    assert scene.cameras.ids == (0, 1, 2, 4)


def test_the_up_axis_can_be_given(tmp_path):
    film, rig = make_film()
    write_flat(tmp_path / "film", film)
    write_opencv(tmp_path / "cameras", rig, [f"cam{v}" for v in range(5)], vectors=False)
    given = ["--cameras", tmp_path / "cameras", "--up=-y"]
    _, report = imported(tmp_path, tmp_path / "film", *given)
    assert report["notes"] == []
    M = np.array(report["T_scene_world"])[:3, :3] / report["scale"]
    np.testing.assert_allclose(M @ [0, -1, 0], [0, 0, 1], atol=1e-9)


def test_what_it_shows(tmp_path, capsys, monkeypatch):
    monkeypatch.undo()  # of blank_overview
    film, rig = make_film()
    write_flat(tmp_path / "film", film)
    write_opencv(tmp_path / "cameras", rig, [f"cam{v}" for v in range(5)], vectors=False)
    _, report = imported(tmp_path, tmp_path / "film", "--cameras", tmp_path / "cameras")
    assert min(iio.imread(tmp_path / "scene" / "import.png").shape[:2]) > 300
    assert not (tmp_path / "scene" / "work").exists()
    assert report["check"]["ok"]
    output = capsys.readouterr().out
    assert "frames: 3, 0 to 2" in output
    last = output.strip().splitlines()[-1]
    assert last == f"good to train: wim-fast train --scene {tmp_path / 'scene'}"


@pytest.mark.parametrize("lens", [STRAIGHT, (-0.12, 0.05, 0.004, -0.003, 0.01)])
def test_a_window_round_the_object_is_kept(tmp_path, lens):
    """Smaller images of the same pixels: the object is whole in all of them, and the cameras fit."""
    film, rig = make_film(lens, width=200, height=150)
    write_folders(tmp_path / "film", film, [f"cam{v}" for v in range(5)], tmp_path / "film" / "masks")
    write_opencv(tmp_path / "film" / "cameras", rig, [f"cam{v}" for v in range(5)], vectors=False)
    whole, _ = imported(tmp_path / "whole", tmp_path / "film")
    scene, report = imported(tmp_path / "crop", tmp_path / "film", crop=True)
    assert whole.size == (150, 200)
    assert scene.size[0] * scene.size[1] < 0.6 * 150 * 200
    H, W = scene.size
    for v in range(5):
        x, y, x1, y1 = (int(n) for n in report["cameras"][str(v)]["window"])
        assert (x1 - x, y1 - y) == (W, H)
        for t in range(3):
            mask = whole.mask[v, t]
            np.testing.assert_array_equal(scene.mask[v, t], mask[y:y1, x:x1])
            assert (scene.mask[v, t] == 1).sum() == (mask == 1).sum()
            np.testing.assert_array_equal(scene.rgba[v, t], whole.rgba[v, t][y:y1, x:x1])
        K, moved = whole.cameras.intrinsics[v], scene.cameras.intrinsics[v]
        np.testing.assert_allclose(moved[:2, 2], K[:2, 2] - [x, y], atol=1e-6)
        np.testing.assert_allclose(moved[[0, 1], [0, 1]], K[[0, 1], [0, 1]])


def test_a_size_makes_windows_smaller_but_none_larger(tmp_path):
    """Cameras at two distances: the nearer one's window is brought to the size, the farther one's stays."""
    eyes = ring(4, elevation=25.0)
    eyes[3] = eyes[3] * 2.2
    film = Film(eyes=eyes, frames=2, width=240, height=240, lens=STRAIGHT)
    write_folders(tmp_path / "film", film, [f"cam{v}" for v in range(4)], tmp_path / "film" / "masks")
    write_opencv(tmp_path / "film" / "cameras", film, [f"cam{v}" for v in range(4)], vectors=False)
    scene, report = imported(tmp_path, tmp_path / "film", "--size", "90", crop=True)
    assert max(scene.size) == 90
    focal = scene.cameras.intrinsics[:, 0, 0] / film.K[0, 0]
    assert (focal[:3] < 0.95).all()
    assert focal[3] == 1
    assert [report["cameras"][str(v)]["frames_seen"] for v in range(4)] == [2] * 4


def test_the_last_word_names_the_worst(tmp_path, capsys):
    """One of five cameras is turned by 3 degrees, another has masks of one frame only."""
    film, rig = make_film(width=160, height=120, frames=4)
    write_folders(tmp_path / "film", film, [f"cam{v}" for v in range(5)], tmp_path / "film" / "masks")
    for t in range(1, 4):
        iio.imwrite(tmp_path / "film" / "masks" / "cam1" / f"{t:04d}.png", np.zeros((120, 160), np.uint8))
    turn = np.radians(3)
    spin = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    rig.R[3], rig.t[3] = spin @ rig.R[3], spin @ rig.t[3]
    write_opencv(tmp_path / "film" / "cameras", rig, [f"cam{v}" for v in range(5)], vectors=False)
    _, report = imported(tmp_path, tmp_path / "film", crop=True)
    assert "camera 3 disagrees" in report["mend"][0]
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[-1].startswith("mend first: camera 3 disagrees")
    assert "the masks of camera 1 (cam1) are empty in 3 of 4 frames" in lines


def test_cameras_of_two_shapes(tmp_path):
    """Two of five are held upright: what their images do not show is unreliable, and written beside them."""
    film, _ = make_film(frames=2)
    upright = Film(eyes=film.eyes, frames=2, width=film.height, height=film.width, lens=STRAIGHT)
    for v in range(5):
        shot = upright if v > 2 else film
        for t in range(2):
            file = tmp_path / "film" / f"cam{v}" / f"{t}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            rgba = np.concatenate([shot.image(v, t), 255 * shot.mask(v, t).astype(np.uint8)[..., None]], -1)
            iio.imwrite(file, rgba)
    names = [f"cam{v}" for v in range(5)]
    write_opencv(tmp_path / "all", film, names, vectors=False)
    write_opencv(tmp_path / "upright", upright, names, vectors=False)
    for v in (3, 4):
        (tmp_path / "upright" / f"cam{v}.yml").replace(tmp_path / "all" / f"cam{v}.yml")
    scene, report = imported(tmp_path, tmp_path / "film", "--cameras", tmp_path / "all")
    assert scene.size == (72, 72)
    assert sorted(p.name[-7:-4] for p in (tmp_path / "scene").glob("mask_00001_*.png")) == [
        f"{v:03d}" for v in range(5)
    ]
    M = np.array(report["T_scene_world"])
    for v, shot in enumerate([film] * 3 + [upright] * 2):
        beside = slice((72 - shot.width) // 2, (72 + shot.width) // 2)
        above = slice((72 - shot.height) // 2, (72 + shot.height) // 2)
        expected = np.full((72, 72), 2)
        expected[above, beside] = shot.mask(v, 1)
        np.testing.assert_array_equal(scene.mask[v, 1], expected)
        corners = film.corners(1)
        pixels = project(scene.cameras, corners @ M[:3, :3].T + M[:3, 3])[0][v]
        drawn = (corners @ shot.R[v].T + shot.t[v]) @ shot.K.T
        offset = [beside.start + 0.5, above.start + 0.5]
        assert np.abs(pixels - drawn[:, :2] / drawn[:, 2:] - offset).max() < 0.01
