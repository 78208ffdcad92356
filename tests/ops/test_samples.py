import pytest
import torch
from kernel_cases import BACKENDS, KERNELS, gradients, operation

from wim_fast.ops.march.reference import Samples
from wim_fast.ops.samples import reference

STEP = 0.02


def marched(counts, padding=0, seed=0):
    """Rays (R, ...) and samples of them, with `padding` rows behind."""
    generator = torch.Generator().manual_seed(seed)
    rays = len(counts)
    origins, directions = (torch.randn(rays, 3, generator=generator) for _ in range(2))
    directions = torch.nn.functional.normalize(directions, dim=-1)
    pose_ids = torch.randint(5, (rays,), generator=generator).to(torch.int32)
    offsets = torch.tensor([0, *counts]).cumsum(0)
    t = torch.rand(int(offsets[-1]), generator=generator)
    ray_ids = torch.repeat_interleave(torch.tensor(counts, dtype=torch.int64))
    samples = Samples.packed(t, ray_ids, offsets, len(t) + padding if padding else None)
    return (origins, directions, pose_ids), samples


def wanted(samples, divisions, share=0.4):
    """Some of the points that are no padding."""
    count = divisions * len(samples.t)
    keep = torch.rand(count, generator=torch.Generator().manual_seed(1)) < share
    return keep & (torch.arange(count) < divisions * samples.offsets[-1])


def test_where_samples_are():
    rays, samples = marched([3, 0, 2])
    found = reference.samples_along(*rays, samples)
    assert torch.equal(found.t, samples.t)
    assert torch.equal(found.pose_ids, rays[2][[0, 0, 0, 2, 2]])
    torch.testing.assert_close(found.points[3], rays[0][2] + samples.t[3] * rays[1][2])


def test_points_between_them():
    rays, samples = marched([3, 0, 2])
    keep = torch.zeros(15, dtype=torch.bool)
    keep[[1, 8, 9]] = True  # one step behind sample 0, two behind sample 2, and sample 3
    found = reference.samples_along(*rays, samples, keep, STEP, 3)
    torch.testing.assert_close(found.t, samples.t[[0, 2, 3]] + STEP * torch.tensor([1, 2, 0]))
    assert found.offsets.tolist() == [0, 2, 2, 3]
    assert int(found.overflow) == 0


@pytest.mark.parametrize("room", [-5, 0, 20])
@pytest.mark.parametrize("padding", [0, 30])
@pytest.mark.parametrize("backend", BACKENDS)
def test_fixed_capacity(backend, room, padding, empty_is_nan):
    """The first of them, then padding; what is dropped is added to what was."""
    samples_along = operation(backend, "samples", "samples_along")
    rays, samples = marched([3, 0, 12, 1, 20], padding)
    keep = wanted(samples, 3)
    exact = reference.samples_along(*rays, samples, keep, STEP, 3)
    count = len(exact.t)
    capacity = count + room
    samples = samples._replace(overflow=torch.tensor(3))
    found = samples_along(*rays, samples, keep, torch.tensor(STEP), 3, capacity)
    for name in ("points", "pose_ids", "t"):
        rows, expected = getattr(found, name), getattr(exact, name)
        assert len(rows) == capacity
        assert rows.dtype == expected.dtype
        torch.testing.assert_close(rows[:count], expected[:capacity])
        assert (rows[count:] == (-1 if name == "pose_ids" else 0)).all()
    assert torch.equal(found.offsets, exact.offsets.clamp_max(capacity))
    assert int(found.overflow) == 3 + max(-room, 0)


@pytest.mark.parametrize("counts", [[0], [0, 3, 1], [5, 0, 17, 1, 33] * 4], ids=len)
@pytest.mark.parametrize("padding", [0, 70])
@pytest.mark.parametrize("chosen", [True, False])
@pytest.mark.parametrize("backend", KERNELS)
def test_against_the_reference(backend, counts, padding, chosen, empty_is_nan):
    """Forward and gradients of the rays."""
    samples_along = operation(backend, "samples", "samples_along")
    (origins, directions, pose_ids), samples = marched(counts, padding)
    if backend == "triton" and chosen and not len(samples.t):
        pytest.skip("on a GPU there are always rows")
    keep = wanted(samples, 2) if chosen else None
    capacity = int(keep.sum()) + padding if chosen else None

    def along(function):
        def outputs(origins, directions):
            return function(origins, directions, pose_ids, samples, keep, STEP, 2, capacity)

        return outputs

    ours, grads = gradients(along(samples_along), [origins, directions], (0, 1))
    expected, expected_grads = gradients(along(reference.samples_along), [origins, directions], (0, 1))
    for x, y in zip([*ours, *grads], [*expected, *expected_grads], strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-5)
    ours, expected = (along(f)(origins, directions) for f in (samples_along, reference.samples_along))
    assert torch.equal(ours.pose_ids, expected.pose_ids)
    assert torch.equal(ours.offsets, expected.offsets)
    assert not ours.points.requires_grad
