import numpy as np
import pytest
import torch
from kernel_cases import posed_ellipsoids
from torch.autograd import gradcheck

from wim_fast.model.structure import relative_motion
from wim_fast.posing import merge
from wim_fast.training import losses


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
    """The share inside; its gradient pushes the surface inwards."""
    sdf = torch.tensor([-1.0, -0.5, 0.0, 2.0], requires_grad=True)
    loss = losses.volume_loss(sdf, torch.tensor(100.0))
    loss.backward()
    assert float(loss) == pytest.approx((1 + 1 + 0.5 + 0) / 4)
    assert float(sdf.grad[2]) == pytest.approx(-100 / 4 / 4)
    assert float(losses.volume_loss(torch.zeros(0), torch.tensor(100.0))) == 0


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


def test_joint_loss():
    first, second = random(3, 5, 3), random(3, 5, 3, seed=1)
    expected = ((first - second).numpy() ** 2).sum(-1).mean()
    assert float(losses.joint_loss(first, second)) == pytest.approx(expected)
    assert float(losses.joint_loss(first[:, :0], second[:, :0])) == 0


def test_separation_loss():
    """Mean over pairs of exp(-d^2 / (2 * 0.05^2))."""
    centers = 0.15 * random(3, 6, 3)
    terms = [
        np.exp(-((c[i] - c[j]) ** 2).sum() / (2 * 0.05**2))
        for c in centers.numpy()
        for i in range(6)
        for j in range(i)
    ]
    assert float(losses.separation_loss(centers, 0.05)) == pytest.approx(np.mean(terms))
    assert float(losses.separation_loss(torch.zeros(2, 3, 3), 0.05)) == pytest.approx(1)
    assert float(losses.separation_loss(centers[:, :1], 0.05)) == 0


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
    m = relative_motion(rotation, translation).numpy()
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(m[off], expected[off], atol=2e-3)
    assert m[0, 1] < 5e-3 < m[0, 2]


def test_merge_loss():
    """mean(m_ij stopgrad(sigmoid((D - m_ij) / D))), D = max(0.1, min m), over pairs i != j."""
    for scale in (1.0, 0.05):
        rotation, translation = moving()
        first = rotation[:1]
        rotation = first + scale * (rotation - first) if scale < 1 else rotation
        m = relative_motion(rotation, scale * translation).numpy()[~np.eye(5, dtype=bool)]
        D = max(0.1, m.min())
        expected = (m / (1 + np.exp(-(D - m) / D))).mean()
        assert float(losses.merge_loss(rotation, scale * translation, 0.1, 3.0)) == pytest.approx(expected)
    assert float(losses.merge_loss(rotation[:, :1], translation[:, :1], 0.1, 3.0)) == 0


def test_merge_loss_does_not_differentiate_its_gate():
    rotation, translation = moving()
    translation.requires_grad_()
    gradient = torch.autograd.grad(losses.merge_loss(rotation, translation, 0.1, 3.0), translation)[0]
    m = relative_motion(rotation, translation)[~torch.eye(5, dtype=torch.bool)]
    D = max(0.1, float(m.detach().min()))
    gate = torch.sigmoid((D - m.detach()) / D)
    expected = torch.autograd.grad((m * gate).mean(), translation)[0]
    torch.testing.assert_close(gradient, expected)


def test_rigid_parts_have_finite_gradients():
    """No motion at all: a standard deviation of zero."""
    rotation, translation = (x[:1].expand(6, *x.shape[1:]).clone() for x in moving())
    rotation.requires_grad_()
    translation.requires_grad_()
    losses.merge_loss(rotation, translation, 0.1, 3.0).backward()
    assert rotation.grad.isfinite().all()
    assert translation.grad.isfinite().all()


def test_gradients_in_float64():
    centers = (0.2 * random(2, 4, 3)).requires_grad_()
    assert gradcheck(losses.separation_loss, (centers, 0.05))
    ends = random(2, 4, 3, seed=1).requires_grad_(), random(2, 4, 3, seed=2).requires_grad_()
    assert gradcheck(losses.joint_loss, ends)
    assert gradcheck(losses.eikonal_loss, random(6, 3).requires_grad_())
    rotation, translation = moving(6, 3)
    rotation, translation = rotation + 0.2 * random(6, 3, 3, 3), translation + 0.2 * random(6, 3, 3)
    assert gradcheck(relative_motion, (rotation.requires_grad_(), translation.requires_grad_()))
