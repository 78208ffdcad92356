"""Corrected cameras and the rays through their pixels: every kernel against the reference."""

import pytest
import torch
from kernel_cases import KERNELS, assert_near, gradients, operation, random_rotations
from torch.autograd import gradcheck

from wim_fast.ops.cameras import reference
from wim_fast.ops.cameras.reference import NUMBERS, rotation_about


def calibration(cameras, seed=0):
    """Intrinsics, their inverse, rotation and centre of some cameras, float64."""
    generator = torch.Generator().manual_seed(seed)
    K = torch.tensor([[90.0, 0.5, 24], [0, 95, 20], [0, 0, 1]], dtype=torch.float64).repeat(cameras, 1, 1)
    rotation = random_rotations(cameras, generator=generator)
    center = torch.randn(cameras, 3, generator=generator, dtype=torch.float64)
    return [K, torch.linalg.inv(K), rotation, center]


def numbers(cameras, size=0.02):
    """Corrections; none of the first camera, a large turn of the last."""
    found = size * torch.randn(
        cameras, NUMBERS, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    found[0] = 0
    found[-1, :3] *= 50 if cameras > 1 else 1
    return found


def test_rotation_about():
    vector = torch.tensor([[0.3, -0.2, 0.9], [0, 0, 0], [0, 0, torch.pi / 2]], dtype=torch.float64)
    R = rotation_about(vector)
    torch.testing.assert_close(R, torch.linalg.matrix_exp(_cross(vector)), atol=1e-9, rtol=0)
    vector.requires_grad_()
    assert torch.autograd.grad(rotation_about(vector).sum(), vector)[0].isfinite().all()


def _cross(v):
    K = torch.zeros(len(v), 3, 3, dtype=v.dtype)
    K[:, 0, 1], K[:, 0, 2], K[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    return K - K.transpose(1, 2)


def test_corrected_cameras_are_inverse_to_each_other():
    found = reference.corrected_cameras(numbers(5), *calibration(5))
    product = found.intrinsics @ found.inverse_intrinsics
    torch.testing.assert_close(product, torch.eye(3, dtype=torch.float64).expand(5, 3, 3))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("cameras", [1, 18])
def test_corrections_are_the_references(cameras, kernel, empty_is_nan):
    inputs = [x.float() for x in (numbers(cameras), *calibration(cameras))]
    results = [
        gradients(operation(backend, "cameras", "corrected_cameras"), inputs, (0,))
        for backend in ("torch", kernel)
    ]
    for expected, found in zip(*results, strict=True):
        for x, y in zip(found, expected, strict=True):
            assert_near(x, y, rmse=1e-5, maximum=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("cameras", "images", "count"), [(1, 1, 1), (3, 5, 140)])
def test_rays_are_the_references(cameras, images, count, kernel, empty_is_nan):
    """One camera may have several images, another none."""
    generator = torch.Generator().manual_seed(2)
    camera = 2 * torch.randint(cameras // 2 + 1, (images,), generator=generator)
    pixels = 48 * torch.rand(images, count, 2, generator=generator)
    inputs = [*(x.float() for x in calibration(cameras)[1:]), camera, pixels]
    results = [
        gradients(operation(backend, "cameras", "camera_rays"), inputs, (0, 1, 2))
        for backend in ("torch", kernel)
    ]
    for expected, found in zip(*results, strict=True):
        for x, y in zip(found, expected, strict=True):
            assert_near(x, y, rmse=1e-5, maximum=1e-4)


def test_gradients_in_float64():
    given, camera = calibration(3), torch.tensor([2, 0])
    pixels = 48 * torch.rand(2, 4, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def rays(numbers):
        return reference.camera_rays(*reference.corrected_cameras(numbers, *given)[1:], camera, pixels)

    assert gradcheck(rays, numbers(3).requires_grad_())
