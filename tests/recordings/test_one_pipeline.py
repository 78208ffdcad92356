"""A film is the same scene whichever way it is read: as it lies, imported, and in every layout and calibration."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from filmed_scene import Film, opencv_yaml, write_easymocap, write_neural_body, write_rgbd_dog
from paper_recordings import (
    transforms,
    write_colmap_binary,
    write_folders,
    write_opencv,
    write_transforms,
)
from tiny_run import flags
from tiny_scene import ring, write_scene

from wim_fast.cli import main
from wim_fast.commands import import_recording
from wim_fast.errors import SceneWarning, UserError
from wim_fast.importing.placement import UPS
from wim_fast.importing.scene_folder import plan_import, write_import
from wim_fast.recordings import windows
from wim_fast.recordings.calibration.read import FORMATS
from wim_fast.recordings.cameras import project, turntable, up_axis
from wim_fast.recordings.read import read_recording
from wim_fast.scene.load import load_scene, scan_scene

pytestmark = pytest.mark.usefixtures("blank_overview")

NAMES = [f"cam{v}" for v in range(4)]
STRAIGHT, BROWN = (0.0,) * 5, (0.3, 0.05, 0.004, -0.003, 0.01)
RATIONAL = (0.9, -0.05, 0.004, -0.003, 0.01, 0.2, -0.02, 0.005)  # with k4, k5, k6


def make_film(lens=STRAIGHT, frames=2) -> Film:
    return Film(eyes=ring(4, elevation=25.0), frames=frames, width=60, height=44, lens=lens)


def write_film(path: Path, film: Film) -> Path:
    write_folders(path, film, NAMES, path / "masks")
    return path


def with_colmap(path: Path, film: Film) -> None:
    write_colmap_binary(path / "sparse" / "0", film, [f"{name}/0000.png" for name in NAMES], "FULL_OPENCV")


def with_transforms(path: Path, film: Film) -> None:
    write_transforms(path / "transforms.json", transforms(film, NAMES))


def with_opencv(path: Path, film: Film) -> None:
    write_opencv(path, film, NAMES, vectors=True)


def with_easymocap(path: Path, film: Film, lens=None) -> None:
    lens = np.array([film.lens if lens is None else lens])
    inner = {f"K_{v:02d}": film.K for v in range(4)} | {f"dist_{v:02d}": lens for v in range(4)}
    outer = {f"Rot_{v:02d}": film.R[v] for v in range(4)}
    outer |= {f"T_{v:02d}": film.t[v][:, None] for v in range(4)}
    (path / "intri.yml").write_text(opencv_yaml(inner))
    (path / "extri.yml").write_text(opencv_yaml(outer))


def imported(tmp_path: Path, source: Path, up: str = "auto", **choices: object):
    """The scene that import makes of whole pictures, and its report; without the checks and pictures of the command."""
    output = tmp_path / f"{source.name}-imported"
    write_import(plan_import(source, crop=False, **choices), output, up=up)
    return load_scene(output, coordinate_scale=1.0), json.loads((output / "import.json").read_text())


def pixels(scene):
    """Colours that are there, and masks."""
    rgba = scene.rgba[:]
    rgba[rgba[..., 3] == 0] = 0
    return rgba, scene.mask[:]


def assert_same_images(a, b):
    for ours, theirs in zip(pixels(a), pixels(b), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (a.cameras.ids, a.frame_ids, a.size) == (b.cameras.ids, b.frame_ids, b.size)
    np.testing.assert_allclose(a.cameras.intrinsics, b.cameras.intrinsics, rtol=1e-12)


def assert_placed(scene, placed, report):
    """The same images, and cameras up to the placement."""
    assert_same_images(scene, placed)
    M = np.array(report["T_scene_world"])
    points = np.random.default_rng(0).normal(size=(20, 3)) * 0.3 / report["scale"] * scene.coordinate_scale
    points += np.linalg.solve(M, [0, 0, 0, 1])[:3] - points.mean(0)
    there = project(scene.cameras, points / scene.coordinate_scale)[0]
    np.testing.assert_allclose(project(placed.cameras, points @ M[:3, :3].T + M[:3, 3])[0], there, atol=1e-6)


@pytest.mark.parametrize("longer", [None, 37])
@pytest.mark.parametrize("calibrate", [with_colmap, with_transforms, with_opencv, with_easymocap])
def test_every_calibration_gives_the_same_scene(tmp_path, calibrate, longer):
    film = make_film(BROWN)
    reference = write_film(tmp_path / "reference", film)
    with_colmap(reference, film)
    source = write_film(tmp_path / "film", film)
    calibrate(source, film)
    scene = load_scene(source, size=longer, coordinate_scale=2.0)
    assert (scene.mask[:] == 2).any()  # beyond what the lens has seen
    assert (scene.mask[:] == 1).any()
    same = load_scene(reference, size=longer, coordinate_scale=2.0)
    assert_same_images(scene, same)
    np.testing.assert_allclose(scene.cameras.T_camera_world, same.cameras.T_camera_world, atol=1e-9)
    assert_placed(scene, *imported(tmp_path, source, size=longer))


def test_cameras_in_a_folder_of_their_own_are_found(tmp_path):
    film = make_film()
    source = write_film(tmp_path / "film", film)
    with_easymocap(source, film)
    beside = load_scene(source, coordinate_scale=1.0)
    (source / "cameras").mkdir()
    for file in ("intri.yml", "extri.yml"):
        (source / file).rename(source / "cameras" / file)
    apart = load_scene(source, coordinate_scale=1.0)
    assert_same_images(beside, apart)
    np.testing.assert_array_equal(beside.cameras.T_camera_world, apart.cameras.T_camera_world)


def test_an_imported_scene_knows_what_is_up(tmp_path):
    """Also where its cameras alone would say otherwise."""
    source = write_scene(tmp_path / "scene", frames=2, eyes=ring(4, elevation=25.0)).path
    assert load_scene(source).cameras.up is None
    scene, _ = imported(tmp_path, source, up="x")
    assert scene.cameras.up == (0.0, 0.0, 1.0)
    np.testing.assert_array_equal(up_axis(scene.cameras), [0, 0, 1])
    assert np.abs(up_axis(dataclasses.replace(scene.cameras, up=None)) @ [0, 0, 1]) < 0.1
    circle = turntable(scene.cameras.select([0, 2]).resized(16, 16), np.zeros(3), 5)
    np.testing.assert_allclose(np.ptp(circle.centers[:, 2]), 0, atol=1e-9)


FISHEYE = (0.06, -0.02, 0.008, -0.002)


def fisheye_by_colmap(path: Path, film: Film) -> None:
    write_colmap_binary(path / "sparse" / "0", film, [f"{name}/0000.png" for name in NAMES], "OPENCV_FISHEYE")


def fisheye_by_instant_ngp(path: Path, film: Film) -> None:
    data = transforms(film, NAMES) | {"is_fisheye": True, "p1": 0.0, "p2": 0.0}
    del data["camera_model"]
    write_transforms(path / "transforms.json", data)


def fisheye_by_easymocap(path: Path, film: Film) -> None:
    with_easymocap(path, film)
    text = (path / "intri.yml").read_text()
    (path / "intri.yml").write_text(text.replace("names:", 'distortion_model: "equidistant"\nnames:'))


@pytest.mark.parametrize(
    "calibrate",
    [fisheye_by_colmap, with_transforms, fisheye_by_instant_ngp, with_opencv, fisheye_by_easymocap],
)
def test_film_through_a_fisheye_is_the_same_scene(tmp_path, calibrate):
    """As an ideal camera of the same K films it; what the lens never saw is unreliable."""
    eyes = ring(4, distance=1.6, elevation=25.0)
    film = Film(eyes=eyes, frames=2, width=150, height=110, lens=FISHEYE, fisheye=True)
    straight = Film(eyes=eyes, frames=2, width=150, height=110, lens=STRAIGHT)
    for one in (film, straight):
        one.K[[0, 1], [0, 1]] = 75.0
    source = write_film(tmp_path / "film", film)
    calibrate(source, film)
    scene = load_scene(source, coordinate_scale=1.0)
    for v in range(4):
        for t in range(2):
            sure = scene.mask[v, t] != 2
            assert sure.mean() > 0.9
            ours, bent, ideal = (
                m[sure] for m in (scene.mask[v, t] == 1, film.mask(v, t), straight.mask(v, t))
            )
            assert (ours & ideal).sum() > 0.97 * (ours | ideal).sum()
            assert (bent & ideal).sum() < 0.94 * (bent | ideal).sum()
    assert_placed(scene, *imported(tmp_path, source))


@pytest.mark.parametrize("longer", [None, 37])
def test_a_lens_of_8_coefficients(tmp_path, longer):
    """OpenCV's, EasyMocap's and COLMAP's files of it mean the same, read as they lie and imported."""
    film = make_film()
    scenes = []
    for name in ("opencv", "easymocap", "colmap"):
        source = write_film(tmp_path / name, film)
        if name == "opencv":
            film.lens = RATIONAL
            write_opencv(source, film, NAMES, vectors=False)
            film.lens = STRAIGHT
        elif name == "easymocap":
            with_easymocap(source, film, RATIONAL)
        else:
            with_colmap(source, film)
            file = source / "sparse" / "0" / "cameras.bin"
            numbers = np.frombuffer(file.read_bytes()[-96:], "<f8").copy()
            numbers[4:] = RATIONAL
            file.write_bytes(file.read_bytes()[:-96] + numbers.tobytes())
        scenes.append(load_scene(source, size=longer, coordinate_scale=1.0))
        assert_placed(scenes[-1], *imported(tmp_path, source, size=longer))
        assert_same_images(scenes[-1], scenes[0])
    ideal = write_film(tmp_path / "ideal", film)
    with_opencv(ideal, film)
    straight = load_scene(ideal, size=longer, coordinate_scale=1.0)
    assert (pixels(straight)[1] != pixels(scenes[0])[1]).any()


