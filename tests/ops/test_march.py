import pytest
import torch
from kernel_cases import (
    BACKENDS,
    KERNELS,
    interpreted,
    non_contiguous,
    operation,
    posed_ellipsoids,
    rays_at,
    tangent_rays,
)

from wim_fast.ops.articulated.reference import articulated_lookup, union_reach
from wim_fast.ops.march.reference import MAX_SAMPLES_PER_RAY, ray_intervals

BAND, STEP = 0.03, 0.011
SHARPNESSES = torch.tensor(50.0), torch.tensor(30.0)
TOLERANCE = 3e-4  # parts that count for less than exp(-5) are left out: a sample this close to the border may be kept or not


def march(backend, posed, rays, capacity=None, band=BAND, step=STEP):
    """The samples; with a capacity that is enough cut to their number, where the backend wants one."""
    origins, directions, pose_ids, jitter = rays
    enough = MAX_SAMPLES_PER_RAY * len(origins) if backend == "triton" and capacity is None else capacity
    run = operation(backend, "march")
    samples = run(origins, directions, pose_ids, *posed, jitter, band, step, enough)
    if capacity is not None:
        return samples
    count = int(samples.offsets[-1])
    return samples._replace(t=samples.t[:count], ray_ids=samples.ray_ids[:count])


def union_at(t, ray, rays, posed):
    origins, directions, pose_ids, _ = rays
    points = origins[ray] + t[:, None] * directions[ray]
    return articulated_lookup(points, pose_ids[ray], *posed, 1).union


@pytest.mark.parametrize("backend", KERNELS)
@pytest.mark.parametrize("count", [1, 9, 63, 150])
@pytest.mark.parametrize("parts", [1, 2, 20])
def test_kernel_keeps_what_the_dense_reference_keeps(backend, count, parts, empty_is_nan):
    if interpreted(backend) and count > 9 and (count, parts) != (63, 1):
        pytest.skip("too slow in Triton's interpreter")
    posed = posed_ellipsoids(3, parts, seed=parts)
    rays = rays_at(posed, count)
    fast, dense = march(backend, posed, rays), march("torch", posed, rays)
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


@pytest.mark.parametrize("backend", KERNELS)
def test_thin_parts_and_grazing_rays(backend):
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
    rays = rays_at(posed, 12 if interpreted(backend) else 400)
    fast, dense = march(backend, posed, rays), march("torch", posed, rays)
    fast_counts, dense_counts = fast.offsets.diff(), dense.offsets.diff()
    assert (fast_counts != dense_counts).float().mean() < 0.005
    assert abs(len(fast.t) - len(dense.t)) <= 0.001 * len(dense.t)


@pytest.mark.parametrize("backend", KERNELS)
@pytest.mark.parametrize("band", [0.008, 0.03])
@pytest.mark.parametrize(
    "semi_axes", [(0.02, 0.02, 0.6), (0.5, 0.5, 0.02), (0.02, 0.3, 0.6), (0.2, 0.2, 0.2)]
)
def test_culling_never_hides_a_point_of_the_band(backend, band, semi_axes):
    """Rays that only just touch the band of a needle, a disc, a blade: none is missed, wherever they touch it."""
    posed = posed_ellipsoids(1, 1, seed=2)
    posed[2] = torch.tensor([semi_axes])
    count = 6 if interpreted(backend) else 150
    height = band * torch.linspace(0.5, 0.995, count)
    rays = tangent_rays(posed, count, height)
    step = band / 8
    fast, dense = (
        march(backend, posed, rays, band=band, step=step),
        march("torch", posed, rays, band=band, step=step),
    )
    union = union_at(dense.t, dense.ray_ids, rays, posed)
    assert (dense.offsets.diff() > 0).float().mean() > 0.5
    surely = dense.ray_ids[union < band - 2e-5].bincount(
        minlength=count
    )  # not on the border: rounding decides there
    within = fast.ray_ids.bincount(minlength=count)
    assert (within >= surely).all()


