"""Cameras that are right, and cameras that are wrong in ways known here, seeing solids that are ray-traced here."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.spatial.transform import Rotation
from tiny_scene import ring, trace, write_scene

from wim_fast.importing.checks.check import check_calibration
from wim_fast.importing.tables import calibration_table
from wim_fast.recordings.cameras import Cameras
from wim_fast.scene.footage import Footage
from wim_fast.scene.load import load_scene
from wim_fast.scene.scene import Scene

SIZE, FOCAL = 96, 130.0
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def parts_at(t):
    """Centres (3, 3) and half axes of a solid without any symmetry, whose parts move at different speeds."""
    a = 0.35 * t
    return np.array(
        [
            [[0.3 * np.cos(0.5 * a), 0.25 * np.sin(a), 0.0], [0.35, 0.2, 0.25]],
            [[0.5 + 0.25 * np.sin(a), 0.35, 0.35 * np.cos(a)], [0.3, 0.1, 0.12]],
            [[-0.2, -0.55 + 0.2 * np.cos(a), 0.3 - 0.2 * np.sin(a)], [0.1, 0.25, 0.15]],
        ]
    )


def footage(mask):
    return Footage.from_arrays(np.repeat(255 * (mask == 1), 4).reshape(*mask.shape, 4).astype(np.uint8), mask)


def make_scene(eyes, frames=range(6), center=None, size=SIZE, still=()):
    """Filmed by cameras whose images are `size` pixels wide; `center` (2,): where the optical axes meet them;
    `still`: parts that do not move."""
    eyes = np.asarray(eyes, float)
    center = np.array([size / 2, size / 2]) if center is None else np.asarray(center, float)
    focal = FOCAL * size / SIZE
    K = np.array([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1.0]])
    x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    in_camera = np.stack([(x - center[0]) / focal, (y - center[1]) / focal, np.ones_like(x)], -1)
    T = np.tile(np.eye(4), (len(eyes), 1, 1))
    mask = np.zeros((len(eyes), len(frames), size, size), np.uint8)
    for v, eye in enumerate(eyes):
        forward = np.array([0.1, 0, 0.1]) - eye
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        T[v, :3, :3] = [right, np.cross(forward, right), forward]
        T[v, :3, 3] = -T[v, :3, :3] @ eye
        rays = in_camera @ T[v, :3, :3]
        for t, moment in enumerate(frames):
            parts = parts_at(moment)
            parts[list(still)] = parts_at(3)[list(still)]
            for middle, half in parts:
                mask[v, t] |= trace(eye, rays, middle, half, "ellipsoid").astype(np.uint8)
    cameras = Cameras(tuple(range(len(eyes))), np.tile(K, (len(eyes), 1, 1)), T, size, size)
    return Scene("solid", Path("solid"), cameras, tuple(range(len(frames))), footage(mask), 1.0, None)


@pytest.fixture(scope="module")
def seven():
    eyes = ring(7, elevation=20)
    eyes[::2] = ring(7, elevation=50)[::2]
    return make_scene(eyes, frames=range(10))


def with_cameras(scene, **changed):
    return dataclasses.replace(scene, cameras=dataclasses.replace(scene.cameras, **changed))


def with_poses(scene, change, which):
    T = scene.cameras.T_camera_world.copy()
    for v in which:
        T[v] = change(T[v])
    return with_cameras(scene, T_camera_world=T)


def turned(pixels, direction):
    """Turns a camera so that the middle of its image moves by so many pixels."""
    x, y = pixels * np.cos(direction), pixels * np.sin(direction)
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec(np.array([-y, x, 0]) / FOCAL).as_matrix()
    return lambda T: turn @ T


def with_masks(scene, mask):
    return dataclasses.replace(scene, footage=footage(mask))


def blamed(report):
    return [one.camera for one in report.cameras if not one.agrees]


def check(scene):
    return check_calibration(scene, range(scene.num_frames))


def test_right_cameras_agree(seven):
    report = check(seven)
    assert report.ok
    assert blamed(report) == []
    assert max(one.epipolar_px for one in report.cameras) < 0.7
    assert max(one.hull_px for one in report.cameras) < 1
    assert min(one.explained for one in report.cameras) > 0.98
    (sentence,) = report.verdicts
    assert re.fullmatch(r"all 7 cameras agree within 0\.\d+ px", sentence)


@pytest.mark.parametrize("solid", ["box", "ellipsoid"])
def test_solids_read_from_files_agree(tmp_path, solid):
    write_scene(tmp_path, eyes=ring(6), width=96, solid=solid, half=(0.3, 0.4, 0.5))
    report = check(load_scene(tmp_path, coordinate_scale=1.0))
    assert report.ok
    assert max(one.epipolar_px for one in report.cameras) < 1
    assert len(report.frames) == 3


@pytest.mark.parametrize("pixels", [2.5, 6, 15])
@pytest.mark.parametrize("direction", [0.3, 2.0])
def test_a_turned_camera_is_named_with_its_pixels(seven, pixels, direction):
    report = check(with_poses(seven, turned(pixels, direction), [3]))
    assert not report.ok
    assert blamed(report) == [3]
    assert report.cameras[3].epipolar_px == pytest.approx(pixels, rel=0.15, abs=0.5)
    assert max(one.epipolar_px for one in report.cameras if one.camera != 3) < 1
    assert report.cameras[3].hull_px > 0.3 * pixels
    (sentence,) = report.verdicts
    assert sentence.startswith("camera 3 disagrees with the others by ")
    assert "turned after the calibration" in sentence
    x, y = report.cameras[3].shift_px
    # A camera that turns right (the image's content moves left) is mended by moving the image right.
    np.testing.assert_allclose([x, y], [pixels * np.cos(direction), pixels * np.sin(direction)],
                               atol=0.15 * pixels + 0.5)  # fmt: skip


def test_two_turned_cameras_are_both_named(seven):
    wrong = with_poses(with_poses(seven, turned(9, 1.0), [1]), turned(6, -2.0), [5])
    report = check(wrong)
    assert blamed(report) == [1, 5]
    assert [text.split()[1] for text in report.verdicts] == ["1", "5"]  # the worst first
    assert report.cameras[1].epipolar_px == pytest.approx(9, rel=0.25)
    assert report.cameras[5].epipolar_px == pytest.approx(6, rel=0.25)


def test_one_of_three_cameras(seven):
    wrong = with_poses(seven, turned(8, 0.8), [2]).select([0, 2, 4])
    assert blamed(check(wrong)) == [2]


POSE_MISTAKES = [
    (np.linalg.inv, "looks inverted (camera to world"),
    (lambda T: FLIP @ T, "look like OpenGL's"),
    (lambda T: np.linalg.inv(FLIP @ T), "camera to world with OpenGL's axes"),
]


@pytest.mark.parametrize(("mistake", "words"), POSE_MISTAKES)
def test_a_mistaken_pose_of_one_camera_is_recognised(seven, mistake, words):
    report = check(with_poses(seven, mistake, [2]))
    assert blamed(report) == [2]
    assert words in report.verdicts[0]


@pytest.mark.parametrize(("mistake", "words"), POSE_MISTAKES)
def test_a_mistake_of_all_cameras_is_recognised(seven, mistake, words):
    report = check(with_poses(seven, mistake, range(7)))
    assert not report.ok
    (sentence,) = report.verdicts
    assert sentence.startswith("most of the 7 cameras disagree with each other")
    assert words in sentence


def test_a_mistake_of_all_and_another_of_one(seven):
    report = check(with_poses(with_poses(seven, turned(10, 1.0), [4]), np.linalg.inv, range(7)))
    first, second = report.verdicts
    assert "looks inverted" in first
    assert second.startswith("once that is mended, camera 4 disagrees with the others by ")


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize("which", [[5], list(range(7))])
def test_images_of_another_size_are_recognised(seven, factor, which):
    K = seven.cameras.intrinsics.copy()
    K[which, :2] *= factor
    report = check(with_cameras(seven, intrinsics=K))
    assert not report.ok
    assert len(report.verdicts) == 1
    assert "images seem to have another size" in report.verdicts[0]
    assert (
        f"multiply fx, fy, cx and cy by {1 / factor:g}" in report.verdicts[0]
        or "cx is half" in report.verdicts[0]
    )


@pytest.mark.parametrize("lag", [2, -1, 4])
def test_images_out_of_step_are_recognised(lag):
    """Frame t of camera 3 shows what the others show at t - lag."""
    eyes = ring(6, elevation=35)
    scene, late = make_scene(eyes, range(12)), make_scene(eyes[[3]], range(-lag, 12 - lag))
    mask = scene.mask[:]
    mask[3] = late.mask[0]
    report = check(with_masks(scene, mask))
    assert blamed(report) == [3]
    word = f"it seems {abs(lag)} frame{'s' if abs(lag) > 1 else ''} {'late' if lag > 0 else 'early'}"
    assert word in report.verdicts[0]


def test_a_late_camera_is_found_where_little_moves():
    """Two of three parts stand still, so most tangents agree."""
    scene = make_scene(ring(6, elevation=35), range(12), still=[0, 1])
    assert check(scene).ok
    mask = scene.mask[:]
    late = mask.copy()
    late[2, 2:] = mask[2, :-2]
    report = check(with_masks(scene, late))
    assert blamed(report) == [2]
    assert "it seems 2 frames late" in report.verdicts[0]


def test_exchanged_calibrations_are_recognised(seven):
    T = seven.cameras.T_camera_world.copy()
    T[[1, 4]] = T[[4, 1]]
    report = check(with_cameras(seven, T_camera_world=T))
    assert blamed(report) == [1, 4]
    joined = " ".join(report.verdicts)
    assert "fit the calibration of camera 1" in joined
    assert "fit the calibration of camera 4" in joined


def test_chaos_is_said_to_be_chaos(seven):
    rng = np.random.default_rng(0)
    wrong = seven
    for v in range(7):
        wrong = with_poses(wrong, turned(rng.uniform(8, 20), rng.uniform(0, 6)), [v])
    report = check(wrong)
    assert not report.ok
    assert "no single mistake explains it" in report.verdicts[0]


def test_an_object_that_is_cut_off_is_no_mistake():
    """Its left third is out of the images."""
    scene = make_scene(ring(6, elevation=25), center=(22, 48))
    assert (scene.mask[:][:, :, :, 0] == 1).any(axis=(1, 2)).sum() >= 4
    report = check(scene)
    assert report.ok, report.verdicts
    wrong = check(with_poses(scene, turned(8, 1.2), [2]))
    assert blamed(wrong) == [2]


@pytest.mark.parametrize("shown", [1, 2])
def test_unreliable_pixels_are_no_mistake(seven, shown):
    """Something stands before the object and hides a part of it, to one side, in some cameras."""
    mask = seven.mask[:]
    for v in (0, 3, 5)[: shown + 1]:
        for t in range(seven.num_frames):
            columns = np.flatnonzero(mask[v, t].any(0))
            mask[v, t][:, : columns[len(columns) // 4]] = 2
    report = check(with_masks(seven, mask))
    assert report.ok, report.verdicts


def test_specks_do_not_matter(seven):
    mask = seven.mask[:]
    mask[:, :, 3, 3] = mask[:, :, 90, 80] = 1
    assert check(with_masks(seven, mask)).ok


def test_a_bystander_in_one_cameras_masks(seven):
    """Inside of the object's own width, so that tangents hardly tell."""
    mask = seven.mask[:]
    mask[2, :, 60:90, 44:52] = 1
    report = check(with_masks(seven, mask))
    assert blamed(report) == [2]
    assert report.cameras[2].hull_px > 5