def test_a_skew_is_undone(tmp_path):
    """Pictures of a sheared camera give the images of a straight one, by both ways."""
    film = make_film()
    film.K[0, 1] = 9.0
    source = tmp_path / "film"
    y, x = np.mgrid[: film.height, : film.width].astype(float)
    v = (y - film.K[1, 2]) / film.K[1, 1]
    u = (x - film.K[0, 2] - 9.0 * v) / film.K[0, 0]
    film.rays = lambda scale=1: np.stack([u, v, np.ones_like(u)], -1)
    write_film(source, film)
    write_opencv(source, film, NAMES, vectors=False)
    scene = load_scene(source, coordinate_scale=1.0)
    assert (scene.cameras.intrinsics[:, 0, 1] == 0).all()
    straight = make_film()
    for camera in range(4):
        sure = scene.mask[camera, 0] != 2
        ours, theirs = scene.mask[camera, 0] == 1, straight.mask(camera, 0)
        assert (ours & theirs & sure).sum() > 0.9 * ((ours | theirs) & sure).sum()
    assert_placed(scene, *imported(tmp_path, source))


def write_raw(path: Path, film: Film) -> Path:
    """The film's RGBA pictures and cameras in the raw layout."""
    path.mkdir()
    for v in range(len(film.eyes)):
        view = np.eye(4)
        view[:3, :3], view[3, :3] = film.R[v].T * [1, -1, -1], film.t[v] * [1, -1, -1]
        inner = {"fx": film.K[0, 0], "fy": film.K[1, 1]}
        inner |= {"cx": film.K[0, 2] + 0.5, "cy": film.K[1, 2] + 0.5}
        camera = {"camera_data": {"intrinsics": inner, "camera_view_matrix": view.tolist()}}
        (path / f"cam_{v:03d}.json").write_text(json.dumps(camera))
        for t in range(len(film.centers)):
            mask = 255 * film.mask(v, t).astype(np.uint8)
            rgba = np.concatenate([film.image(v, t), mask[..., None]], -1)
            iio.imwrite(path / f"frame_{t:05d}_cam_{v:03d}.png", rgba)
    return path