@pytest.mark.parametrize("backend", KERNELS)
def test_more_parts_than_candidates_hide_nothing(backend):
    """Where more parts overlap than the union counts, no sample of the reference is lost."""
    posed = posed_ellipsoids(1, 24, b=20.0)
    posed[1] *= 0.1
    posed[2] = 0.3 + 0.02 * posed[2]
    rays = rays_at(posed, 6 if interpreted(backend) else 100)
    fast, dense = march(backend, posed, rays), march("torch", posed, rays)
    found = {(r, round(t / STEP)) for r, t in zip(fast.ray_ids.tolist(), fast.t.tolist(), strict=True)}
    union = union_at(dense.t, dense.ray_ids, rays, posed)
    wanted = (union < BAND - TOLERANCE) & (union > TOLERANCE - BAND)
    lost = [
        (r, round(t / STEP))
        for r, t in zip(dense.ray_ids[wanted].tolist(), dense.t[wanted].tolist(), strict=True)
        if (r, round(t / STEP)) not in found
    ]
    assert wanted.sum() > 5
    assert not lost


@pytest.mark.parametrize("backend", KERNELS)
def test_samples_lie_in_the_intervals_of_their_ray(backend):
    """Between the first entry and the last exit of `ray_intervals`; a ray without intervals has no samples."""
    posed = posed_ellipsoids(2, 6)
    rays = rays_at(posed, 30 if interpreted(backend) else 500)
    samples = march(backend, posed, rays)
    intervals = ray_intervals(*rays[:3], *posed[:3], union_reach(BAND, 6, posed[3]))
    near, far = intervals[..., 0].amin(1)[samples.ray_ids], intervals[..., 1].amax(1)[samples.ray_ids]
    assert len(samples.t) > 20
    assert ((samples.t >= near - 1e-5) & (samples.t <= far + 1e-5)).all()
    misses = intervals[..., 0].isinf().all(1)
    assert misses.any()
    assert (samples.offsets.diff()[misses] == 0).all()


