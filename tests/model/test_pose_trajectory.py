import math

import numpy as np
import torch
from kernel_cases import random_rotations
from torch.autograd import gradcheck

from wim_fast.config import ModelConfig
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.motion import learned_motion
from wim_fast.model.pose_trajectory import PoseTrajectory, rotation_from_6d
from wim_fast.ops.mlp.reference import mlp


def sixes(count, seed=0):
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rotation_is_orthonormal_and_proper():
    R = rotation_from_6d(sixes(100))
    torch.testing.assert_close(R.transpose(1, 2) @ R, torch.eye(3).double().expand(100, 3, 3))
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(100).double())


def test_rotation_is_gram_schmidt_of_the_two_vectors():
    """Zhou et al., section B: b1 = N(a1), b2 = N(a2 - (b1 . a2) b1), b3 = b1 x b2, as columns."""
    for x, R in zip(sixes(20).numpy(), rotation_from_6d(sixes(20)).numpy(), strict=True):
        b1 = x[:3] / np.linalg.norm(x[:3])
        b2 = x[3:] - (b1 @ x[3:]) * b1
        b2 /= np.linalg.norm(b2)
        np.testing.assert_allclose(R, np.stack([b1, b2, np.cross(b1, b2)], axis=1), atol=1e-12)


def test_rotation_keeps_the_columns_of_a_rotation():
    R = random_rotations(10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(rotation_from_6d(torch.cat([R[..., 0], R[..., 1]], -1)), R)


def test_rotation_gradient():
    assert gradcheck(rotation_from_6d, sixes(5).requires_grad_())


def linear_trajectory(parts=2, frames=9, frequencies=6):
    """A trajectory of one layer: its output is linear in the basis."""
    return PoseTrajectory(parts, frames, frequencies, width=8, layers=1)


def test_basis_of_cosines():
    """Input k at frame f of T is cos(pi k (f + 0.5) / T), read off a one-layer network."""
    trajectory = linear_trajectory()
    with torch.no_grad():
        trajectory.rest.zero_()
        for k in range(6):
            trajectory.layers[0].weight.zero_()
            trajectory.layers[0].weight[0, k] = 1.0  # x of part 0
            translation = trajectory(torch.arange(9))[1]
            expected = [math.cos(math.pi * k * (f + 0.5) / 9) for f in range(9)]
            np.testing.assert_allclose(translation[:, 0, 0], expected, atol=1e-6)
            assert (translation[:, 1] == 0).all()


def test_basis_is_orthogonal_over_the_frames():
    """It is the DCT-II: so many frequencies can make any motion of as many frames."""
    frames, k = np.arange(9)[:, None], np.arange(9)
    basis = np.cos(np.pi * k * (frames + 0.5) / 9)
    gram = basis.T @ basis
    np.testing.assert_allclose(gram, np.diag([9] + [4.5] * 8), atol=1e-12)


def test_shapes_and_fractional_frames():
    trajectory = PoseTrajectory(5, 20, 8, width=16, layers=3)
    rotation, translation = trajectory(torch.tensor([0, 7, 19]))
    assert rotation.shape == (3, 5, 3, 3)
    assert translation.shape == (3, 5, 3)
    between = trajectory(torch.tensor([7.0, 7.001]))[1]
    assert float((between[0] - translation[1]).abs().max()) < 1e-6
    assert 0 < float((between[1] - between[0]).abs().max()) < 1e-2


def test_start_at():
    """All frames begin near the given pose."""
    torch.manual_seed(0)
    trajectory = PoseTrajectory(4, 20, 8, width=16, layers=3)
    generator = torch.Generator().manual_seed(1)
    R = random_rotations(4, generator=generator).float()
    t = torch.randn(4, 3, generator=generator)
    trajectory.start_at(R, t, spread=0.0)
    rotation, translation = trajectory(torch.arange(20))
    torch.testing.assert_close(rotation, R.expand(20, 4, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(translation, t.expand(20, 4, 3), atol=1e-6, rtol=0)

    torch.manual_seed(0)
    near = PoseTrajectory(4, 20, 8, width=16, layers=3)
    near.start_at(R, t)
    assert 0 < float((near(torch.arange(20))[1] - t).abs().max()) < 0.2


def test_the_learned_motion_is_computed_by_the_network_asked_for():
    """So that what is rendered has the poses that were trained, on backends with half precision too."""
    torch.manual_seed(0)
    model = ArticulatedModel(ModelConfig(parts=2, pose_width=16, hash_log2_entries=6), num_frames=5)
    model.requires_grad_(False)

    def rounded(x, weights, activation):
        return mlp(x, [w.half().float() for w in weights], activation)

    exact, half = learned_motion(model), learned_motion(model, rounded)
    expected = model.trajectory(torch.arange(5), rounded)[1].detach().double()
    np.testing.assert_array_equal(half.translation, expected.numpy())
    assert (half.translation != exact.translation).any()
