import numpy as np
import torch
from kernel_cases import posed_ellipsoids

from wim_fast.model.joint_structure import JointStructure
from wim_fast.model.motion import Motion, joint_positions
from wim_fast.model.structure import CANDIDATE_SHARE, spanning_tree
from wim_fast.ops.structure.reference import joint_candidates, joint_ends
from wim_fast.posing import tree

RATE = 0.05


def poses(frames, parts, seed=0):
    return posed_ellipsoids(frames, parts, seed=seed)[:3]


def test_candidates_are_those_of_posing():
    """Six per part, +-3/4 of each semi-axis, in the order of posing.tree (supplement A.4)."""
    rotation, translation, semi_axes = poses(4, 5)
    candidates = joint_candidates(rotation, translation, semi_axes, CANDIDATE_SHARE)
    expected = tree.joint_candidates(rotation.numpy(), translation.numpy(), semi_axes.numpy())
    np.testing.assert_allclose(candidates, expected, atol=1e-6)
    R, t, r = rotation[1, 2], translation[1, 2], semi_axes[2]
    for k in range(3):
        e = torch.zeros(3)
        e[k] = 0.75
        torch.testing.assert_close(candidates[1, 2, 2 * k], R @ (r * e) + t)
        torch.testing.assert_close(candidates[1, 2, 2 * k + 1], R @ (r * -e) + t)


def test_joint_ends_follow_the_chosen_tree():
    rotation, translation, semi_axes = poses(3, 5)
    candidates = joint_candidates(rotation, translation, semi_axes, CANDIDATE_SHARE)
    joints = JointStructure(5)
    joints.observe(rotation, translation, semi_axes, CANDIDATE_SHARE, RATE)
    edges, chosen = spanning_tree(joints.candidate_distance.numpy(), joints.center_distance.numpy())
    joints.choose(torch.from_numpy(edges), torch.from_numpy(chosen))
    first, second = joint_ends(candidates, joints.edges, joints.edge_candidates)
    positions = joint_positions(
        Motion(rotation.numpy(), translation.numpy()), semi_axes.numpy(), edges, chosen
    )
    np.testing.assert_allclose(0.5 * (first + second), positions, atol=1e-6)


def test_state_is_saved_whole():
    joints = JointStructure(3)
    rotation, translation, semi_axes = poses(2, 3)
    joints.observe(rotation, translation, semi_axes, CANDIDATE_SHARE, RATE)
    joints.choose(torch.tensor([[0, 2], [1, 2]]), torch.tensor([[0, 5], [3, 1]]))
    other = JointStructure(3)
    other.load_state_dict(joints.state_dict())
    for name, value in joints.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_one_part_has_no_joints():
    rotation, translation, semi_axes = poses(2, 1)
    joints = JointStructure(1)
    candidates = joint_candidates(rotation, translation, semi_axes, CANDIDATE_SHARE)
    joints.observe(rotation, translation, semi_axes, CANDIDATE_SHARE, RATE)
    assert joint_ends(candidates, joints.edges, joints.edge_candidates)[0].shape == (2, 0, 3)
