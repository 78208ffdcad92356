"""Poses made by hand in the viewer."""

from __future__ import annotations

import numpy as np
import pytest
from arm_snapshot import arm_snapshot
from scipy.spatial.transform import Rotation

from wim_fast.model.motion import edges_of, joints_of
from wim_fast.posing.pose_file import read_pose_file, write_pose_file
from wim_fast.posing.repose import repose_sequence
from wim_fast.viewer.inspect.posing import (
    Articulation,
    Turns,
    free_turn,
    gizmo_rotation,
    pose_file,
    posed_by_hand,
)
from wim_fast.viewer.inspect.snapshot import Snapshot

TURNS = Turns({1: 30.0, 2: -50.0}, {2: (10.0, 20.0, -5.0)}, (0.1, -0.2, 0.3))
SCALE = 2.5  # units of the recording's files per world unit


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return arm_snapshot()


@pytest.fixture(scope="module")
def joints(snapshot: Snapshot) -> Articulation:
    return Articulation.of(snapshot, 1)


def test_nothing_turned_is_the_learned_pose(snapshot, joints) -> None:
    zero = Turns({0: 0.0}, {1: (0.0, 0.0, 0.0)})
    assert zero.is_learned
    pose = posed_by_hand(snapshot, 1, zero, joints)
    assert np.array_equal(pose.rotation[0], snapshot.motion.rotation[1])


def test_a_slider_turns_what_hangs_from_the_joint_and_nothing_else(snapshot, joints) -> None:
    part = next(p for p in joints.motions if len(joints.tree.children(p)) == 0)
    pose = posed_by_hand(snapshot, 1, Turns({part: 40.0}), joints)
    for other in range(3):
        turned = Rotation.from_matrix(pose.rotation[0, other] @ snapshot.motion.rotation[1, other].T)
        angle = np.degrees(turned.magnitude())
        assert angle == pytest.approx(40.0 if other == part else 0.0, abs=1e-6)
    edge = joints.tree.parent_edge[part]
    before = joints_of(snapshot.model, snapshot.motion.at([1]))[0, edge]
    local = (before - snapshot.motion.translation[1, part]) @ snapshot.motion.rotation[1, part]
    after = pose.rotation[0, part] @ local + pose.translation[0, part]
    np.testing.assert_allclose(after, before, atol=1e-9)  # the joint stays where it is


def test_the_pose_file_says_the_same(snapshot, joints, tmp_path) -> None:
    path = tmp_path / "pose.yaml"
    write_pose_file(path, pose_file(1, TURNS, joints, SCALE))
    read = read_pose_file(path, 3, snapshot.num_frames)
    start = snapshot.motion.at([1])
    rotation, translation = repose_sequence(
        start.rotation[0], start.translation[0], joints_of(snapshot.model, start)[0], edges_of(snapshot.model),
        read.root, read.rotations, read.num_frames, read.sequence, read.axes, np.array(read.root_translation) / SCALE,
    )  # fmt: skip
    pose = posed_by_hand(snapshot, 1, TURNS, joints)
    np.testing.assert_allclose(rotation[-1], pose.rotation[0], atol=1e-5)
    np.testing.assert_allclose(translation[-1], pose.translation[0], atol=1e-5)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_gizmo_turns_its_part_as_it_was_dragged(snapshot, joints, part: int) -> None:
    """Dragged by D in the world, also where ancestors and the slider have turned it before."""
    gizmo = gizmo_rotation(snapshot, 1, TURNS, joints, part)
    drag = Rotation.from_rotvec([20.0, -35.0, 50.0], degrees=True).as_matrix()
    free = free_turn(snapshot, 1, TURNS, joints, part, drag @ gizmo)
    turns = Turns(TURNS.angles, {**TURNS.free, part: free}, TURNS.shift)
    before, after = (posed_by_hand(snapshot, 1, t, joints).rotation[0, part] for t in (TURNS, turns))
    np.testing.assert_allclose(after, drag @ before, atol=1e-6)
    np.testing.assert_allclose(gizmo_rotation(snapshot, 1, turns, joints, part), drag @ gizmo, atol=1e-6)
