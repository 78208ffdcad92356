import numpy as np
import pytest
import torch
from kernel_cases import operation

from wim_fast.ops.pictures import reference

BACKENDS = ["torch", "numba"]  # on a GPU pictures take the references
T = torch.tensor([1.0, 1.1, 1.2, 1.3, 1.4, 2.0, 2.1, 2.2, 3.0])
SDF = torch.tensor([0.3, 0.2, 0.02, -0.2, -0.3, 0.08, 0.06, 0.3, -0.2])
OFFSETS = torch.tensor([0, 5, 5, 8, 9])
NEAR = {"spread": 0.0, "inv_s": 100.0, "longest": 0.15}


def op(backend, name):
    return operation(backend, "pictures", name)


def many_rays(rays=500, seed=0):
    """Samples of rays, many without any, that lie 0.02 apart or farther; they meet the surface up to three times."""
    generator = torch.Generator().manual_seed(seed)
    counts = (torch.rand(rays, generator=generator) ** 2 * 20).long()
    offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    length = 0.02 * (1 + 3 * (torch.rand(int(offsets[-1]), generator=generator) < 0.1))
    t = 1 + length.cumsum(0) % 7
    t = torch.cat([run.sort().values for run in t.split(counts.tolist())])
    return t, 0.03 * torch.sin(40 * t) + 0.01 * torch.randn(len(t), generator=generator), offsets


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({}, [3, 6]),  # ray 0 meets the surface, ray 2 may touch it between its first two samples, 0.1 apart
        ({"inv_s": 400.0}, [3]),  # (0.08 + 0.06 - 0.1) / 2 is eight sigmoids
        ({"spread": 0.04}, [2, 3, 6]),
        ({"spread": 0.16}, [1, 2, 3, 4, 6, 7]),  # what is behind may now be in front
        ({"longest": 0.05}, []),
    ],
)
def test_intervals_in_which_the_surface_can_be_seen(backend, changes, seen):
    """They are halved, and are what rays near the guide look at."""
    near = {**NEAR, **changes}
    finer = op(backend, "finer_samples")(T, SDF, OFFSETS, *near.values(), 0.0)
    np.testing.assert_allclose(finer.new.t, [T[i - 1 : i + 1].mean() for i in seen], atol=1e-6)
    samples = op(backend, "near_samples")(T, SDF, OFFSETS, None, 1, *near.values(), 1.0)
    ends = sorted({j for i in seen for j in (i - 1, i)})
    assert samples.t.tolist() == T[ends].tolist()


@pytest.mark.parametrize("backend", BACKENDS)
def test_samples_near_guides(backend):
    """0.1 becomes two steps of 0.05; neighbours share the sample between them, and a guide's rays have the same."""
    near_samples = op(backend, "near_samples")
    near = (0.04, 100.0, 0.15, 0.045)
    of_first, of_third = [1.1, 1.15, 1.2, 1.25, 1.3], [2.0, 2.05, 2.1]
    samples = near_samples(T, SDF, OFFSETS, None, 2, *near)
    np.testing.assert_allclose(samples.t, 2 * of_first + 2 * of_third, atol=1e-6)
    assert samples.ray_ids.tolist() == [0] * 5 + [1] * 5 + [4] * 3 + [5] * 3
    assert samples.offsets.tolist() == [0, 5, 10, 10, 10, 13, 16, 16, 16]
    samples = near_samples(T, SDF, OFFSETS, torch.tensor([3, 2, 0]), 1, *near)
    np.testing.assert_allclose(samples.t, of_third + of_first, atol=1e-6)
    assert samples.offsets.tolist() == [0, 0, 3, 8]
    nothing = near_samples(T, SDF + 9, OFFSETS, None, 3, *near)
    assert len(nothing.t) == 0
    assert nothing.offsets.tolist() == [0] * 13