@pytest.mark.parametrize("longer", [None, 30, 37])
def test_raw_is_a_folder_of_pictures_with_alpha(tmp_path, longer):
    film = make_film()
    raw = load_scene(write_raw(tmp_path / "raw", film), size=longer, coordinate_scale=1.0)
    for name, alpha in (("alpha", True), ("masks", False)):
        write_folders(tmp_path / name, film, NAMES, None if alpha else tmp_path / name / "masks", alpha=alpha)
        with_colmap(tmp_path / name, film)
        scene = load_scene(tmp_path / name, size=longer, coordinate_scale=1.0)
        assert_same_images(scene, raw)
        np.testing.assert_allclose(scene.cameras.T_camera_world, raw.cameras.T_camera_world, atol=1e-9)


def test_raw_cameras_calibrate_other_pictures(tmp_path):
    film = make_film()
    raw = load_scene(write_raw(tmp_path / "raw", film), coordinate_scale=1.0)
    scene, report = imported(tmp_path, write_film(tmp_path / "film", film), calibration=tmp_path / "raw")
    assert report["calibration"]["format"] == "raw"
    assert_placed(raw, scene, report)


@pytest.mark.parametrize("longer", [None, 20])
def test_raw_is_imported(tmp_path, longer):
    tiny = write_scene(tmp_path / "raw", frames=3, width=40, solid="ellipsoid")
    scene = load_scene(tiny.path, size=longer, coordinate_scale=1.0)
    placed, report = imported(tmp_path, tiny.path, size=longer)
    assert report["calibration"]["format"] == "raw"
    assert_placed(scene, placed, report)
    M = np.array(report["T_scene_world"])
    truth = scene.ground_truth.points @ M[:3, :3].T + M[:3, 3]
    np.testing.assert_allclose(placed.ground_truth.points, truth, atol=1e-5)
    assert placed.ground_truth.joints.shape == scene.ground_truth.joints.shape


