import numpy as np
import torch
from kernel_cases import posed_ellipsoids

from wim_fast.model.joint_structure import JointStructure
from wim_fast.model.motion import Motion, joint_positions
from wim_fast.model.structure import joint_candidates, spanning_tree
from wim_fast.posing import tree

RATE = 0.05


def poses(frames, parts, seed=0):
    return posed_ellipsoids(frames, parts, seed=seed)[:3]


def test_candidates_are_those_of_posing():
    """Six per part, +-3/4 of each semi-axis, in the order of posing.tree (supplement A.4)."""
    rotation, translation, semi_axes = poses(4, 5)
    candidates = joint_candidates(rotation, translation, semi_axes)
    expected = tree.joint_candidates(rotation.numpy(), translation.numpy(), semi_axes.numpy())
    np.testing.assert_allclose(candidates, expected, atol=1e-6)
    R, t, r = rotation[1, 2], translation[1, 2], semi_axes[2]
    for k in range(3):
        e = torch.zeros(3)
        e[k] = 0.75
        torch.testing.assert_close(candidates[1, 2, 2 * k], R @ (r * e) + t)
        torch.testing.assert_close(candidates[1, 2, 2 * k + 1], R @ (r * -e) + t)


def brute_force(candidates, translation):
    """Mean over frames of all squared distances, by loops in float64."""
    candidates, translation = candidates.double().numpy(), translation.double().numpy()
    parts = translation.shape[1]
    pairs, centers = np.zeros((parts, parts, 6, 6)), np.zeros((parts, parts))
    for i in range(parts):
        for j in range(parts):
            centers[i, j] = ((translation[:, i] - translation[:, j]) ** 2).sum(-1).mean()
            for m in range(6):
                for n in range(6):
                    pairs[i, j, m, n] = ((candidates[:, i, m] - candidates[:, j, n]) ** 2).sum(-1).mean()
    return pairs, centers


def test_running_means():
    """The first step sets them, each later one moves them by the rate; far from the origin too."""
    joints = JointStructure(4)
    pairs = centers = None
    for step in range(4):
        rotation, translation, semi_axes = poses(3, 4, seed=step)
        translation = translation + 5.0
        candidates = joint_candidates(rotation, translation, semi_axes)
        joints.observe(candidates, translation, RATE)
        new_pairs, new_centers = brute_force(candidates, translation)
        rate = 1.0 if step == 0 else RATE
        pairs = new_pairs if step == 0 else pairs + rate * (new_pairs - pairs)
        centers = new_centers if step == 0 else centers + rate * (new_centers - centers)
        np.testing.assert_allclose(joints.candidate_distance, pairs, atol=2e-6)
        np.testing.assert_allclose(joints.center_distance, centers, atol=2e-6)
    assert int(joints.steps) == 4


def test_joint_ends_follow_the_chosen_tree():
    rotation, translation, semi_axes = poses(3, 5)
    candidates = joint_candidates(rotation, translation, semi_axes)
    joints = JointStructure(5)
    joints.observe(candidates, translation, RATE)
    edges, chosen = spanning_tree(joints.candidate_distance.numpy(), joints.center_distance.numpy())
    joints.choose(torch.from_numpy(edges), torch.from_numpy(chosen))
    first, second = joints.joint_ends(candidates)
    positions = joint_positions(
        Motion(rotation.numpy(), translation.numpy()), semi_axes.numpy(), edges, chosen
    )
    np.testing.assert_allclose(0.5 * (first + second), positions, atol=1e-6)


def test_state_is_saved_whole():
    joints = JointStructure(3)
    rotation, translation, semi_axes = poses(2, 3)
    joints.observe(joint_candidates(rotation, translation, semi_axes), translation, RATE)
    joints.choose(torch.tensor([[0, 2], [1, 2]]), torch.tensor([[0, 5], [3, 1]]))
    other = JointStructure(3)
    other.load_state_dict(joints.state_dict())
    for name, value in joints.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_one_part_has_no_joints():
    rotation, translation, semi_axes = poses(2, 1)
    joints = JointStructure(1)
    candidates = joint_candidates(rotation, translation, semi_axes)
    joints.observe(candidates, translation, RATE)
    assert joints.joint_ends(candidates)[0].shape == (2, 0, 3)
