import numpy as np
import pytest
import torch
from kernel_cases import (
    BACKENDS,
    KERNELS,
    assert_near,
    gradients,
    interpreted,
    non_contiguous,
    operation,
    points_near,
    posed_ellipsoids,
)
from torch.autograd import gradcheck

from wim_fast.ops.articulated import cpu, reference
from wim_fast.ops.articulated.reference import CUTOFF_NATS, MAX_CANDIDATES
from wim_fast.ops.ellipsoid import closest_point

DIFFERENTIABLE = (0, 2, 3, 4, 5, 6)  # points, rotation, translation, semi-axes, b, a
OP = "articulated", "articulated_lookup"
NAMES = ("points", "rotation", "translation", "semi_axes", "b", "a")


def slow_lookup(points, pose_ids, rotation, translation, semi_axes, b, a):
    """The paper's formulas over the near parts, point by point in numpy float64."""
    union, weights, ids = [], [], []
    for x, f in zip(points.double().numpy(), pose_ids.numpy(), strict=True):
        R, t = rotation[f].double().numpy(), translation[f].double().numpy()
        local = np.stack([R[p].T @ (x - t[p]) for p in range(len(t))])
        sdf = closest_point(torch.from_numpy(local), semi_axes.double(), 100)[2].numpy()
        order = np.argsort(sdf)[:MAX_CANDIDATES]
        order = order[sdf[order] <= sdf.min() + CUTOFF_NATS / min(a, b)]
        union.append(-np.log(np.exp(-b * sdf[order]).sum()) / b)
        e = np.exp(-a * sdf[order])
        weights.append(e / e.sum())
        ids.append(order)
    return np.array(union), weights, ids


@pytest.mark.parametrize("backend", BACKENDS)
def test_formulas(backend):
    posed = posed_ellipsoids(3, 12)
    points, pose_ids = points_near(posed, 33 if interpreted(backend) else 80)
    out = operation(backend, *OP)(points, pose_ids, *posed, 3)
    union, weights, ids = slow_lookup(points, pose_ids, *posed[:3], float(posed[3]), float(posed[4]))
    np.testing.assert_allclose(out.union, union, atol=2e-5)
    for i in range(len(points)):
        k = min(3, len(ids[i]))
        np.testing.assert_allclose(out.part_weights[i, :k], weights[i][:k], atol=2e-3)
        assert (out.part_weights[i, k:] == 0).all()
        assert (out.part_ids[i, k:] == out.part_ids[i, 0]).all()
        R, t = (x[pose_ids[i].long(), out.part_ids[i].long()] for x in posed[:2])
        local = torch.einsum("kba,kb->ka", R, points[i] - t)
        torch.testing.assert_close(out.local[i], local, atol=1e-6, rtol=1e-5)


def test_parts_at_one_distance_come_in_their_order():
    """More of them than are kept, so that all are put in order, and the first are."""
    posed = posed_ellipsoids(1, 12)
    same = [x[:, :1].expand_as(x).contiguous() for x in posed[:2]] + [
        posed[2][:1].expand_as(posed[2]).contiguous()
    ]
    points, pose_ids = points_near(posed, 20)
    found = cpu.articulated_lookup(points, pose_ids, *same, *posed[3:], MAX_CANDIDATES)
    assert (found.part_ids == torch.arange(MAX_CANDIDATES)).all()
    torch.testing.assert_close(found.part_weights, torch.full_like(found.part_weights, 1 / MAX_CANDIDATES))


def test_without_gradients_the_same_is_found():
    posed = [x.requires_grad_() for x in posed_ellipsoids(2, 30)]
    points = points_near([x.detach() for x in posed], 100)
    kept = cpu.articulated_lookup(*points, *posed, 2)
    assert kept.union.requires_grad
    with torch.no_grad():
        found = cpu.articulated_lookup(*points, *posed, 2)
    assert not found.union.requires_grad
    assert all(torch.equal(a, b) for a, b in zip(kept, found, strict=True))


