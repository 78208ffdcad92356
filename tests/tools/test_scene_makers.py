"""The scene makers, through their command lines: what they write is read back, and stands where it says."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wim_fast.recordings.cameras import project
from wim_fast.scene.load import load_scene
from wim_fast.scene.scene import Scene

pytestmark = pytest.mark.scenes
TOOLS = Path(__file__).resolve().parents[2] / "tools"
ROBOT = ("--robot", "kuka_iiwa", "--frames", "10", "--size", "48", "--cameras", "6", "--supersample", "2")
DOG = ("--frames", "3", "--seconds", "1.5", "--size", "64", "--supersample", "2")


def _needs(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f'{module} is not installed: pip install -e ".[scenes]"')


def _run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOLS / tool), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


def _make(tool: str, folder: Path, *arguments: str) -> Path:
    result = _run(tool, "--output", str(folder), *arguments)
    if "finds no OpenGL" in result.stderr:
        pytest.skip("MuJoCo finds no OpenGL to draw with")
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _needs("pybullet")
    return _make("make_robot_scene.py", tmp_path_factory.mktemp("robot"), *ROBOT)


@pytest.fixture(scope="module")
def dog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _needs("mujoco", "dm_control")
    return _make("make_dog_scene.py", tmp_path_factory.mktemp("dog"), *DOG)


def _share_inside(scene: Scene, points: np.ndarray, reach: int) -> float:
    """Share of the points (T,N,3) that project to within `reach` pixels of the mask, over all pictures."""
    from scipy.ndimage import binary_dilation

    pixels, depth = project(scene.cameras, points)
    assert (depth > 0).all()
    assert (pixels >= 0).all()
    assert (pixels < np.array(scene.size)).all()
    inside = []
    for v in range(scene.num_cameras):
        for f in range(scene.num_frames):
            near = binary_dilation(scene.rgba[v, f, ..., 3] > 0, iterations=reach) if reach else None
            mask = scene.rgba[v, f, ..., 3] > 0 if near is None else near
            x, y = pixels[v, f].astype(int).T
            inside.append(mask[y, x])
    return float(np.mean(inside))


def _check(scene: Scene) -> None:
    """Masks hold the object, clear of the border; joints lie inside it; points lie on it."""
    alpha = scene.rgba[..., 3]
    assert ((alpha > 127).mean(axis=(2, 3)) > 0.02).all()
    assert ((alpha > 0) & (alpha < 255)).any(), "silhouettes are anti-aliased"
    assert not alpha[:, :, [0, -1]].any()
    assert not alpha[:, :, :, [0, -1]].any()
    truth = scene.ground_truth
    assert truth is not None
    assert truth.joints is not None
    assert truth.points is not None
    assert _share_inside(scene, truth.joints, 0) > 0.99
    assert _share_inside(scene, truth.points, 0) > 0.95
    assert _share_inside(scene, truth.points, 1) > 0.99
    step = np.linalg.norm(np.diff(truth.joints, axis=0), axis=-1)
    assert step.max() > 0.005, "it moves"


def test_robot_scene(robot: Path) -> None:
    scene = load_scene(robot)
    assert (scene.num_cameras, scene.num_frames) == (6, 10)
    assert np.load(robot / "gt.npz")["joints"].shape == (10, 7, 3)
    _check(scene)
    spans = np.ptp(np.load(robot / "gt.npz")["points"].reshape(-1, 3), axis=0)
    assert spans.max() == pytest.approx(1.2, rel=0.1)


def test_links_of_a_robot(robot: Path) -> None:
    """Each point keeps its place on its link; joints stand at the origins of the links they carry."""
    truth = np.load(robot / "gt.npz")
    rotation, translation = truth["link_rotation"], truth["link_translation"]
    assert rotation.shape == (10, 8, 3, 3)
    assert truth["link_parents"].tolist() == [-1, 0, 1, 2, 3, 4, 5, 6]
    assert truth["link_surface"].sum() == pytest.approx(1)
    link = truth["point_links"]
    local = np.einsum("tnji,tnj->tni", rotation[:, link], truth["points"] - translation[:, link])
    np.testing.assert_allclose(local, local[:1].repeat(10, axis=0), atol=1e-5)
    np.testing.assert_allclose(translation[:, 1:], truth["joints"], atol=1e-5)


def test_robot_colour_has_no_background_in_it(robot: Path) -> None:
    """Where the orange and black robot covers a little of a pixel, its colour is the robot's, not white."""
    rgba = load_scene(robot).rgba[:]
    edge = rgba[(rgba[..., 3] > 0) & (rgba[..., 3] < 128)]
    assert edge[:, :3].min(axis=1).max() < 235


def test_robot_scene_is_the_same_for_a_seed(robot: Path, tmp_path: Path) -> None:
    again = _make("make_robot_scene.py", tmp_path / "again", *ROBOT, "--only-cameras", "1", "4")
    names = sorted(p.name for p in again.iterdir())
    assert len(names) == 2 * 10 + 2 + 1
    for name in names:
        if name != "gt.npz":
            assert (again / name).read_bytes() == (robot / name).read_bytes(), name
    np.testing.assert_array_equal(np.load(again / "gt.npz")["joints"], np.load(robot / "gt.npz")["joints"])


def test_another_seed_moves_otherwise(robot: Path, tmp_path: Path) -> None:
    other = _make("make_robot_scene.py", tmp_path, *ROBOT, "--only-cameras", "1", "--seed", "1")
    assert np.abs(np.load(other / "gt.npz")["joints"] - np.load(robot / "gt.npz")["joints"]).max() > 0.01


def test_dog_scene(dog: Path) -> None:
    scene = load_scene(dog)
    assert (scene.num_cameras, scene.num_frames) == (12, 3)
    _check(scene)


def test_dog_scene_is_the_same_every_time(dog: Path, tmp_path: Path) -> None:
    again = _make("make_dog_scene.py", tmp_path, *DOG)
    for path in sorted(dog.glob("*.*g")):
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("tool", "module"), [("make_robot_scene.py", "pybullet"), ("make_dog_scene.py", "dm_control")]
)
def test_a_scene_is_never_overwritten_unasked(tool: str, module: str, tmp_path: Path) -> None:
    _needs(module)
    (tmp_path / "frame_00000_cam_000.png").write_bytes(b"precious")
    result = _run(tool, "--output", str(tmp_path), "--frames", "1")
    assert result.returncode != 0
    assert "--overwrite" in result.stderr
    assert (tmp_path / "frame_00000_cam_000.png").read_bytes() == b"precious"


@pytest.mark.parametrize("module", ["pybullet", "mujoco"])
def test_a_missing_extra_is_named(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError('No module named {module}')\n")
    tool = {"pybullet": "make_robot_scene.py", "mujoco": "make_dog_scene.py"}[module]
    command = [sys.executable, str(TOOLS / tool), "--output", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert result.returncode != 0
    assert '".[scenes]"' in result.stderr
    assert "Traceback" not in result.stderr