def test_ray_intervals_of_a_sphere():
    """A ray past a sphere of 0.3 that is inflated by 0.1, at 0.24 from its centre, 10 away from it."""
    posed = [torch.eye(3)[None, None], torch.tensor([[[10.0, 0, 0]]]), torch.full((1, 3), 0.3)]
    origins = torch.tensor([[0.0, 0.24, 0], [0, 0.41, 0]])
    directions = torch.tensor([[1.0, 0, 0]] * 2)
    intervals = ray_intervals(origins, directions, torch.zeros(2).int(), *posed, 0.1)
    expected = torch.tensor([[[9.68, 10.32]], [[torch.inf, -torch.inf]]])
    torch.testing.assert_close(intervals, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_samples_lie_on_the_jittered_steps_in_the_band(backend):
    posed = posed_ellipsoids(2, 7)
    count = 12 if interpreted(backend) else 400
    rays = rays_at(posed, count)
    samples = march(backend, posed, rays)
    ray = samples.ray_ids
    assert torch.equal(ray.bincount(minlength=count), samples.offsets.diff())
    steps = samples.t / STEP - rays[3][ray]
    torch.testing.assert_close(steps, steps.round(), atol=2e-3, rtol=0)
    same = ray[1:] == ray[:-1]
    assert (samples.t[1:][same] > samples.t[:-1][same]).all()
    union = union_at(samples.t, ray, rays, posed)
    last = torch.cat([~same, torch.ones(1, dtype=torch.bool)])
    assert (union <= BAND + TOLERANCE).all()
    assert (union[~last] >= -BAND - TOLERANCE).all()  # only the end of a ray may lie deeper


@pytest.mark.parametrize("backend", KERNELS)
def test_sphere_against_geometry(backend):
    """One sphere of radius 0.3: samples lie between 0.33 and 0.27 from its centre, plus one deeper."""
    identity, center = torch.eye(3)[None, None], torch.zeros(1, 1, 3)
    posed = [identity, center, torch.full((1, 3), 0.3), *SHARPNESSES]
    offset = torch.tensor([0.0, 0.2, 0.31, 0.325, 0.35, 1.0])
    origins = torch.stack([torch.full_like(offset, -2.0), offset, torch.zeros_like(offset)], -1)
    directions = torch.tensor([[1.0, 0, 0]]).expand(6, 3)
    rays = (origins, directions, torch.zeros(6, dtype=torch.int32), torch.full((6,), 0.25))
    samples = march(backend, posed, rays)
    counts = samples.offsets.diff().tolist()
    for r, count in zip(offset.tolist(), counts, strict=True):
        t = (torch.arange(1000) + 0.25) * STEP
        distance = ((t - 2) ** 2 + r**2).sqrt() - 0.3
        kept = distance <= BAND
        deep = (distance < -BAND).nonzero()
        if len(deep):
            kept[deep[0, 0] + 1 :] = False
        assert count == int(kept.sum())


@pytest.mark.parametrize("backend", BACKENDS)
def test_long_rays_are_cut(backend):
    """A ray that stays within the band has at most MAX_SAMPLES_PER_RAY samples."""
    identity, center = torch.eye(3)[None, None], torch.zeros(1, 1, 3)
    posed = [identity, center, torch.tensor([[5.0, 0.05, 0.05]]), *SHARPNESSES]
    origin, direction = torch.tensor([[-4.0, 0.0, 0.06]]), torch.tensor([[1.0, 0, 0]])
    ray = (origin, direction, torch.zeros(1).int(), torch.zeros(1))
    assert len(march(backend, posed, ray).t) == MAX_SAMPLES_PER_RAY


@pytest.mark.parametrize("backend", BACKENDS)
def test_behind_the_camera_is_not_seen(backend):
    posed = posed_ellipsoids(1, 3)
    origins, directions = torch.tensor([[0.0, 0, 3]]), torch.tensor([[0.0, 0, 1]])
    samples = march(backend, posed, (origins, directions, torch.zeros(1).int(), torch.zeros(1)))
    assert len(samples.t) == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_rays(backend):
    posed = posed_ellipsoids(1, 3)
    samples = march(backend, posed, rays_at(posed, 0))
    assert samples.t.shape == (0,)
    assert samples.offsets.tolist() == [0]


@pytest.mark.parametrize("backend", KERNELS)
def test_non_contiguous_inputs(backend):
    posed = posed_ellipsoids(2, 5)
    rays = rays_at(posed, 6)
    strided = [non_contiguous(x) if x.dim() else x for x in posed], [non_contiguous(x) for x in rays]
    for x, y in zip(march(backend, posed, rays), march(backend, *strided), strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("backend", BACKENDS)
def test_fixed_capacity(backend, empty_is_nan):
    """Always so many rows: padding behind the samples, or samples dropped, the last ones, and counted."""
    posed = posed_ellipsoids(2, 4)
    rays = rays_at(posed, 11 if interpreted(backend) else 33)
    exact = march("numba", posed, rays)
    assert not exact.overflow
    count = len(exact.t)
    band, step = torch.tensor(BAND), torch.tensor(STEP)
    for capacity in (0, 1, count - 3, count, count + 300):
        samples = march(backend, posed, rays, capacity, band, step)
        assert samples.t.shape == samples.ray_ids.shape == (capacity,)
        kept = min(count, capacity)
        torch.testing.assert_close(samples.t[:kept], exact.t[:kept])
        assert torch.equal(samples.ray_ids[:kept], exact.ray_ids[:kept])
        assert torch.equal(samples.offsets, exact.offsets.clamp_max(capacity))
        assert (samples.t[kept:] == 0).all()
        assert (samples.ray_ids[kept:] == -1).all()
        assert samples.overflow.shape == ()
        assert int(samples.overflow) == max(count - capacity, 0)
        assert samples.overflow.dtype == samples.ray_ids.dtype == samples.offsets.dtype == torch.int64


def test_triton_asks_for_a_capacity():
    posed = posed_ellipsoids(1, 2)
    origins, directions, pose_ids, jitter = rays_at(posed, 2)
    with pytest.raises(ValueError, match="capacity"):
        operation("triton", "march")(origins, directions, pose_ids, *posed, jitter, BAND, STEP)
