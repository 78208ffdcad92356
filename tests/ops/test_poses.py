"""From the numbers of a pose network to rotations and translations."""

import numpy as np
import pytest
import torch
from kernel_cases import KERNELS, assert_near, gradients, operation, random_rotations
from torch.autograd import gradcheck

from wim_fast.ops.poses.reference import part_poses, rotation_from_6d


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


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("frames", "parts"), [(1, 1), (5, 3), (7, 20)])
def test_kernel_is_the_reference(frames, parts, kernel, empty_is_nan):
    generator = torch.Generator().manual_seed(parts)
    inputs = [torch.randn(*size, generator=generator) for size in ((frames, 9 * parts), (9 * parts,))]
    inputs[0] = inputs[0].t().contiguous().t()  # as the network may leave it
    results = [
        gradients(operation(backend, "poses", "part_poses"), inputs, (0, 1)) for backend in ("torch", kernel)
    ]
    for expected, found in zip(*results, strict=True):
        for x, y in zip(found, expected, strict=True):
            assert_near(x, y, rmse=1e-5, maximum=1e-3)


def test_where_the_numbers_of_a_part_are():
    """Its translation first, then the first and the second column's vector."""
    R = random_rotations(2, generator=torch.Generator().manual_seed(0))
    rest = torch.cat([torch.tensor([[1.0, 2, 3], [4, 5, 6]]), R[..., 0], R[..., 1]], dim=1).flatten()
    rotation, translation = part_poses(torch.zeros(3, 18), rest)
    torch.testing.assert_close(rotation, R.expand(3, 2, 3, 3))
    assert translation[2].tolist() == [[1, 2, 3], [4, 5, 6]]