def test_a_point_is_looked_up_by_itself():
    """What stands beside it in the processor's vectors changes no bit of what it finds."""
    posed = posed_ellipsoids(2, 20)
    points, pose_ids = points_near(posed, 500)
    whole = cpu.articulated_lookup(points, pose_ids, *posed, 2)
    for some in (slice(3, 80), slice(211, 500, 3)):
        found = cpu.articulated_lookup(points[some].contiguous(), pose_ids[some].contiguous(), *posed, 2)
        assert all(torch.equal(a, b[some]) for a, b in zip(found, whole, strict=True))


def test_truncation_is_small():
    """Leaving out parts beyond the cutoff changes the full union over all parts by little."""
    posed = posed_ellipsoids(2, 12)
    points, pose_ids = points_near(posed, 500)
    offset = points[:, None] - posed[1][pose_ids.long()]
    local = torch.einsum("npa,npab->npb", offset, posed[0][pose_ids.long()])
    sdf = closest_point(local, posed[2])[2]
    full = -torch.logsumexp(-posed[3] * sdf, 1) / posed[3]
    near = reference.articulated_lookup(points, pose_ids, *posed, 2).union
    assert float((full - near).abs().max()) < 1e-3


def test_reference_gradients_in_float64():
    posed = [x.double() for x in posed_ellipsoids(2, 3)]
    points, pose_ids = points_near(posed_ellipsoids(2, 3), 12)
    inputs = [x.requires_grad_() for x in (points.double(), *posed)]

    def function(points, *posed):
        out = reference.articulated_lookup(points, pose_ids, *posed, 2)
        return out.union, out.part_weights, out.local

    assert gradcheck(function, inputs, eps=1e-6, atol=1e-5)