def test_cache_pickle_is_imported(tmp_path):
    pytest.importorskip("blosc")
    import pickle

    import blosc

    raw = load_scene(write_scene(tmp_path / "raw", frames=2, width=40).path, coordinate_scale=1.0)
    rows = [(v, t) for v in range(4) for t in range(2)]
    images, masks = np.empty(8, object), np.empty(8, object)
    for k, (v, t) in enumerate(rows):
        images[k] = blosc.pack_array(np.ascontiguousarray(raw.rgba[v, t][..., :3].transpose(2, 0, 1)))
        mask = raw.mask[v, t].copy()
        mask[:3, :3] = 2
        masks[k] = blosc.pack_array(mask)
    T = raw.cameras.T_camera_world[[v for v, _ in rows]]
    cache = {"camera_id": np.array([v for v, _ in rows]), "frame_id": np.array([t for _, t in rows])}
    cache |= {"img": images, "mask": masks, "camera_intrinsic": raw.cameras.intrinsics[cache["camera_id"]]}
    cache |= {"camera_rotation": T[:, :3, :3], "camera_translation": T[:, :3, 3:]}
    (tmp_path / "cached").mkdir()
    (tmp_path / "cached" / "cache.pickle").write_bytes(pickle.dumps(cache, 4))
    scene = load_scene(tmp_path / "cached", coordinate_scale=1.0)
    assert (scene.mask[:, :, :3, :3] == 2).all()
    assert_placed(scene, *imported(tmp_path, tmp_path / "cached"))


