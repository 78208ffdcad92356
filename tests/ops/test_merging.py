"""The merge loss: by hand, and every kernel against the reference."""

import numpy as np
import pytest
import torch
from kernel_cases import KERNELS, assert_near, gradients, operation, posed_ellipsoids
from torch.autograd import gradcheck

from wim_fast.ops.merging.reference import merge_loss, relative_motion
from wim_fast.posing import merge

DISTANCE, MOTION_WEIGHT = 0.1, 3.0


def random(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def moving(frames=12, parts=5):
    """Poses of which parts 0 and 1 move as one."""
    rotation, translation = (x.double() for x in posed_ellipsoids(frames, parts)[:2])
    link = torch.tensor([0.1, 0.2, -0.1]).double()
    rotation[:, 1] = rotation[:, 0]
    translation[:, 1] = translation[:, 0] + rotation[:, 0] @ link
    return rotation, translation


def test_relative_motion_is_the_merge_distance():
    rotation, translation = moving()
    expected = merge.merge_distance(rotation.numpy(), translation.numpy())
    m = relative_motion(rotation, translation, MOTION_WEIGHT).numpy()
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(m[off], expected[off], atol=2e-3)
    assert m[0, 1] < 5e-3 < m[0, 2]


def test_merge_loss():
    """mean(m_ij stopgrad(sigmoid((D - m_ij) / D))), D = max(0.1, min m), over pairs i != j."""
    for scale in (1.0, 0.05):
        rotation, translation = moving()
        first = rotation[:1]
        rotation = first + scale * (rotation - first) if scale < 1 else rotation
        m = relative_motion(rotation, scale * translation, MOTION_WEIGHT).numpy()[~np.eye(5, dtype=bool)]
        D = max(DISTANCE, m.min())
        expected = (m / (1 + np.exp(-(D - m) / D))).mean()
        assert float(merge_loss(rotation, scale * translation, 0.1, 3.0)) == pytest.approx(expected)
    assert float(merge_loss(rotation[:, :1], translation[:, :1], 0.1, 3.0)) == 0


def test_merge_loss_does_not_differentiate_its_gate():
    rotation, translation = moving()
    translation.requires_grad_()
    gradient = torch.autograd.grad(merge_loss(rotation, translation, DISTANCE, MOTION_WEIGHT), translation)[0]
    m = relative_motion(rotation, translation, MOTION_WEIGHT)[~torch.eye(5, dtype=torch.bool)]
    D = max(DISTANCE, float(m.detach().min()))
    gate = torch.sigmoid((D - m.detach()) / D)
    expected = torch.autograd.grad((m * gate).mean(), translation)[0]
    torch.testing.assert_close(gradient, expected)


def test_gradients_in_float64():
    rotation, translation = moving(6, 3)
    rotation, translation = rotation + 0.2 * random(6, 3, 3, 3), translation + 0.2 * random(6, 3, 3)
    posed = rotation.requires_grad_(), translation.requires_grad_()
    assert gradcheck(lambda *x: relative_motion(*x, MOTION_WEIGHT), posed)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("frames", "parts", "far"), [(3, 1, 0.0), (1, 2, 0.0), (6, 3, 0.0), (3, 3, 5.0)])
def test_kernel_is_the_reference(frames, parts, far, kernel, empty_is_nan, monkeypatch):
    """Also with more frames, and more parts, than a program takes at once, and far from the origin."""
    if kernel == "triton":
        pytest.importorskip("triton", reason="triton is not installed")
        for name, size in (("FRAMES", 4), ("PARTS", 2), ("PAIRS", 8)):
            monkeypatch.setattr(f"wim_fast.ops.merging.triton.{name}", size)
    rotation, translation = (
        x.float() for x in (moving if parts > 1 else posed_ellipsoids)(frames, parts)[:2]
    )
    translation = translation + 1e-3 * random(*translation.shape).float()  # what is still has no direction
    results = []
    for backend, kind in (("torch", torch.float64), (kernel, torch.float32)):
        run, inputs = (
            operation(backend, "merging", "merge_loss"),
            [rotation.to(kind), (translation + far).to(kind)],
        )
        results.append(gradients(lambda *x, run=run: (run(*x, DISTANCE, MOTION_WEIGHT),), inputs, (0, 1)))
    for expected, found in zip(*results, strict=True):
        for x, y in zip(found, expected, strict=True):
            assert_near(x, y.float(), rmse=1e-4, maximum=1e-3)


@pytest.mark.parametrize("kernel", ["torch", *KERNELS])
def test_rigid_parts_have_finite_gradients(kernel):
    """No motion at all: a standard deviation of zero."""
    posed = [x[:1].expand(3, *x.shape[1:]).float().requires_grad_() for x in moving(parts=3)]
    loss = operation(kernel, "merging", "merge_loss")(*posed, DISTANCE, MOTION_WEIGHT)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, posed))
