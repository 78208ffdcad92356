import math

import numpy as np
import torch
from kernel_cases import random_rotations

from wim_fast.config import ModelConfig
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.motion import learned_motion
from wim_fast.model.pose_trajectory import PoseTrajectory
from wim_fast.ops.mlp.reference import mlp


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
