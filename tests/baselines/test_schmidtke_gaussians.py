"""Eq. 14, the heat maps and the points that move with the parts, against computations that share no formula."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from wim_fast.baselines.schmidtke import gaussians, losses
from wim_fast.ops.poses.reference import rotation_from_6d


def parts(frames=2, count=3, seed=0):
    """rotation, center, scale, template centres, sigmas; float64."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    rotation = rotation_from_6d(uniform(frames, count, 6) - 0.5)
    return (
        rotation,
        uniform(frames, count, 3) - 0.5,
        0.5 + uniform(count, 3),
        uniform(count, 3),
        0.1 + uniform(count, 3),
    )


def rays(frames=2, count=5):
    generator = torch.Generator().manual_seed(1)
    origins = torch.tensor([[0.0, 0.2, -4.0], [3.0, 0.0, 0.5]], dtype=torch.float64)[:frames]
    targets = torch.rand(frames, count, 3, generator=generator, dtype=torch.float64) - 0.5
    return origins, 0.3 * (targets - origins[:, None])


def test_theta_is_equation_14():
    """Element by element, with R the way from the world; it takes a part's centre to the template's."""
    rotation, center, scale, template_centers, _ = parts()
    theta = gaussians.theta(rotation, center, scale, template_centers)
    for f, p, row, column in np.ndindex(2, 3, 3, 3):
        assert float(theta[f, p, row, column]) == pytest.approx(
            float(scale[p, row] * rotation[f, p, column, row])
        )
    one = torch.ones(2, 3, 1, dtype=torch.float64)
    there = (theta @ torch.cat([center, one], -1)[..., None]).squeeze(-1)
    torch.testing.assert_close(there, template_centers.expand(2, 3, 3))


def test_to_world_is_its_inverse():
    rotation, center, scale, template_centers, _ = parts()
    theta = gaussians.theta(rotation, center, scale, template_centers).numpy()
    point = np.array([0.3, -0.2, 0.7])
    world = gaussians.to_world(torch.from_numpy(point), rotation, center, scale, template_centers).numpy()
    for f, p in np.ndindex(2, 3):
        expected = np.linalg.solve(theta[f, p, :, :3], point - theta[f, p, :, 3])
        assert world[f, p] == pytest.approx(expected)


def test_heat_is_the_largest_value_on_the_line_and_its_share_of_the_integral():
    """Against Gaussians evaluated at many points of every line."""
    rotation, center, scale, template_centers, sigmas = parts()
    origins, directions = rays()
    theta = gaussians.theta(rotation, center, scale, template_centers)
    heat = gaussians.heat_maps(theta, template_centers, sigmas, origins, directions).numpy()
    assert heat.shape == (2, 3, 5)
    steps = np.linspace(-10, 10, 80_001)[:, None]
    for f, p, n in np.ndindex(heat.shape):
        direction = directions[f, n].numpy() / np.linalg.norm(directions[f, n])

        def along(start, f=f, p=p, direction=direction):
            world = start.numpy() + steps * direction
            template = world @ theta[f, p, :, :3].numpy().T + theta[f, p, :, 3].numpy()
            offset = (template - template_centers[p].numpy()) / sigmas[p].numpy()
            return np.exp(-0.5 * (offset**2).sum(-1))

        values, through = along(origins[f]), along(center[f, p])
        assert heat[f, p, n] == pytest.approx(values.max(), rel=1e-6)
        assert heat[f, p, n] == pytest.approx(values.sum() / through.sum(), rel=1e-6)


def test_heat_in_single_precision_of_a_small_part_far_away():
    """No difference of large numbers: a part of 0.005 from 4 away."""
    exact = parts()
    origins, directions = rays()
    near = (0.005 * torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(2))).double()
    directions = exact[1][:, :1] + near - origins[:, None]

    def heat(dtype):
        rotation, center, scale, template_centers, sigmas = (x.to(dtype) for x in exact)
        theta = gaussians.theta(rotation, center, scale, template_centers)
        return gaussians.heat_maps(
            theta, template_centers, 0.005 * sigmas, origins.to(dtype), directions.to(dtype)
        )

    assert float((heat(torch.float32) - heat(torch.float64)).abs().max()) < 1e-3


def test_gradients():
    rotation, center, scale, template_centers, sigmas = parts(1, 2)
    origins, directions = rays(1, 3)
    numbers = [x.clone().requires_grad_() for x in (rotation, center, scale)]

    def heat(*moved):
        return gaussians.heat_maps(
            gaussians.theta(*moved, template_centers), template_centers, sigmas, origins, directions
        )

    assert gradcheck(heat, numbers)
    assert gradcheck(
        lambda *moved: gaussians.to_world(template_centers + 0.1, *moved, template_centers), numbers
    )


def test_points_that_move_with_the_parts():
    """Eq. 18: the centre, and 0.1 along each column of the rotation, both ways."""
    rotation, center, *_ = parts()
    points = gaussians.moving_points(rotation, center)
    assert points.shape == (2, 21, 3)
    for p in range(3):
        torch.testing.assert_close(points[:, 7 * p], center[:, p])
        for k, sign in np.ndindex(3, 2):
            expected = center[:, p] + (0.1 if sign == 0 else -0.1) * rotation[:, p, :, k]
            torch.testing.assert_close(points[:, 7 * p + 1 + 2 * k + sign], expected)


def test_anchor_and_boundary_losses():
    """Worked out by hand: two images with two anchors."""
    first = torch.tensor([[[0.5, 0.5], [0.2, 0.2]], [[1.1, 0.5], [0.5, -0.2]]], dtype=torch.float64)
    second = first + torch.tensor([[[0.1, 0.0], [0.0, 0.2]], [[0.0, 0.0], [0.3, 0.0]]], dtype=torch.float64)
    assert float(losses.anchor_loss(first, second)) == pytest.approx((0.01 + 0.04 + 0.09) / 2)
    assert float(losses.boundary_loss(first)) == pytest.approx((0.2 + 0.4) / 2)
    assert float(losses.boundary_loss(first[:1])) == 0
    assert gradcheck(losses.anchor_loss, [first.requires_grad_(), second.requires_grad_()])
    assert gradcheck(losses.boundary_loss, [first])
