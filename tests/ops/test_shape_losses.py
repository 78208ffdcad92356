"""The losses of shape: their values by hand, and every kernel against the reference."""

import pytest
import torch
from kernel_cases import KERNELS, assert_near, gradients, operation
from torch.autograd import gradcheck

from wim_fast.ops.shape_losses import reference as losses


def random(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_eikonal_of_linear_and_curved_distances():
    """Tetrahedral differences are exact for a linear field and nearly so for a sphere."""
    x = random(30, 3) - 0.5
    taps = x + 1e-3 * losses.tetrahedron(x.device).double()[:, None]  # (4, 30, 3)
    for slope in (torch.tensor([1.0, 0, 0]), torch.tensor([0.6, -0.8, 0.5])):
        loss = eikonal(taps @ slope.double())
        assert float(loss) == pytest.approx((float(slope.norm()) - 1) ** 2, abs=1e-7)
    assert float(eikonal(taps.norm(dim=-1))) < 1e-4
    assert float(eikonal(2 * taps.norm(dim=-1))) == pytest.approx(1, abs=1e-3)
    assert float(eikonal(torch.zeros(4, 0))) == 0


def test_volume_loss():
    """The share inside, of what light reaches; its gradient pushes the surface inwards, and leaves alone what is hidden."""
    sdf = torch.tensor([-1.0, -0.5, 0.0, 2.0, 0.0], requires_grad=True)
    loss = losses.volume_loss(sdf, torch.tensor(100.0), torch.tensor([1.0, 0.5, 0.5, 1.0, 0.0]))
    loss.backward()
    assert loss.item() == pytest.approx((1 + 0.5 + 0.25 + 0 + 0) / 5)
    assert float(sdf.grad[2]) == pytest.approx(-100 / 4 / 2 / 5)
    assert float(sdf.grad[4]) == 0
    assert float(losses.volume_loss(torch.zeros(0), torch.tensor(100.0), torch.zeros(0))) == 0


def test_void_loss():
    """The density of what no camera judges, which is pushed out; the rest has no gradient at all."""
    sdf = torch.tensor([-1.0, 0.0, 0.0, 2.0], requires_grad=True)
    loss = losses.void_loss(sdf, torch.tensor(100.0), torch.tensor([True, True, False, True]))
    loss.backward()
    assert float(loss) == pytest.approx((1 + 0.5 + 0 + 0) / 4)
    assert float(sdf.grad[1]) == pytest.approx(-100 / 4 / 4)
    assert float(sdf.grad[2]) == 0


def eikonal(sdf):
    """Of distances (4, N) at taps 1e-3 away."""
    return losses.eikonal_loss(losses.tap_gradient(sdf, 1e-3))


def case(taps, points, cores):
    """Arguments of `shape_losses`, all kinds of signs among them."""
    sizes = (4, taps), (taps,), (points,), (points,), (cores,), (cores,)
    tap_sdf, light, void_sdf, unjudged, core_sdf, inside = (
        random(*size, seed=k, dtype=torch.float32) - 0.5 for k, size in enumerate(sizes)
    )
    return [
        0.01 * tap_sdf,
        0.5 + light,
        0.02 * void_sdf,
        unjudged > 0,
        0.1 * core_sdf,
        inside > 0,
        0.002,
        torch.tensor(150.0),
    ]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sizes", [(150, 20, 300), (1, 1, 1), (0, 7, 0), (5, 0, 3), (0, 0, 0)])
def test_kernel_is_the_reference(sizes, kernel, empty_is_nan):
    results = [
        gradients(operation(backend, "shape_losses"), case(*sizes), (0, 2, 4))
        for backend in ("torch", kernel)
    ]
    for expected, found in zip(*results, strict=True):
        for x, y in zip(found, expected, strict=True):
            assert_near(x, y, rmse=1e-5, maximum=1e-4)


def test_equal_distances_all_round_have_a_finite_gradient():
    """And there is none to follow: the direction of a gradient of zero is nobody's."""
    for backend in KERNELS:
        inputs = case(3, 0, 0)
        inputs[0][:] = 0.0
        _, (gradient, *_) = gradients(operation(backend, "shape_losses"), inputs, (0, 2, 4))
        assert gradient.isfinite().all()


def test_gradients_in_float64():
    assert gradcheck(losses.eikonal_loss, random(6, 3).requires_grad_())
