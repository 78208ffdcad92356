import numpy as np
import pytest
import torch
from kernel_cases import posed_ellipsoids
from torch.autograd import gradcheck

from wim_fast.model.structure import relative_motion
from wim_fast.training import losses


def random(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def moving(frames=12, parts=5):
    """Poses of which parts 0 and 1 move as one."""
    rotation, translation = (x.double() for x in posed_ellipsoids(frames, parts)[:2])
    link = torch.tensor([0.1, 0.2, -0.1]).double()
    rotation[:, 1] = rotation[:, 0]
    translation[:, 1] = translation[:, 0] + rotation[:, 0] @ link
    return rotation, translation


def test_relative_motion_by_hand():
    rotation, translation = moving()
    turn = np.einsum("fiab,fjac->fijbc", rotation, rotation).std(axis=0).mean(axis=(-1, -2))
    apart = translation[:, None] - translation[:, :, None]
    seen = np.einsum("fiab,fija->fijb", rotation, apart).std(axis=0).mean(axis=-1)
    expected = turn + 3 * seen
    exact = relative_motion(rotation, translation, exact=True).numpy()
    np.testing.assert_allclose(exact, expected, atol=1e-12)
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
    rotation, translation = moving(6, 3)
    rotation, translation = rotation + 0.2 * random(6, 3, 3, 3), translation + 0.2 * random(6, 3, 3)
    assert gradcheck(relative_motion, (rotation.requires_grad_(), translation.requires_grad_()))