def test_the_papers_people_and_dog_are_imported(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "LEAST_SQUARE", 40)
    film = make_film(BROWN)
    zju = load_scene(write_easymocap(tmp_path / "zju", film), coordinate_scale=1.0)
    assert_placed(zju, *imported(tmp_path, tmp_path / "zju"))
    body = write_neural_body(tmp_path / "body", film)
    with pytest.warns(SceneWarning, match="SMPL"):
        scene = load_scene(body, coordinate_scale=1.0)
    placed, report = imported(tmp_path, body)
    assert_placed(scene, placed, report)
    assert placed.ground_truth.points.shape == scene.ground_truth.points.shape
    large = Film(eyes=ring(3), frames=2, width=96, height=64, unit=1000.0)
    dog = write_rgbd_dog(tmp_path / "dog", large)
    assert_placed(load_scene(dog, coordinate_scale=1000.0), *imported(tmp_path, dog))


def test_the_command_imports_a_raw_scene(tmp_path, capsys):
    tiny = write_scene(tmp_path / "raw", frames=2, width=40)
    assert main(["import", str(tiny.path), "--without", "1"]) == 0
    assert load_scene(tmp_path / "raw-scene").cameras.ids == (0, 2, 3)
    assert "wim-fast train --scene" in capsys.readouterr().out


def test_the_flags_know_what_there_is():
    assert set(import_recording.FORMATS) == {"auto", *FORMATS}
    assert import_recording.UPS == UPS


def test_flags_that_make_no_sense_are_refused(tmp_path, capsys):
    tiny = write_scene(tmp_path / "raw", frames=2)
    for flag, value in (
        ("--masks", "alpha"),
        ("--cameras", tiny.path),
        ("--empty", tiny.path),
        ("--format", "raw"),
    ):
        assert main(["import", str(tiny.path), "--output", str(tmp_path / "out"), flag, str(value)]) == 2
        assert f"{flag} makes no sense" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="no camera 9 to leave out"):
        read_recording(tiny.path, without=[9])


def test_easymocaps_layout_takes_other_masks(tmp_path):
    film = make_film()
    write_easymocap(tmp_path / "zju", film)
    (tmp_path / "zju" / "masks").rename(tmp_path / "mine")
    _, report = imported(tmp_path, tmp_path / "zju", masks=str(tmp_path / "mine"))
    assert report["masks"] == f"masks in {tmp_path / 'mine'}"
    assert sorted(report["cameras"]) == ["1", "2", "3", "4"]


def test_frames_that_a_raw_scene_lacks_are_left_out_of_the_import(tmp_path):
    tiny = write_scene(tmp_path / "raw", frames=3)
    tiny.image(1, 2).unlink()
    with pytest.raises(UserError, match="frame 1 of camera 2 is missing"):
        load_scene(tiny.path)
    with pytest.warns(SceneWarning, match="not every camera has"):
        assert read_recording(tiny.path).in_step().frame_ids == (0, 2)
    with pytest.warns(SceneWarning, match="not every camera has"):
        scene, _ = imported(tmp_path, tiny.path)
    assert scene.frame_ids == (0, 2)
    assert len(scene.ground_truth.joints) == 2


def test_nothing_is_decoded_before_it_is_asked_for(tmp_path, monkeypatch):
    film = make_film()
    source = write_film(tmp_path / "film", film)
    with_colmap(source, film)
    for file in source.rglob("*.png"):
        file.write_bytes(b"no picture")
    recording = read_recording(source)
    assert recording.camera_ids == (0, 1, 2, 3)
    assert scan_scene(source, 1.0).frame_ids == (0, 1)
    with pytest.raises(UserError, match="cannot be read as an image"):
        recording.framing()


def test_a_folder_with_a_colmap_model_is_trained_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    film = make_film((-0.12, 0.05, 0.004, -0.003, 0.01), frames=5)
    source = write_film(tmp_path / "film", film)
    with_colmap(source, film)
    (source / NAMES[1] / "0004.png").unlink()
    assert main(["train", "--scene", str(source), *flags(iterations=4)]) == 0
    assert (tmp_path / "runs" / "film_1" / "evaluation.json").is_file()
    assert capsys.readouterr().err.count("frames that not every camera has are left out") == 1
    extent = 2 * 0.5 / load_scene(source).coordinate_scale
    assert 0.8 < extent < 1.25  # placed by nobody, scaled as other scenes are