def test_two_cameras_cannot_blame_each_other(seven):
    two = seven.select([0, 2])
    assert check(two).ok
    report = check(with_poses(two, turned(15, 1.5), [1]))
    assert not report.ok
    assert blamed(report) == [0, 2]
    assert "which of them is wrong cannot be told" in report.verdicts[0]


def test_one_camera_and_one_that_sees_nothing(seven):
    alone = check(seven.select([3]))
    assert alone.ok
    assert alone.cameras[0].epipolar_px is None
    assert "camera 3 could not be checked" in alone.verdicts[0]
    mask = seven.mask[:]
    mask[6] = 0
    report = check(with_masks(seven, mask))
    assert report.ok
    assert report.verdicts[0].startswith("all 6 cameras agree")
    assert report.verdicts[1].startswith("camera 6 could not be checked")


def test_report_as_json_and_as_a_table(seven):
    report = check_calibration(with_poses(seven, turned(8, 1.0), [3]), [0, 4])
    content = json.loads(json.dumps(report.to_dict()))
    assert content["ok"] is False
    assert content["frames"] == [0, 4]
    assert [one["camera"] for one in content["cameras"] if not one["agrees"]] == [3]
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(calibration_table(report))
    lines = [line for line in console.export_text().splitlines() if "disagrees" in line]
    assert len(lines) == 1
    assert lines[0].split("│")[1].strip() == "3"
