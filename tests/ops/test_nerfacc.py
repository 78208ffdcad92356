import importlib.util
import sys

import pytest
import torch
from kernel_cases import assert_near, gradients, posed_ellipsoids, rays_at

from wim_fast.errors import UserError
from wim_fast.ops import nerfacc
from wim_fast.ops.composite import reference as composite_reference
from wim_fast.ops.march import reference as march_reference
from wim_fast.ops.occupancy.reference import occupancy_grids

BAND, STEP, INV_S = 0.03, 0.02, 150.0
installed = importlib.util.find_spec("nerfacc") is not None
needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available() or not installed, reason="nerfacc needs an NVIDIA GPU and to be installed"
)


def exact_march(posed, rays):
    origins, directions, pose_ids, jitter = rays
    samples = march_reference.march(origins, directions, pose_ids, *posed, jitter, BAND, STEP)
    points = origins[samples.ray_ids] + samples.t[:, None] * directions[samples.ray_ids]
    return samples, points, pose_ids[samples.ray_ids].long()


def packed_samples():
    """Distances along 4 rays of 5, 0, 1 and 6 samples, of which one is opaque at once, and what goes with them."""
    generator = torch.Generator().manual_seed(0)
    sdf = 0.02 * torch.randn(12, generator=generator)
    sdf[:2] = torch.tensor([0.5, -0.5])
    rgb = torch.rand(12, 3, generator=generator)
    return sdf, rgb, torch.rand(12, generator=generator).cumsum(0), torch.tensor([0, 5, 5, 6, 12])


def test_rays_meet_the_box_of_their_own_pose_only():
    posed = posed_ellipsoids(3, 5)
    rays = rays_at(posed, 200)
    _, aabbs = occupancy_grids(*posed[:4], BAND, 4)
    t_sorted, t_indices, hits = nerfacc.grid_intersections(*rays[:3], aabbs)
    own = rays[2].long()
    assert (t_sorted.diff(dim=1)[hits.any(1), 0] > 0).all()
    assert t_sorted[:, 2:].isinf().all()
    assert torch.equal(t_indices[:, 0], own)
    assert torch.equal(t_indices[:, 1], own + 3)
    assert (hits.nonzero()[:, 1] == own[hits.any(1)]).all()
    assert hits.any()
    assert not hits.any(1).all()
    samples, _, _ = exact_march(posed, rays)
    assert hits.any(1)[samples.ray_ids].all()
    near, far = t_sorted[samples.ray_ids, 0], t_sorted[samples.ray_ids, 1]
    assert ((samples.t >= near) & (samples.t <= far)).all()


def test_what_is_kept_of_dense_samples_is_what_march_keeps():
    """`keep_visible` on every step of every ray, as if all cells were occupied."""
    posed = posed_ellipsoids(2, 5)
    origins, directions, pose_ids, jitter = rays = rays_at(posed, 40)
    samples, _, _ = exact_march(posed, rays)
    steps = torch.arange(250)
    t = ((steps + jitter[:, None]) * STEP).flatten()
    ray_ids = torch.arange(40).repeat_interleave(250)
    points = origins[ray_ids] + t[:, None] * directions[ray_ids]
    union = march_reference.articulated_lookup(points, pose_ids[ray_ids], *posed, 1).union
    kept, offsets = nerfacc.keep_visible(union, ray_ids, 40, BAND)
    assert torch.equal(offsets, samples.offsets)
    assert torch.equal(ray_ids[kept], samples.ray_ids)
    torch.testing.assert_close(t[kept], samples.t)


def test_thickness_gives_the_weights_of_the_reference_and_their_gradient():
    sdf, rgb, t, offsets = packed_samples()

    def opacity(sdf):
        tau, ray_ids = nerfacc.thickness(sdf, offsets, INV_S)
        return [1 - torch.exp(-torch.zeros(4).index_add(0, ray_ids, tau))]

    (a, grad_a), (b, grad_b) = (
        gradients(f, [sdf], [0])
        for f in (opacity, lambda s: [composite_reference.composite(s, rgb, t, offsets, INV_S).opacity])
    )
    assert_near(a[0], b[0], rmse=1e-5, maximum=1e-4)
    assert_near(grad_a[0], grad_b[0], rmse=1e-4, maximum=1e-3)


def test_padding_has_no_thickness():
    sdf = torch.linspace(0.1, -0.1, 9)
    tau, ray_ids = nerfacc.thickness(sdf, torch.tensor([0, 3, 3, 6]), INV_S)
    assert (tau[[2, 5, 6, 7, 8]] == 0).all()
    assert (tau[[0, 1, 3, 4]] > 0).all()
    assert ray_ids[:6].tolist() == [0, 0, 0, 2, 2, 2]
    assert ray_ids.max() == 2


@pytest.mark.skipif(not installed, reason="nerfacc is not installed")
def test_nerfacc_has_what_we_call():
    module = nerfacc.nerfacc()
    assert module.grid.traverse_grids
    assert module.render_weight_from_density
    assert module.accumulate_along_rays


def test_absence_says_how_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nerfacc", None)
    with pytest.raises(UserError, match=r"nerfacc==0\.5\.3"):
        nerfacc.nerfacc()


@needs_cuda
@pytest.mark.cuda
def test_march_on_the_gpu():
    posed = posed_ellipsoids(3, 7)
    rays = rays_at(posed, 300)
    expected, _, _ = exact_march(posed, rays)
    origins, directions, pose_ids, jitter = (x.cuda() for x in rays)
    found = nerfacc.march(origins, directions, pose_ids, *(x.cuda() for x in posed), jitter, BAND, STEP)
    assert abs(len(found.t) - len(expected.t)) <= 0.002 * len(expected.t) + 1


@needs_cuda
@pytest.mark.cuda
def test_composite_on_the_gpu():
    sdf, rgb, t, offsets = packed_samples()
    (a, grads_a), (b, grads_b) = (
        gradients(f, [sdf, rgb], [0, 1])
        for f in (
            lambda s, c: [
                x.cpu() for x in nerfacc.composite(s.cuda(), c.cuda(), t.cuda(), offsets.cuda(), INV_S)
            ],
            lambda s, c: composite_reference.composite(s, c, t, offsets, INV_S),
        )
    )
    for x, y in zip(a + grads_a, b + grads_b, strict=True):
        assert_near(x, y, rmse=1e-4, maximum=1e-3)
