import dataclasses
import math

import pytest
import torch
from kernel_cases import assert_near, points_near, random_rotations

from wim_fast.config import ModelConfig
from wim_fast.model.articulated_model import ArticulatedModel, inverse_softplus
from wim_fast.ops.backend import select_backend
from wim_fast.ops.ellipsoid import ellipsoid_sdf

NUMBA, TORCH = select_backend("numba"), select_backend("torch")


def small_model(parts=5, frames=4, **changes):
    torch.manual_seed(0)
    config = dataclasses.replace(ModelConfig(), parts=parts, hash_log2_entries=10, **changes)
    model = ArticulatedModel(config, frames)
    generator = torch.Generator().manual_seed(1)
    rotation = random_rotations(parts, generator=generator).float()
    translation = 0.5 * torch.rand(parts, 3, generator=generator)
    model.start_at(rotation, translation, 0.05 + 0.1 * torch.rand(parts, 3, generator=generator))
    return model


def test_start_at_sets_the_semi_axes():
    model = small_model()
    axes = torch.linspace(0.04, 0.3, 15).view(5, 3)
    model.start_at(torch.eye(3).expand(5, 3, 3), torch.zeros(5, 3), axes)
    torch.testing.assert_close(model.semi_axes, axes)


def test_semi_axes_never_reach_the_minimum():
    model = small_model()
    with torch.no_grad():
        model.log_semi_axes.fill_(-50.0)
    assert (model.semi_axes >= model.minimum_semi_axis).all()


def test_sharpnesses_begin_as_the_paper_says():
    """b = softplus(10 u) with u = 5, a = softplus(v) with a = 30 at first."""
    model = small_model(initial_union_sharpness=50.0, initial_weight_sharpness=30.0)
    posed = model.pose(torch.tensor([0]), NUMBA)
    assert float(posed.union_sharpness.detach()) == pytest.approx(50.0, rel=1e-5)
    assert float(posed.weight_sharpness.detach()) == pytest.approx(30.0, rel=1e-5)


@pytest.mark.parametrize("value", [0.1, 1.0, 30.0, 300.0])
def test_inverse_softplus(value):
    x = inverse_softplus(value)
    assert math.log1p(math.exp(-abs(x))) + max(x, 0) == pytest.approx(value)


def test_distance_is_union_plus_residual():
    """sdf = s_union + d_max tanh(residual): within d_max of the union, and equal to it without features."""
    model = small_model()
    posed = model.pose(torch.arange(4), NUMBA)
    points, pose_ids = points_near([x.detach() for x in posed], 300)
    local = torch.einsum(
        "npa,npab->npb", points[:, None] - posed.translation[pose_ids.long()], posed.rotation[pose_ids.long()]
    )
    distances = ellipsoid_sdf(local, posed.semi_axes)
    union = -torch.logsumexp(-posed.union_sharpness * distances, 1) / posed.union_sharpness
    found = model.evaluate(points, pose_ids, posed, NUMBA)
    assert float((found.sdf - union).detach().abs().max()) <= model.field.residual_max + 2e-3
    torch.testing.assert_close(found.nearest_part.long(), distances.argmin(1))
    assert found.rgb.shape == (300, 3)
    with torch.no_grad():
        model.field.table.zero_()
    torch.testing.assert_close(model.evaluate(points, pose_ids, posed, NUMBA).sdf, union, atol=2e-3, rtol=0)


def test_gradient_reaches_every_parameter_alike_in_both_backends():
    points, pose_ids = points_near([x.detach() for x in small_model().pose(torch.arange(4), NUMBA)], 400)
    generator = torch.Generator().manual_seed(3)
    cotangents = torch.randn(400, generator=generator), torch.randn(400, 3, generator=generator)
    gradients = []
    for backend in (NUMBA, TORCH):
        model = small_model()
        found = model.evaluate(points, pose_ids, model.pose(torch.arange(4), backend), backend)
        torch.autograd.backward([found.sdf, found.rgb], cotangents)
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None, name
        assert float(gradient.abs().max()) > 0, name
        assert_near(gradient, gradients[1][name], rmse=5e-3, maximum=0.2, name=name)


def test_one_part():
    model = small_model(parts=1, top_parts=1)
    points, pose_ids = points_near([x.detach() for x in model.pose(torch.arange(4), NUMBA)], 20)
    found = model.evaluate(points, pose_ids, model.pose(torch.arange(4), NUMBA), NUMBA)
    assert found.sdf.isfinite().all()
    assert (found.nearest_part == 0).all()
