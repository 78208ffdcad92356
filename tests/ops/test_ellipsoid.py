import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from wim_fast.ops.ellipsoid import closest_point, ellipsoid_sdf, inflated_semi_axes

SHAPES = [(0.3, 0.2, 0.1), (0.4, 0.4, 0.05), (0.05, 0.5, 0.05), (0.2, 0.2, 0.2), (0.1, 0.11, 0.4)]


def points(count, spread=0.7, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(count, 3, generator=generator, dtype=dtype) * 2 - 1) * spread


def dense_search(x, r, rounds=25):
    """Closest surface point by a grid over (polar, azimuth) angles that shrinks round the best direction."""
    n = 41
    grid = torch.linspace(-1, 1, n, dtype=torch.float64)
    polar, azimuth = torch.meshgrid(grid, grid, indexing="ij")
    center, width = torch.tensor([math.pi / 2, 0.0]).double(), torch.tensor([math.pi / 2, math.pi]).double()
    for _ in range(rounds):
        p, a = center[0] + width[0] * polar, center[1] + width[1] * azimuth
        on_sphere = torch.stack([p.sin() * a.cos(), p.sin() * a.sin(), p.cos()], -1)
        surface = (on_sphere * r).view(-1, 3)
        best = (surface - x).norm(dim=-1).argmin()
        center = torch.stack([p.flatten()[best], a.flatten()[best]])
        width = width * 0.3
    return surface[best]


@pytest.mark.parametrize("semi_axes", SHAPES)
def test_closest_point_against_dense_search(semi_axes):
    r = torch.tensor(semi_axes, dtype=torch.float64)
    for x in points(25):
        expected = dense_search(x, r)
        inside = ((x / r) ** 2).sum() < 1
        closest, normal, sdf = closest_point(x, r, steps=100)
        distance = (expected - x).norm() * (-1 if inside else 1)
        assert float(sdf) == pytest.approx(float(distance), abs=1e-7)
        gradient = expected / r**2
        torch.testing.assert_close(normal, gradient / gradient.norm(), atol=1e-3, rtol=0)
        torch.testing.assert_close(closest, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("semi_axes", SHAPES)
def test_default_steps_are_exact_near_the_surface(semi_axes):
    """Within 0.05 of the surface the float32 distance is good to 1e-5 (docstring of NEWTON_STEPS)."""
    r = torch.tensor(semi_axes, dtype=torch.float64)
    x = points(20000, spread=1, seed=1) * (r + 0.06)
    exact = closest_point(x, r, steps=200)[2]
    near = exact.abs() < 0.05
    assert near.sum() > 2000
    fast = ellipsoid_sdf(x[near].float(), r.float())
    assert float((fast.double() - exact[near]).abs().max()) < 1.5e-5


def test_sphere_is_exact():
    x = points(500)
    torch.testing.assert_close(
        ellipsoid_sdf(x, torch.full((3,), 0.2, dtype=torch.float64)), (x.norm(dim=-1) - 0.2).clamp_min(-0.2)
    )


def test_normal_is_unit_and_outward():
    x, r = points(1000), torch.tensor([0.3, 0.2, 0.1], dtype=torch.float64)
    closest, normal, _ = closest_point(x, r)
    torch.testing.assert_close(normal.norm(dim=-1), torch.ones(1000, dtype=torch.float64))
    assert ((normal * closest).sum(-1) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_deep_inside_is_clamped_and_finite(dtype):
    """On the centre planes the closest point is not unique, but its distance is; never below -min(r)."""
    r = torch.tensor([0.3, 0.2, 0.1], dtype=dtype, requires_grad=True)
    on_planes = [[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0.25, 0, 0], [1e-20, 0, 0], [0.29, 0, 0], [-0.2, 0, 0]]
    x = torch.tensor(on_planes, dtype=dtype, requires_grad=True)
    tolerance = 1e-3 if dtype == torch.float32 else 1e-4
    sdf = ellipsoid_sdf(x, r)
    assert (sdf >= -0.1 - 1e-6).all()
    for point, value in zip(x.detach().double(), sdf.tolist(), strict=True):
        surface = dense_search(point, r.detach().double())
        assert value == pytest.approx(-float((surface - point).norm()), abs=tolerance)
    sdf.sum().backward()
    assert x.grad.isfinite().all()
    assert r.grad.isfinite().all()


def test_gradients_against_finite_differences():
    """d sdf/dx = n and d sdf/dr = -n (x_e / r), float64, outside and moderately inside."""
    r = torch.tensor([0.3, 0.2, 0.12], dtype=torch.float64)
    x = points(300, seed=2)
    x = x[ellipsoid_sdf(x, r) > -0.05][:40]
    r = r.expand(len(x), 3).clone().requires_grad_()
    assert gradcheck(ellipsoid_sdf, (x.requires_grad_(), r), eps=1e-6, atol=1e-6)


def test_broadcast_semi_axes_sum_their_gradient():
    x, r = points(7), torch.tensor([0.3, 0.2, 0.12], dtype=torch.float64, requires_grad=True)
    single = torch.autograd.grad(ellipsoid_sdf(x, r).sum(), r)[0]
    many = r.detach().expand(7, 3).clone().requires_grad_()
    torch.testing.assert_close(single, torch.autograd.grad(ellipsoid_sdf(x, many).sum(), many)[0].sum(0))


def test_no_points():
    assert ellipsoid_sdf(torch.zeros(0, 3), torch.ones(3)).shape == (0,)


def directions(count=2000):
    generator = torch.Generator().manual_seed(4)
    u = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator, dtype=torch.float64), dim=-1)
    return torch.cat([u, torch.eye(3, dtype=torch.float64)])


@given(
    semi_axes=st.tuples(*[st.floats(0.005, 1.0)] * 3),
    distance=st.floats(0.0, 0.3),
)
def test_inflated_ellipsoid_holds_all_points_within_the_distance(semi_axes, distance):
    """The farthest such points, ``x_e + d n``, for normals n in all directions; and it is nowhere needlessly wide."""
    r = torch.tensor(semi_axes, dtype=torch.float64)
    inflated = inflated_semi_axes(r, distance)
    normal = directions()
    surface = r**2 * normal / (r * normal).norm(dim=-1, keepdim=True)
    outermost = surface + distance * normal
    assert float((outermost / inflated).square().sum(-1).max()) <= 1 + 1e-9
    excess = (inflated * normal).norm(dim=-1) - (
        (r * normal).norm(dim=-1) + distance
    )  # of the support function
    assert float(excess.min()) <= 0.05 * (float(r.max()) + distance)
    assert (inflated >= r + distance - 1e-12).all()


def test_inflated_sphere_is_a_sphere():
    r = torch.full((3,), 0.2, dtype=torch.float64)
    torch.testing.assert_close(inflated_semi_axes(r, 0.03), r + 0.03)
    torch.testing.assert_close(inflated_semi_axes(r, torch.tensor(0.0)), r)
