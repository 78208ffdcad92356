"""The losses of colour and mask, their gradients, and how far masks are believed."""

import pytest
import torch
from kernel_cases import BACKENDS, operation
from torch.autograd import gradcheck

from wim_fast.ops.image_losses import reference
from wim_fast.ops.image_losses.reference import mask_loss, photo_loss, trust


def random(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def case(rays, backgrounds=None, dtype=torch.float32):
    sizes = (rays, 3), (rays,), (rays, 3), (rays,), (rays,), (backgrounds or rays, 3)
    return [random(*size, seed=k, dtype=dtype) for k, size in enumerate(sizes)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("backgrounds", [None, 1])
def test_losses_and_gradients(backend, backgrounds):
    """Against the formulas written out; both losses with cotangents of their own."""
    rgb, opacity, *others = case(257, backgrounds)
    inputs = [x.clone().requires_grad_() for x in (rgb, opacity)]
    exact = [x.double().requires_grad_() for x in (rgb, opacity)]
    found = operation(backend, "image_losses")(*inputs, *others, torch.tensor(3.0), 257, 257)
    filmed, alpha, weight, background = (x.double() for x in others)
    seen = exact[0] + (1 - exact[1])[:, None] * background
    target = alpha[:, None] * filmed + (1 - alpha)[:, None] * background
    believed = weight / (1 + 3 * (exact[1] - alpha).detach() ** 2) ** 2
    photo = (believed[:, None] * (2 * seen - 2 * target) ** 2).mean()
    mask = (believed * (exact[1] - alpha) ** 2).mean()
    torch.testing.assert_close(
        torch.stack(found).double(),
        torch.stack([photo, mask, ((seen - target) ** 2).mean()]),
        rtol=1e-5,
        atol=0,
    )
    (2 * found.photo + 5 * found.mask).backward()
    (2 * photo + 5 * mask).backward()
    for x, y in zip(inputs, exact, strict=True):
        torch.testing.assert_close(x.grad.double(), y.grad, rtol=1e-4, atol=1e-8)
    assert not found.squared_error.requires_grad


@pytest.mark.parametrize("backend", BACKENDS)
def test_squared_error_is_that_of_the_even_rays(backend):
    """The others count for the losses alone."""
    rgb, opacity, filmed, alpha, weight, background = case(60, 1)
    squared = operation(backend, "image_losses")
    found = squared(rgb, opacity, filmed, alpha, weight, background, torch.tensor(0.0), 20, 15)
    seen, target = (
        x + (1 - a)[:, None] * background for x, a in ((rgb, opacity), (alpha[:, None] * filmed, alpha))
    )
    expected = ((seen - target) ** 2).view(3, 20, 3)[:, :15].mean()
    torch.testing.assert_close(found.squared_error, expected, rtol=1e-5, atol=0)
    everything = squared(rgb, opacity, filmed, alpha, weight, background, torch.tensor(0.0), 20, 20)
    torch.testing.assert_close(found.photo, everything.photo)
    torch.testing.assert_close(found.mask, everything.mask)


def test_reference_gradients_in_float64():
    rgb, opacity, *others = case(7, dtype=torch.float64)
    inputs = rgb.requires_grad_(), opacity.requires_grad_()
    assert gradcheck(lambda *x: reference.image_losses(*x, *others, 0.0, 7, 7)[:2], inputs)


def test_photo_and_mask_losses():
    """Weighted mean squares; colours on the paper's scale of [-1, 1]."""
    rgb, target, weight = random(50, 3), random(50, 3, seed=1), random(50, seed=2)
    a, b, w = (2 * rgb - 1).numpy(), (2 * target - 1).numpy(), weight.numpy()
    assert float(photo_loss(rgb, target, weight)) == pytest.approx((w[:, None] * (a - b) ** 2).mean())
    x, y = rgb[:, 0], target[:, 0]
    expected = (w * (x - y).numpy() ** 2).mean()
    assert float(mask_loss(x, y, weight)) == pytest.approx(expected)


def test_trust_falls_where_model_and_mask_disagree():
    """A quarter at an error of c for doubt 1 / c^2; all of it without doubt; no gradient goes through it."""
    opacity = torch.tensor([0.0, 0.5, 1.0], requires_grad=True)
    believed = trust(opacity, torch.zeros(3), torch.tensor(4.0))
    assert believed.tolist() == pytest.approx([1, 1 / 4, 1 / 25])
    assert not believed.requires_grad
    assert trust(opacity, torch.ones(3), torch.tensor(0.0)).tolist() == [1, 1, 1]


def test_a_bite_hardly_moves_a_doubting_fit():
    """What fits nine views with the object and one without, at a ray: the mean without doubt, nearly the nine with it."""
    alpha, fit = torch.tensor([1.0] * 9 + [0.0]), {}
    for doubt in (0.0, 4.0):
        opacity = torch.tensor(0.5, requires_grad=True)
        for step in range(400):
            views = opacity.expand(10)
            believed = trust(views, alpha, torch.tensor(doubt * min(1.0, step / 200)))
            (gradient,) = torch.autograd.grad(mask_loss(views, alpha, believed), opacity)
            opacity.data -= 0.2 * gradient
        fit[doubt] = opacity.item()
    assert fit[0.0] == pytest.approx(0.9, abs=1e-3)
    assert fit[4.0] > 0.99


def test_weightless_pixels_give_exactly_zero_gradient():
    rgb, opacity = random(20, 3).requires_grad_(), random(20).requires_grad_()
    weight = (torch.arange(20) % 3 > 0).double()
    total = photo_loss(rgb, random(20, 3, seed=1), weight)
    (total + mask_loss(opacity, random(20, seed=2), weight)).backward()
    for x in (rgb, opacity):
        assert (x.grad[weight == 0] == 0).all()
        assert (x.grad[weight > 0] != 0).all()
