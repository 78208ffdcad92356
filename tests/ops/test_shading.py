"""From decoded values to distance and colour."""

import pytest
import torch
from kernel_cases import KERNELS, assert_near, gradients, operation
from torch.autograd import gradcheck

from wim_fast.ops.shading import reference


def case(count, lit=True, dtype=torch.float32):
    generator = torch.Generator().manual_seed(count)
    decoded, union, normal = (
        torch.randn(count, *size, generator=generator, dtype=dtype) for size in ((4,), (), (3,))
    )
    lighting = 0.2 * torch.randn(8, 3, generator=generator, dtype=dtype) if lit else None
    return decoded, union, normal, lighting


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("lit", [True, False])
@pytest.mark.parametrize("count", [0, 1, 500])
def test_kernel_is_the_reference(count, lit, kernel):
    decoded, union, normal, lighting = case(count, lit)
    if count > 1:
        normal[3] = 0  # of padding
    results = []
    for backend in ("torch", kernel):
        shade = operation(backend, "shading", "shade")
        tensors = [decoded, union] + ([lighting] if lit else [])

        def run(decoded, union, light=None, shade=shade):
            return shade(decoded, union, normal, light, 0.05)

        results.append(gradients(run, tensors, range(len(tensors))))
    for group, other in zip(*results, strict=True):
        for x, y in zip(group, other, strict=True):
            assert_near(x, y, rmse=1e-5, maximum=1e-4)


def test_reference_gradients_in_float64():
    decoded, union, normal, lighting = case(5, dtype=torch.float64)
    inputs = [x.requires_grad_() for x in (decoded, union, lighting)]
    assert gradcheck(lambda d, u, light: tuple(reference.shade(d, u, normal, light, 0.05)), inputs)