@pytest.mark.parametrize("backend", BACKENDS)
def test_finer_samples_stand_between_the_others(backend):
    finer_samples = op(backend, "finer_samples")
    finer = finer_samples(T, SDF, OFFSETS, *NEAR.values(), 0.0)
    assert finer.rows.tolist() == [0, 1, 2, 9, 3, 4, 5, 10, 6, 7, 8]
    assert finer.offsets.tolist() == [0, 6, 6, 10, 11]
    assert finer.new.offsets.tolist() == [0, 1, 1, 2, 2]
    assert finer.new.ray_ids.tolist() == [0, 2]
    assert finer.t.tolist() == torch.cat([T, finer.new.t])[finer.rows].tolist()
    assert all((run.diff() > 0).all() for run in finer.t.tensor_split(finer.offsets[1:-1]))
    unchanged = finer_samples(T, SDF, OFFSETS, *NEAR.values(), 0.11)
    assert unchanged.t.tolist() == T.tolist()
    assert unchanged.offsets.tolist() == OFFSETS.tolist()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sample_ahead_of_what_begins_near_the_surface(backend):
    """Ray 0 begins 0.3 away, the others at 0.08 and inside: 0.1 ahead of these something may be."""
    finer = op(backend, "finer_samples")(T, SDF, OFFSETS, *NEAR.values(), 0.0, 0.1)
    np.testing.assert_allclose(finer.new.t, [1.9, 2.9], atol=1e-6)
    assert finer.rows.tolist() == [0, 1, 2, 3, 4, 9, 5, 6, 7, 10, 8]


@pytest.mark.parametrize("backend", BACKENDS)
def test_runs_are_closed(backend):
    """Each begins where nothing is, and one that ends inside ends there; 1.4 and 2.0 are of two rays."""
    closed_runs, clear = op(backend, "closed_runs"), reference.CLEAR_SIGMOIDS / 100
    closed = closed_runs(T, SDF, OFFSETS, 0.15, 100.0)
    expected = [clear, 0.2, 0.02, -0.2, -clear, clear, 0.06, 0.3, clear]
    np.testing.assert_allclose(closed, expected, rtol=1e-6)
    apart = closed_runs(T, SDF, OFFSETS, 0.05, 100.0)  # so that each sample is a run
    np.testing.assert_allclose(apart, [clear] * 9, rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_part_that_is_seen(backend):
    parts, depth = torch.arange(9, dtype=torch.int32), torch.tensor([1.24, 1.0, 9.0, 0.0])
    assert op(backend, "part_seen")(T, OFFSETS, parts, depth).tolist() == [2, -1, 7, 8]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (6, 1), (9, 11)])
def test_edge_pixels(backend, height, width):
    color = torch.rand(height, width, 4, generator=torch.Generator().manual_seed(0))
    expected = np.zeros((height, width), bool)
    for y, x in np.ndindex(height, width):
        around = color[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].reshape(-1, 4)
        expected[y, x] = bool(((around.max(0).values - around.min(0).values) > 0.8).any())
    edges = op(backend, "edge_pixels")(color, 0.8)
    assert edges.numpy().tolist() == expected.tolist()
    assert min(height, width) == 1 or 0 < expected.mean() < 1


@pytest.mark.parametrize("spread", [0.0, 2e-3])
def test_kernels_and_references_agree(spread):
    """On rays in every state: dark early, dark never, with gaps, with nothing to see."""
    t, sdf, offsets = many_rays()
    near = spread, 150.0, 0.03
    guides = torch.randperm(len(offsets) - 1, generator=torch.Generator().manual_seed(1))[:200]
    for chosen in (None, guides):
        found, expected = (
            op(backend, "near_samples")(t, sdf, offsets, chosen, 4, *near, 0.012)
            for backend in ("numba", "torch")
        )
        assert len(expected.t) > 400
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs)
    for ahead in (0.0, 0.02):
        found, expected = (
            op(backend, "finer_samples")(t, sdf, offsets, *near, 0.015, ahead)
            for backend in ("numba", "torch")
        )
        assert len(expected.new.t) > 100
        for ours, theirs in zip((*found[:3], *found[3]), (*expected[:3], *expected[3]), strict=True):
            torch.testing.assert_close(ours, theirs)
    depth = 1 + 7 * torch.rand(len(offsets) - 1)
    for name, arguments in (
        ("closed_runs", (t, sdf, offsets, 0.03, 150.0)),
        ("part_seen", (t, offsets, torch.arange(len(t), dtype=torch.int32), depth)),
    ):
        torch.testing.assert_close(op("numba", name)(*arguments), op("torch", name)(*arguments))


def test_nothing_to_look_at():
    """No rays, and rays without samples."""
    none = torch.zeros(0)
    for offsets in (torch.tensor([0]), torch.tensor([0, 0, 0])):
        for backend in BACKENDS:
            samples = op(backend, "near_samples")(none, none, offsets, None, 4, *NEAR.values(), 0.1)
            assert samples.offsets.tolist() == [0] * (4 * (len(offsets) - 1) + 1)
            finer = op(backend, "finer_samples")(none, none, offsets, *NEAR.values(), 0.0)
            assert len(finer.t) == len(finer.new.t) == 0
            assert len(op(backend, "closed_runs")(none, none, offsets, 0.1, 100.0)) == 0
