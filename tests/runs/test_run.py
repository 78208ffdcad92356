"""`Run` from Python: arrays, pictures, poses, measures."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from errors import refused
from PIL import Image
from trained_run import FRAMES, OTHERS, SIZE, TRAINED, TRAINED_FRAMES, TinyRun

import wim_fast
from wim_fast.cli import main
from wim_fast.posing.repose import rotation_matrix
from wim_fast.runs.opened_run import frame_positions


@pytest.fixture(scope="module")
def run(tiny_run: TinyRun) -> wim_fast.Run:
    return wim_fast.load_run(tiny_run.path)


def test_every_name_is_there_and_none_is_imported_before_it_is_used() -> None:
    assert all(getattr(wim_fast, name) is not None for name in wim_fast.__all__)
    assert set(wim_fast.__all__) <= set(dir(wim_fast))
    assert not hasattr(wim_fast, "lode_run")
    code = (
        "import sys, wim_fast; assert not {'torch', 'numba', 'numpy'} & set(sys.modules); wim_fast.UserError"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("frames", "named"), [("99:", "frames '99:'"), ("0:11", "frames '0:11'"), ([3, 10], "frames [3, 10]")]
)
def test_frames_that_are_not_there_are_named(frames: str | list[int], named: str) -> None:
    with refused(named, "there are 10 shown", "within 0:10"):
        frame_positions(frames, 10, "shown")


def test_nothing_of_the_api_prints(run: wim_fast.Run, capfd: pytest.CaptureFixture[str]) -> None:
    """And no call leaves a file behind."""
    before = sorted(run.path.rglob("*"))
    run.render(camera=3, frame=2)
    run.evaluate(cameras=[4], frames=[0, 12])
    run.merge()
    assert capfd.readouterr() == ("", "")
    assert sorted(run.path.rglob("*")) == before


def test_arrays_are_those_of_the_trajectory(run: wim_fast.Run) -> None:
    """World units here, the units of the recording's files there."""
    scale, (T, P) = run.coordinate_scale, (TRAINED_FRAMES, 3)
    with np.load(run.path / "trajectory.npz") as data:
        np.testing.assert_allclose(run.parts.translation * scale, data["part_translation"], atol=1e-5)
        np.testing.assert_allclose(run.parts.rotation, data["part_rotation"], atol=1e-6)
        np.testing.assert_allclose(run.parts.semi_axes * scale, data["semi_axes"], atol=1e-5)
        np.testing.assert_allclose(run.joints * scale, data["joint_position"], atol=1e-5)
        np.testing.assert_array_equal(run.edges, data["edges"])
        bodies = run.bodies()
        np.testing.assert_array_equal(bodies.body_of_part, data["body_of_part"])
        np.testing.assert_array_equal(bodies.edges, data["body_edges"])
        np.testing.assert_allclose(bodies.joints * scale, data["body_joint_position"], atol=1e-4)
    assert run.parts.rotation.shape == (T, P, 3, 3)
    assert sorted(run.tree.order) == list(range(P))
    assert run.cameras.ids == (*TRAINED, *OTHERS)
    assert run.scene.cameras.ids == TRAINED
    assert run.scene.num_frames == T


def test_a_picture_is_the_one_that_the_command_writes(run: wim_fast.Run, tmp_path: Path) -> None:
    command = ["render", str(run.path), "--camera", "4", "--frames", "7", "--output", str(tmp_path)]
    assert main([*command, "--size", "32"]) == 0
    written = np.asarray(Image.open(tmp_path / "frame_00007_cam_004.png"))
    image = run.render(camera=4, frame=7, size=32)
    assert (image.shape, image.dtype) == ((32, 32, 4), np.float32)
    assert 0 <= image.min() < image.max() <= 1
    np.testing.assert_array_equal(np.round(255 * image), written)
    camera = run.cameras.select([4]).resized(32, 32)
    np.testing.assert_array_equal(run.render(camera, frame=7), image)
    assert run.render(camera=4, frame=7).shape == (SIZE, SIZE, 4)


def test_parts_joints_and_turntables(run: wim_fast.Run) -> None:
    parts = run.render(camera=0, parts=True)
    assert parts.shape == (SIZE, SIZE, 4)
    assert np.abs(parts - run.render(camera=0)).max() > 0.2
    drawn = run.render(camera=0, joints=True)
    assert min(drawn.shape[:2]) >= 384
    assert (drawn[..., 3] == 1).all()
    pictures = list(run.turntable(frame=3, count=4, size=16))
    assert [picture.shape for picture in pictures] == [(16, 16, 4)] * 4
    assert np.abs(pictures[0] - pictures[1]).max() > 0


def test_repose_turns_a_part_about_its_joint(run: wim_fast.Run) -> None:
    part = int(run.tree.order[-1])  # a leaf
    posed = run.repose({part: (0, 0, 40)}, frame=5)
    assert len(posed) == 1
    others = [k for k in range(3) if k != part]
    np.testing.assert_allclose(posed.rotation[0, others], run.parts.rotation[5, others])
    turn = rotation_matrix((0, 0, 40))
    np.testing.assert_allclose(posed.rotation[0, part], turn @ run.parts.rotation[5, part])
    joint = run.joints[5, run.tree.parent_edge[part]]
    arm = run.parts.translation[5, part] - joint
    np.testing.assert_allclose(posed.translation[0, part], joint + turn @ arm)
    assert posed.joints.shape == (1, 2, 3)
    assert posed.render(camera=1, size=20).shape == (20, 20, 4)


