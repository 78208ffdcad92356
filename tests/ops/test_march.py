import pytest
import torch
from kernel_cases import non_contiguous, posed_ellipsoids

from wim_fast.ops.articulated.reference import articulated_lookup
from wim_fast.ops.march import cpu, reference
from wim_fast.ops.march.reference import MAX_SAMPLES_PER_RAY

BAND, STEP = 0.03, 0.011
SHARPNESSES = torch.tensor(50.0), torch.tensor(30.0)
TOLERANCE = 1e-4  # a sample this close to the border of the band may be kept by one and not by the other


def rays_at(posed, count, seed=3):
    """Rays (count, 3) from a sphere of radius 3 towards the object; some miss it."""
    generator = torch.Generator().manual_seed(seed)
    origins = 3 * torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    targets = torch.rand(count, 3, generator=generator) * 1.6 - 0.8
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    pose_ids = torch.randint(len(posed[0]), (count,), generator=generator).to(torch.int32)
    return origins, directions, pose_ids, torch.rand(count, generator=generator)


def march(implementation, posed, rays, band=BAND, step=STEP):
    origins, directions, pose_ids, jitter = rays
    return implementation.march(origins, directions, pose_ids, *posed, jitter, band, step)


def union_at(t, ray, rays, posed):
    origins, directions, pose_ids, _ = rays
    points = origins[ray] + t[:, None] * directions[ray]
    return articulated_lookup(points, pose_ids[ray], *posed, 1).union


@pytest.mark.parametrize("count", [1, 60, 63, 400])
@pytest.mark.parametrize("parts", [1, 2, 20])
def test_kernel_keeps_what_the_dense_reference_keeps(count, parts):
    posed = posed_ellipsoids(3, parts, seed=parts)
    rays = rays_at(posed, count)
    fast, dense = march(cpu, posed, rays), march(reference, posed, rays)
    assert fast.offsets.shape == dense.offsets.shape == (count + 1,)
    if count > 100:
        assert (dense.offsets.diff() == 0).any()  # some rays miss
        assert (dense.offsets.diff() > 0).any()
    for ray in range(count):
        a, b = (
            {
                round(t / STEP - float(rays[3][ray])): t
                for t in s.t[s.offsets[ray] : s.offsets[ray + 1]].tolist()
            }
            for s in (fast, dense)
        )
        odd = torch.tensor([(a | b)[k] for k in a.keys() ^ b.keys()])
        if len(
            odd
        ):  # only samples on the border of the band, and what follows where the deep end is in doubt
            union = union_at(odd, torch.full((len(odd),), ray), rays, posed)
            assert (union.abs() - BAND).abs().min() < TOLERANCE
    assert abs(len(fast.t) - len(dense.t)) <= 0.002 * len(dense.t) + 1


def test_thin_parts_and_grazing_rays():
    """Discs and needles seen edge on: the analytic culling misses nothing that is in the band."""
    posed = posed_ellipsoids(1, 6, seed=5)
    posed[2] = torch.tensor(
        [
            [0.5, 0.5, 0.02],
            [0.02, 0.02, 0.6],
            [0.3, 0.02, 0.02],
            [0.02, 0.4, 0.3],
            [0.1, 0.5, 0.02],
            [0.2] * 3,
        ],
    )
    rays = rays_at(posed, 1000)
    fast, dense = march(cpu, posed, rays), march(reference, posed, rays)
    fast_counts, dense_counts = fast.offsets.diff(), dense.offsets.diff()
    assert (fast_counts != dense_counts).float().mean() < 0.005
    assert abs(len(fast.t) - len(dense.t)) <= 0.001 * len(dense.t)


@pytest.mark.parametrize("implementation", [cpu, reference])
def test_samples_lie_on_the_jittered_steps_in_the_band(implementation):
    posed = posed_ellipsoids(2, 7)
    rays = rays_at(posed, 400)
    samples = march(implementation, posed, rays)
    ray = samples.ray_ids
    assert torch.equal(ray.bincount(minlength=400), samples.offsets.diff())
    steps = samples.t / STEP - rays[3][ray]
    torch.testing.assert_close(steps, steps.round(), atol=2e-3, rtol=0)
    same = ray[1:] == ray[:-1]
    assert (samples.t[1:][same] > samples.t[:-1][same]).all()
    union = union_at(samples.t, ray, rays, posed)
    last = torch.cat([~same, torch.ones(1, dtype=torch.bool)])
    assert (union <= BAND + TOLERANCE).all()
    assert (union[~last] >= -BAND - TOLERANCE).all()  # only the end of a ray may lie deeper


def test_sphere_against_geometry():
    """One sphere of radius 0.3: samples lie between 0.33 and 0.27 from its centre, plus one deeper."""
    identity, center = torch.eye(3)[None, None], torch.zeros(1, 1, 3)
    posed = [identity, center, torch.full((1, 3), 0.3), *SHARPNESSES]
    offset = torch.tensor([0.0, 0.2, 0.31, 0.325, 0.35, 1.0])
    origins = torch.stack([torch.full_like(offset, -2.0), offset, torch.zeros_like(offset)], -1)
    directions = torch.tensor([[1.0, 0, 0]]).expand(6, 3)
    rays = (origins, directions, torch.zeros(6, dtype=torch.int32), torch.full((6,), 0.25))
    samples = march(cpu, posed, rays)
    counts = samples.offsets.diff().tolist()
    for r, count in zip(offset.tolist(), counts, strict=True):
        t = (torch.arange(1000) + 0.25) * STEP
        distance = ((t - 2) ** 2 + r**2).sqrt() - 0.3
        kept = distance <= BAND
        deep = (distance < -BAND).nonzero()
        if len(deep):
            kept[deep[0, 0] + 1 :] = False
        assert count == int(kept.sum())


def test_long_rays_are_cut():
    """A ray that stays within the band has at most MAX_SAMPLES_PER_RAY samples."""
    identity, center = torch.eye(3)[None, None], torch.zeros(1, 1, 3)
    posed = [identity, center, torch.tensor([[5.0, 0.05, 0.05]]), *SHARPNESSES]
    origin, direction = torch.tensor([[-4.0, 0.0, 0.06]]), torch.tensor([[1.0, 0, 0]])
    ray = (origin, direction, torch.zeros(1).int(), torch.zeros(1))
    for implementation in (cpu, reference):
        assert len(march(implementation, posed, ray).t) == MAX_SAMPLES_PER_RAY


@pytest.mark.parametrize("implementation", [cpu, reference])
def test_behind_the_camera_is_not_seen(implementation):
    posed = posed_ellipsoids(1, 3)
    origins, directions = torch.tensor([[0.0, 0, 3]]), torch.tensor([[0.0, 0, 1]])
    samples = march(implementation, posed, (origins, directions, torch.zeros(1).int(), torch.zeros(1)))
    assert len(samples.t) == 0


@pytest.mark.parametrize("implementation", [cpu, reference])
def test_no_rays(implementation):
    posed = posed_ellipsoids(1, 3)
    samples = march(implementation, posed, rays_at(posed, 0))
    assert samples.t.shape == (0,)
    assert samples.offsets.tolist() == [0]


def test_non_contiguous_inputs():
    posed = posed_ellipsoids(2, 5)
    rays = rays_at(posed, 63)
    a = march(cpu, posed, rays)
    b = march(cpu, [non_contiguous(x) if x.dim() else x for x in posed], [non_contiguous(x) for x in rays])
    assert torch.equal(a.t, b.t)
    assert torch.equal(a.offsets, b.offsets)