@pytest.mark.parametrize("backend", KERNELS)
@pytest.mark.parametrize("count", [0, 1, 63, 65, 3000])
@pytest.mark.parametrize(("parts", "top_k"), [(1, 1), (2, 2), (5, 1), (20, 3), (40, 2)])
def test_kernel_against_reference(backend, count, parts, top_k, empty_is_nan):
    if interpreted(backend) and (count > 65 or count != {5: 65, 20: 63, 40: 1}.get(parts, count)):
        pytest.skip("too slow in Triton's interpreter")
    lookup = operation(backend, *OP)
    posed = posed_ellipsoids(3, parts, seed=parts)
    points, pose_ids = points_near(posed, count)
    pose_ids[: count // 2] = pose_ids[: count // 2].sort().values  # blocks of one pose and of several
    inputs = [points, pose_ids, *posed]
    outputs, grads = gradients(lambda *x: lookup(*x, top_k), inputs, DIFFERENTIABLE)
    expected, expected_grads = gradients(
        lambda *x: reference.articulated_lookup(*x, top_k), inputs, DIFFERENTIABLE
    )
    for name, x, y in zip(("union", "weights", "local", "normal"), outputs, expected, strict=True):
        assert_near(x, y, rmse=1e-4, maximum=5e-3, name=name)
    for name, x, y in zip(NAMES, grads, expected_grads, strict=True):
        assert_near(x, y, rmse=2e-3, maximum=1e-2, name=f"gradient of {name}")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("padding", [slice(0, 3), slice(30, None), slice(None)])
def test_padding_gives_and_gets_nothing(backend, padding, empty_is_nan):
    """Rows of pose -1 are zero and change nothing for the others, wherever they are and whatever their points."""
    lookup = operation(backend, *OP)
    posed = posed_ellipsoids(2, 4)
    points, pose_ids = points_near(posed, 66)
    pose_ids[padding], points[padding] = -1, 1e3
    real = pose_ids >= 0
    cotangents = [
        torch.randn(66, *shape, generator=torch.Generator().manual_seed(0)) for shape in ((), (2,), (2, 3))
    ]
    results = []
    for rows in (slice(None), real):
        leaves = [x.clone().requires_grad_() for x in posed]
        out = lookup(points[rows], pose_ids[rows], *leaves, 2)
        outputs = out.union, out.part_weights, out.local
        grads = torch.autograd.grad(outputs, leaves, [g[rows] for g in cotangents])
        results.append((out, grads))
    (padded, padded_grads), (alone, alone_grads) = results
    for x, y in zip(padded, alone, strict=True):
        assert (x[~real] == 0).all()
        torch.testing.assert_close(x[real], y, atol=1e-6, rtol=1e-5)
    for x, y in zip(padded_grads, alone_grads, strict=True):
        assert_near(x, y, rmse=1e-5, maximum=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_normal_is_the_gradient_of_the_union(backend):
    """Against central differences of the float64 reference."""
    posed = posed_ellipsoids(2, 8)
    points, pose_ids = points_near(posed, 66 if interpreted(backend) else 200)
    normal = operation(backend, *OP)(points, pose_ids, *posed, 2).normal
    exact = [x.double() for x in posed]
    step = 1e-5 * torch.eye(3).double()
    ahead, behind = (
        torch.stack(
            [reference.articulated_lookup(points + s * e, pose_ids, *exact, 2).union for e in step], dim=-1
        )
        for s in (1, -1)
    )
    expected = (ahead - behind) / 2e-5
    smooth = (expected.norm(dim=-1) - 1).abs() < 0.5  # a part that enters the near ones makes a small jump
    assert smooth.float().mean() > 0.95
    assert_near(normal[smooth], expected[smooth].float(), rmse=0.01, maximum=0.1)
    assert not normal.requires_grad


@pytest.mark.parametrize("backend", KERNELS)
def test_every_part_beyond_the_candidates(backend):
    """More overlapping parts than MAX_CANDIDATES: the same ones are kept."""
    posed = posed_ellipsoids(1, 30, b=5.0, a=5.0)
    posed[1] = posed[1] * 0.1
    points, pose_ids = points_near(posed, 33 if interpreted(backend) else 400)
    fast = operation(backend, *OP)(points, pose_ids, *posed, 4)
    slow = reference.articulated_lookup(points, pose_ids, *posed, 4)
    assert (fast.part_ids == slow.part_ids).float().mean() > 0.99  # ties within rounding may change places
    assert_near(fast.union, slow.union, rmse=1e-4, maximum=1e-3)


@pytest.mark.parametrize("backend", KERNELS)
def test_union_alone_gets_a_gradient(backend):
    """Cotangents that autograd does not send (None or zero) are taken as zero."""
    posed = posed_ellipsoids(1, 4)
    points, pose_ids = points_near(posed, 20)
    translation = posed[1].clone().requires_grad_()
    grads = []
    for lookup in (operation(backend, *OP), reference.articulated_lookup):
        union = lookup(points, pose_ids, posed[0], translation, *posed[2:], 2).union
        grads += torch.autograd.grad(union.sum(), translation)
    assert_near(*grads, rmse=1e-3, maximum=1e-2)


@pytest.mark.parametrize("backend", KERNELS)
def test_non_contiguous_inputs(backend):
    lookup = operation(backend, *OP)
    posed = posed_ellipsoids(3, 6)
    points, pose_ids = points_near(posed, 63)
    strided = [non_contiguous(x) if x.dim() else x for x in (points, pose_ids, *posed)]
    for x, y in zip(lookup(*strided, 2), lookup(points, pose_ids, *posed, 2), strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("backend", KERNELS)
def test_far_points_are_finite(backend):
    posed = posed_ellipsoids(1, 5)
    points = torch.tensor([[100.0, 0, 0], [0, 0, 0], [1e4, 1e4, 1e4]])
    out = operation(backend, *OP)(points, torch.zeros(3, dtype=torch.int32), *posed, 2)
    assert out.union.isfinite().all()
    assert out.part_weights.isfinite().all()
    assert float(out.union[0]) == pytest.approx(100, abs=1)


def test_rigid_motion_changes_nothing():
    """Points and parts moved together have the same distances, weights and local coordinates."""
    posed = posed_ellipsoids(1, 6)
    points, pose_ids = points_near(posed, 50)
    Q, shift = posed_ellipsoids(1, 1, seed=9)[0][0, 0], torch.tensor([0.3, -0.2, 0.5])
    moved = [Q @ posed[0], posed[1] @ Q.T + shift, *posed[2:]]
    here = cpu.articulated_lookup(points, pose_ids, *posed, 2)
    there = cpu.articulated_lookup(points @ Q.T + shift, pose_ids, *moved, 2)
    torch.testing.assert_close(here.union, there.union, atol=1e-5, rtol=0)
    torch.testing.assert_close(here.local, there.local, atol=1e-5, rtol=0)