def test_repose_turns_a_body_and_its_parts_together(run: wim_fast.Run) -> None:
    bodies = run.bodies(2)
    tree = run.list_joints(frame=5, parts_found=2).tree
    moves = [bodies.body_of_part == 1 - tree.root, bodies.body_of_part == tree.root]
    posed = run.repose({1 - tree.root: (0, 0, 40)}, frame=5, parts_found=2)
    turn, joint = rotation_matrix((0, 0, 40)), bodies.joints[5, 0]
    for who, rotation in zip(moves, (turn, np.eye(3)), strict=True):
        start = run.parts.rotation[5, who], run.parts.translation[5, who]
        np.testing.assert_allclose(posed.rotation[0, who], rotation @ start[0], atol=1e-6)
        np.testing.assert_allclose(
            posed.translation[0, who], joint + (start[1] - joint) @ rotation.T, atol=1e-6
        )
    other = run.repose({tree.root: (0, 0, 40)}, frame=5, parts_found=2, root=1 - tree.root)
    np.testing.assert_allclose(other.translation[0, moves[0]], run.parts.translation[5, moves[0]], atol=1e-6)
    with pytest.raises(wim_fast.UserError, match="axes part"):
        run.repose({0: (0, 0, 40)}, axes="part", parts_found=2)
    with pytest.raises(wim_fast.UserError, match="body 2: there are 2 bodies"):
        run.repose({2: (0, 0, 40)}, parts_found=2)


def test_axes_to_turn_about(run: wim_fast.Run) -> None:
    listed = run.list_joints(frame=5)
    assert set(listed.motions) == {0, 1, 2} - {run.tree.root}
    assert all(np.linalg.norm(motion.axis) == pytest.approx(1) for motion in listed.motions.values())
    np.testing.assert_array_equal(listed.positions, run.joints[5])


def test_a_pose_that_is_not_turned_is_the_learned_one(run: wim_fast.Run) -> None:
    still = run.repose({}, frame=5)
    np.testing.assert_array_equal(still.render(camera=1), run.render(camera=1, frame=5))
    shifted = run.repose({}, frame=5, root_translation=(0, 0, 0.4))
    moved = (shifted.translation - still.translation) * run.coordinate_scale
    np.testing.assert_allclose(moved, np.broadcast_to([0, 0, 0.4], moved.shape), atol=1e-12)


def test_drive_takes_the_units_of_the_files(run: wim_fast.Run, tiny_run: TinyRun) -> None:
    with np.load(tiny_run.scene / "gt.npz") as data:
        points = data["points"]
    driven = run.drive(points, fit_frames=range(TRAINED_FRAMES))
    assert len(driven) == FRAMES
    moved = (driven.translation[13] - driven.translation[9]) * run.coordinate_scale
    np.testing.assert_allclose(moved, [[0.2, 0, 0]] * 3, atol=1e-6)  # as its points do
    assert driven.render(camera=4, frame=13).shape == (SIZE, SIZE, 4)


def test_evaluate(run: wim_fast.Run) -> None:
    table = run.evaluate(cameras=[3, 4], frames=range(0, FRAMES, 6))
    assert list(table.summary) == ["training views", "novel views", "novel poses"]
    asked = {(row["camera"], row["frame"]) for row in table.rows if row["group"] != "training views"}
    assert asked == {(4, 0), (4, 6), (3, 12), (4, 12)}
    novel = [row["psnr"] for row in table.rows if row["group"] == "novel views"]
    assert table.summary["novel views"]["psnr"] == pytest.approx(np.mean(novel))
    assert "novel poses" in str(table)
    assert f"{table.summary['novel views']['psnr']:.2f} dB" in str(table)


def test_merge(run: wim_fast.Run) -> None:
    merging = run.merge(2)
    assert merging.merged.count == 2
    assert sorted(part for parts in merging.merged.parts() for part in parts) == [0, 1, 2]
    assert run.merge().count == run.bodies().count == merging.sequence.proposed


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda run: run.render(camera=99), None),
        (lambda run: run.render(camera=0, frame=TRAINED_FRAMES), f"frame {TRAINED_FRAMES}"),
        (lambda run: run.render(run.cameras), "camera"),
        (lambda run: run.repose({3: (0, 0, 1)}), "part 3"),
        (lambda run: run.repose({}, root=-1), "part -1"),
        (lambda run: run.repose({}, frame=-1), "frame -1"),
        (lambda run: run.repose({}).render(0, frame=1), "pose 1"),
        (lambda run: run.drive(np.zeros((4, 3))), "points"),
        (lambda run: run.evaluate(frames=[99]), "frames [99]"),
        (lambda run: run.merge(9), "9 bodies"),
    ],
)
def test_what_is_not_there(run: wim_fast.Run, call, where: str | None) -> None:
    with pytest.raises(wim_fast.UserError) as caught:
        call(run)
    assert where is None or caught.value.where == where


def test_a_run_is_data(run: wim_fast.Run) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.step = 0
