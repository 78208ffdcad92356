"""The losses of structure and the running distances: by hand, and every kernel against the reference."""

import numpy as np
import pytest
import torch
from kernel_cases import BACKENDS, KERNELS, assert_near, gradients, operation, posed_ellipsoids
from torch.autograd import gradcheck

from wim_fast.ops.structure import reference as losses

SHARE, SIGMA, RATE = 0.75, 0.2, 0.05


def random(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


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


def case(frames, parts, seed=0):
    """Poses, and a random tree."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(parts, generator=generator)
    earlier = (torch.rand(parts - 1, generator=generator) * torch.arange(1, parts)).long()
    edges = torch.stack([order[earlier], order[1:]], dim=1)
    chosen = torch.randint(6, (parts - 1, 2), generator=generator)
    return [*posed_ellipsoids(frames, parts, seed=seed)[:3], edges, chosen]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("frames", "parts"), [(3, 1), (1, 2), (2, 5), (7, 20)])
def test_kernel_is_the_reference(frames, parts, kernel, empty_is_nan):
    results = []
    for backend in ("torch", kernel):
        run = operation(backend, "structure", "structure_losses")
        results.append(gradients(lambda *x, run=run: run(*x, SHARE, SIGMA), case(frames, parts), (0, 1, 2)))
    for expected, found in zip(*results, strict=True):
        for x, y in zip(found, expected, strict=True):
            assert_near(x, y, rmse=1e-5, maximum=1e-4)


def test_gradients_in_float64():
    rotation, translation, semi_axes, *tree = case(2, 4)
    inputs = [x.double().requires_grad_() for x in (rotation, translation, semi_axes)]
    assert gradcheck(lambda *x: tuple(losses.structure_losses(*x, *tree, SHARE, SIGMA)), inputs)


def brute_force(rotation, translation, semi_axes):
    """Mean over frames of all squared distances, by loops in float64."""
    posed = (x.double() for x in (rotation, translation, semi_axes))
    candidates, translation = losses.joint_candidates(*posed, SHARE).numpy(), translation.double().numpy()
    parts = translation.shape[1]
    pairs, centers = np.zeros((parts, parts, 6, 6)), np.zeros((parts, parts))
    for i, j in np.ndindex(parts, parts):
        centers[i, j] = ((translation[:, i] - translation[:, j]) ** 2).sum(-1).mean()
        for m, n in np.ndindex(6, 6):
            pairs[i, j, m, n] = ((candidates[:, i, m] - candidates[:, j, n]) ** 2).sum(-1).mean()
    return pairs, centers


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("frames", "parts"), [(2, 1), (2, 3), (11, 4)])
def test_running_means(frames, parts, backend):
    """The first step sets them, each later one moves them by the rate; far from the origin too."""
    observe = operation(backend, "structure", "observe_distances")
    state = torch.zeros(parts, parts, 6, 6), torch.zeros(parts, parts), torch.tensor(0)
    pairs = centers = None
    for step in range(2):
        rotation, translation, semi_axes = posed_ellipsoids(frames, parts, seed=step)[:3]
        translation = translation + 5.0
        observe(rotation, translation, semi_axes, *state, SHARE, RATE)
        new_pairs, new_centers = brute_force(rotation, translation, semi_axes)
        rate = 1.0 if step == 0 else RATE
        pairs = new_pairs if step == 0 else pairs + rate * (new_pairs - pairs)
        centers = new_centers if step == 0 else centers + rate * (new_centers - centers)
        np.testing.assert_allclose(state[0], pairs, atol=2e-6)
        np.testing.assert_allclose(state[1], centers, atol=2e-6)
        assert int(state[2]) == step + 1
