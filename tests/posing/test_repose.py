"""Re-posing against an independent forward-kinematics chain of 4 x 4 matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from wim_fast.posing.repose import JointRotation, repose, repose_sequence, rotation_matrix

# parts:  2 - 0 - 1 - 3      part 0 is the root below
#             |   |
#             4   5
EDGES = np.array([(0, 1), (0, 2), (3, 1), (0, 4), (5, 1)])
CHAINS = {0: [0], 1: [0, 1], 2: [0, 2], 3: [0, 1, 3], 4: [0, 4], 5: [0, 1, 5]}  # root to part
JOINT_OF = {1: 0, 2: 1, 3: 2, 4: 3, 5: 4}


def posed(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(6, random_state=seed).as_matrix()
    return rotation, rng.normal(size=(6, 3)), rng.normal(size=(5, 3))


def about(point: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """4 x 4 of a turn about a point."""
    shift, back, turn = np.eye(4), np.eye(4), np.eye(4)
    shift[:3, 3], back[:3, 3], turn[:3, :3] = point, -point, rotation
    return shift @ turn @ back


@settings(deadline=None, max_examples=40)
@given(
    angles=st.dictionaries(
        st.integers(0, 5), st.tuples(*[st.floats(-200, 200, allow_nan=False) for _ in range(3)])
    ),
    seed=st.integers(0, 1000),
    axes=st.sampled_from(["world", "part"]),
)
def test_repose_is_forward_kinematics(angles: dict, seed: int, axes: str) -> None:
    rotation, translation, joint = posed(seed)
    shift = np.array([0.1, -0.2, 0.3])
    new_rotation, new_translation = repose(
        rotation, translation, joint, EDGES, 0, angles, axes=axes, root_translation=shift
    )
    for part, chain in CHAINS.items():
        motion = np.eye(4)
        motion[:3, 3] = shift
        for link in chain:  # product from the root outwards, each turn in the original pose
            turn = Rotation.from_rotvec(angles.get(link, (0, 0, 0)), degrees=True).as_matrix()
            if axes == "part":
                turn = rotation[link] @ turn @ rotation[link].T
            motion = motion @ about(translation[0] if link == 0 else joint[JOINT_OF[link]], turn)
        np.testing.assert_allclose(new_rotation[part], motion[:3, :3] @ rotation[part], atol=1e-9)
        moved = motion @ np.append(translation[part], 1.0)
        np.testing.assert_allclose(new_translation[part], moved[:3], atol=1e-9)


def test_only_descendants_move_and_the_joint_stays() -> None:
    rotation, translation, joint = posed(3)
    new_rotation, new_translation = repose(rotation, translation, joint, EDGES, 0, {1: (10, 20, 30)})
    for part in (0, 2, 4):
        np.testing.assert_allclose(new_rotation[part], rotation[part])
        np.testing.assert_allclose(new_translation[part], translation[part])
    for part in (1, 3, 5):
        assert np.abs(new_translation[part] - translation[part]).max() > 1e-3
    # the joint between 0 and 1 stays where it was seen from either part, and joint 2 moves along
    for edge, part in ((0, 1), (0, 0)):
        local = rotation[part].T @ (joint[edge] - translation[part])
        np.testing.assert_allclose(
            new_rotation[part] @ local + new_translation[part], joint[edge], atol=1e-12
        )
    seen = [
        new_rotation[part] @ rotation[part].T @ (joint[2] - translation[part]) + new_translation[part]
        for part in (1, 3)
    ]
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-12)


def test_the_root_decides_which_side_moves() -> None:
    rotation, translation, joint = posed(4)
    _, moved = repose(rotation, translation, joint, EDGES, 3, {0: (0, 0, 40)})
    np.testing.assert_allclose(moved[[1, 3, 5]], translation[[1, 3, 5]])
    assert (np.abs(moved[[0, 2, 4]] - translation[[0, 2, 4]]).max(axis=1) > 1e-3).all()


@settings(deadline=None, max_examples=40)
@given(st.tuples(*[st.floats(-720, 720) for _ in range(3)]))
def test_rotation_matrix(axis_angle: tuple[float, float, float]) -> None:
    expected = Rotation.from_rotvec(axis_angle, degrees=True).as_matrix()
    np.testing.assert_allclose(rotation_matrix(axis_angle), expected, atol=1e-9)


def test_rotation_matrix_is_exact_near_zero() -> None:
    tiny = rotation_matrix([1e-9, 0, 0])
    assert tiny[2, 1] == pytest.approx(np.radians(1e-9), rel=1e-12)
    np.testing.assert_array_equal(rotation_matrix(np.zeros((2, 3))), np.tile(np.eye(3), (2, 1, 1)))


@pytest.mark.parametrize("sequence", ["together", "one_after_another"])
def test_sequence_starts_at_the_pose_and_ends_reposed(sequence: str) -> None:
    rotation, translation, joint = posed(5)
    turns = [JointRotation(1, (30.0, 0.0, 0.0)), JointRotation(3, (0.0, 0.0, -50.0))]
    rotations, translations = repose_sequence(
        rotation, translation, joint, EDGES, 0, turns, 9, sequence=sequence, root_translation=(1.0, 0.0, 0.0)
    )
    assert rotations.shape == (9, 6, 3, 3)
    np.testing.assert_allclose(translations[0], translation)
    end = repose(
        rotation,
        translation,
        joint,
        EDGES,
        0,
        {t.node: t.axis_angle for t in turns},
        root_translation=(1, 0, 0),
    )
    np.testing.assert_allclose(rotations[-1], end[0], atol=1e-12)
    np.testing.assert_allclose(translations[-1], end[1], atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0)


def test_one_after_another_moves_one_at_a_time() -> None:
    rotation, translation, joint = posed(6)
    turns = [JointRotation(2, (0.0, 60.0, 0.0)), JointRotation(4, (0.0, 0.0, 60.0))]
    _, translations = repose_sequence(
        rotation, translation, joint, EDGES, 0, turns, 9, sequence="one_after_another"
    )
    moving = np.abs(np.diff(translations, axis=0)).max(axis=-1) > 1e-9  # (8, P)
    assert moving[:4, 2].all()
    assert not moving[4:, 2].any()
    assert not moving[:4, 4].any()
    assert moving[4:, 4].all()


def test_a_part_may_swing_there_and_back() -> None:
    rotation, translation, joint = posed(7)
    turns = [JointRotation(1, (0.0, 0.0, 45.0)), JointRotation(1, (0.0, 0.0, -45.0))]
    rotations, translations = repose_sequence(
        rotation, translation, joint, EDGES, 0, turns, 5, sequence="one_after_another"
    )
    np.testing.assert_allclose(rotations[-1], rotation, atol=1e-12)
    np.testing.assert_allclose(translations[-1], translation, atol=1e-12)
    expected = repose(rotation, translation, joint, EDGES, 0, {1: (0, 0, 45)})
    np.testing.assert_allclose(rotations[2], expected[0], atol=1e-12)


def test_repose_refuses_an_unknown_part() -> None:
    rotation, translation, joint = posed(8)
    with pytest.raises(ValueError, match="part 6"):
        repose(rotation, translation, joint, EDGES, 0, {6: (0, 0, 1)})
