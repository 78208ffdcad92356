import math

import pytest
import torch
from kernel_cases import BACKENDS, KERNELS, assert_near, gradients, interpreted, non_contiguous, operation
from torch.autograd import gradcheck

from wim_fast.ops.composite import reference
from wim_fast.ops.composite.reference import MIN_WEIGHT

INV_S = 120.0


def packed(counts, seed=0, falling=True):
    """Samples along rays: distances that mostly fall from outside to inside, colours, t, offsets."""
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.tensor([0, *counts]).cumsum(0)
    n = int(offsets[-1])
    sdf, t = torch.empty(n), torch.empty(n)
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        noise = 0.01 * torch.randn(end - start, generator=generator)
        slope = torch.linspace(0.03, -0.04, end - start) if falling else torch.zeros(end - start)
        sdf[start:end] = slope + noise
        t[start:end] = 2 + torch.rand(end - start, generator=generator).cumsum(0)
    return sdf, torch.rand(n, 3, generator=generator), t, offsets


def slow_composite(sdf, rgb, t, offsets, inv_s):
    """NeuS with alpha = max((Phi_k - Phi_{k+1}) / Phi_k, 0), sample by sample in Python floats."""

    def phi(x):
        return 1 / (1 + math.exp(-inv_s * float(x)))

    rows = []
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        transmittance, color, opacity, depth = 1.0, [0.0] * 3, 0.0, 0.0
        for k in range(start, end - 1):
            alpha = max((phi(sdf[k]) - phi(sdf[k + 1])) / phi(sdf[k]), 0.0)
            weight = transmittance * alpha
            color = [c + weight * 0.5 * float(rgb[k, i] + rgb[k + 1, i]) for i, c in enumerate(color)]
            opacity += weight
            depth += weight * 0.5 * float(t[k] + t[k + 1])
            transmittance *= 1 - alpha
        rows.append([*color, opacity, depth])
    return torch.tensor(rows)


def stack(out):
    return torch.cat([out.rgb, out.opacity[:, None], out.depth[:, None]], 1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_against_a_python_loop(backend):
    composite = operation(backend, "composite")
    case = packed([0, 1, 2, 5, 0, 9, 30, 1])
    out, expected = stack(composite(*case, INV_S)), slow_composite(*case, INV_S)
    torch.testing.assert_close(out, expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_opacity_telescopes(backend):
    """Along a falling distance the transmittance left is Phi_last / Phi_first."""
    composite = operation(backend, "composite")
    sdf = torch.linspace(0.02, -0.03, 11)
    out = composite(sdf, torch.ones(11, 3), torch.arange(11.0), torch.tensor([0, 11]), INV_S)
    left = torch.sigmoid(INV_S * sdf[-1]) / torch.sigmoid(INV_S * sdf[0])
    assert float(out.opacity) == pytest.approx(float(1 - left), abs=1e-6)
    torch.testing.assert_close(out.rgb, out.opacity[:, None].expand(1, 3))


@pytest.mark.parametrize("backend", BACKENDS)
def test_transmittance_at_samples(backend):
    """What is left of the light behind each sample's predecessors; nothing reaches padding."""
    composite = operation(backend, "composite")
    sdf = torch.tensor([0.02, 0.0, -0.01, 0.03, 0.01, -0.03, 0.04, -1.0]).requires_grad_()
    offsets = torch.tensor([0, 3, 3, 7])
    found = composite(sdf, torch.ones(8, 3), torch.arange(8.0), offsets, INV_S).transmittance
    phi = torch.sigmoid(INV_S * sdf.detach())
    expected = torch.stack([*(phi[:3] / phi[0]), *(phi[3:6] / phi[3]), phi[5] / phi[3], torch.tensor(0.0)])
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad


@pytest.mark.parametrize("backend", BACKENDS)
def test_rising_distance_is_transparent(backend):
    composite = operation(backend, "composite")
    out = composite(
        torch.linspace(-0.02, 0.03, 11), torch.ones(11, 3), torch.arange(11.0), torch.tensor([0, 11]), INV_S
    )
    assert float(out.opacity) == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_opaque_surface(backend):
    """At alpha = 1 (in float32) opacity is 1 and gradients are finite."""
    composite = operation(backend, "composite")
    sdf = torch.tensor([0.5, -0.5, -0.6]).requires_grad_()
    out = composite(sdf, torch.full((3, 3), 0.25), torch.tensor([1.0, 2, 3]), torch.tensor([0, 3]), 600.0)
    assert float(out.opacity.detach()) == pytest.approx(1)
    assert float(out.depth.detach()) == pytest.approx(1.5)
    out.opacity.sum().backward()
    assert sdf.grad.isfinite().all()


@pytest.mark.parametrize("backend", KERNELS)
def test_rays_are_independent(backend):
    composite = operation(backend, "composite")
    counts = [7, 3, 12]
    sdf, rgb, t, offsets = packed(counts)
    together = stack(composite(sdf, rgb, t, offsets, INV_S))
    for i, count in enumerate(counts):
        part = slice(int(offsets[i]), int(offsets[i + 1]))
        alone = stack(composite(sdf[part], rgb[part], t[part], torch.tensor([0, count]), INV_S))
        assert torch.equal(alone[0], together[i])


def test_reference_gradients_in_float64():
    sdf, rgb, t, offsets = packed([0, 4, 1, 6])
    inputs = [x.double().requires_grad_() for x in (sdf, rgb)]
    t = t.double()
    assert gradcheck(lambda a, b: reference.composite(a, b, t, offsets, 40.0), inputs, eps=1e-7)


@pytest.mark.parametrize("backend", KERNELS)
@pytest.mark.parametrize("inv_s", [20.0, 150.0, 600.0])
@pytest.mark.parametrize(
    "counts", [[], [0], [1], [0, 0, 1], [2], [63, 0, 1], [65], [5, 0, 17, 1, 33] * 40], ids=len
)
@pytest.mark.parametrize("padding", [0, 1, 70])
def test_kernel_against_reference(backend, counts, inv_s, padding, empty_is_nan):
    """Forward and gradients; those of padding are zero. The sharpness may be a number or a tensor."""
    if interpreted(backend):
        counts = counts[:6]
    composite = operation(backend, "composite")
    sdf, rgb, t, offsets = with_padding(packed(counts, seed=len(counts)), padding)
    outputs, grads = gradients(
        lambda a, b: composite(a, b, t, offsets, torch.tensor(inv_s)), [sdf, rgb], (0, 1)
    )
    expected, expected_grads = gradients(
        lambda a, b: reference.composite(a, b, t, offsets, inv_s), [sdf, rgb], (0, 1)
    )
    for name, x, y in zip(("rgb", "opacity", "depth", "transmittance"), outputs, expected, strict=True):
        assert_near(x, y, rmse=1e-5, maximum=1e-4, name=name)
    for name, unit, x, y in zip(("sdf", "rgb"), (1 / inv_s, 1), grads, expected_grads, strict=True):
        assert_near(unit * x, unit * y, rmse=2e-4, maximum=2e-3, name=f"gradient of {name}")
        assert (x[int(offsets[-1]) :] == 0).all()
        assert (y[int(offsets[-1]) :] == 0).all()


def with_padding(case, rows):
    """The same rays, with rows behind them that belong to none."""
    sdf, rgb, t, offsets = case
    return (
        torch.cat([sdf, -torch.ones(rows)]),
        torch.cat([rgb, torch.ones(rows, 3)]),
        torch.cat([t, torch.ones(rows)]),
        offsets,
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_transparent_samples_stay_accurate(backend):
    """The running sum of logarithms over thousands of rays must not drown a ray's own."""
    rays = 60 if interpreted(backend) else 3000
    case = packed([20] * rays, falling=False)
    out = stack(operation(backend, "composite")(*case, INV_S))
    torch.testing.assert_close(out[-50:], slow_composite(*last(case, 50), INV_S), atol=2e-5, rtol=2e-5)


def last(case, rays):
    sdf, rgb, t, offsets = case
    start = int(offsets[-rays - 1])
    return sdf[start:], rgb[start:], t[start:], offsets[-rays - 1 :] - start


@pytest.mark.parametrize("counts", [[], [0, 1], [1, 0, 2, 40, 3], [5, 0, 17, 1, 33] * 4], ids=len)
@pytest.mark.parametrize("backend", KERNELS)
def test_samples_that_show(backend, counts, empty_is_nan):
    """Both ends of every interval that weighs MIN_WEIGHT and what is behind; without others next to nothing changes."""
    sdf, rgb, t, offsets = packed(counts, seed=3)
    visible, composite = operation(backend, "composite", "visible_samples"), operation(backend, "composite")
    keep = visible(sdf, t, offsets, INV_S, 1.0, 1)
    expected = torch.zeros(len(sdf), dtype=torch.bool)
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        ray, before = (sdf[start:end], rgb[start:end], t[start:end]), 0.0
        for k in range(
            2, end - start + 1
        ):  # the opacity of the first k samples grows by the last interval's weight
            opacity = float(slow_composite(*(x[:k] for x in ray), torch.tensor([0, k]), INV_S)[0, 3])
            expected[start + k - 2 : min(start + k + 1, end)] |= opacity - before >= MIN_WEIGHT
            before = opacity
    assert torch.equal(keep, expected)
    kept = torch.cat([offsets.new_zeros(1), keep.cumsum(0)])[offsets]
    fewer = stack(composite(sdf[keep], rgb[keep], t[keep], kept, INV_S))
    torch.testing.assert_close(
        fewer, stack(composite(sdf, rgb, t, offsets, INV_S)), atol=30 * MIN_WEIGHT, rtol=0.01
    )


@pytest.mark.parametrize("backend", KERNELS)
def test_non_contiguous_inputs(backend):
    composite = operation(backend, "composite")
    sdf, rgb, t, offsets = packed([5, 0, 9])
    a = stack(composite(sdf, rgb, t, offsets, INV_S))
    b = stack(composite(non_contiguous(sdf), non_contiguous(rgb), non_contiguous(t), offsets, INV_S))
    assert torch.equal(a, b)


def even_samples(counts, divisions, step, seed=5):
    """Rays with samples `divisions` steps apart, in some of which there are gaps: distances, t, offsets."""
    sdf, _, _, offsets = packed(counts, seed)
    generator = torch.Generator().manual_seed(seed)
    apart = torch.where(torch.rand(len(sdf), generator=generator) < 0.1, 2.0, 1.0)
    apart[offsets[:-1][offsets[:-1] < len(sdf)]] += (
        3  # the first of a ray has nothing to do with the last ray
    )
    return sdf, divisions * step * apart.cumsum(0), offsets


@pytest.mark.parametrize("divisions", [1, 2, 5])
@pytest.mark.parametrize("counts", [[], [0, 1], [1, 0, 2, 40, 3], [5, 0, 17, 1, 33] * 4], ids=len)
@pytest.mark.parametrize("backend", KERNELS)
def test_points_between_samples_that_show(backend, counts, divisions, empty_is_nan):
    """Those of the reference, whatever lies behind the last ray's samples."""
    sdf, t, offsets = even_samples(counts, divisions, 0.01)
    visible = operation(backend, "composite", "visible_samples")
    expected = reference.visible_samples(sdf, t, offsets, INV_S, 0.01, divisions)
    assert len(expected) == divisions * len(sdf)
    assert torch.equal(visible(sdf, t, offsets, INV_S, 0.01, divisions), expected)
    sdf, _, t, offsets = with_padding((sdf, sdf[:, None].expand(-1, 3), t, offsets), 700)
    padded = visible(sdf, t, offsets, torch.tensor(INV_S), torch.tensor(0.01), divisions)
    assert torch.equal(padded[: len(expected)], expected)
    assert not padded[len(expected) :].any()


def test_distances_between_samples():
    """Cubics where four samples are as far apart as they should be, else lines, and nothing but the sample in gaps."""

    def cubic(t):
        return t**3 - 2 * t**2 + 0.5 * t

    t = torch.tensor([0.0, 1, 2, 3, 4, 7, 8, 9])
    found = reference.divided(cubic(t), t, torch.tensor([0, 5, 8]), 0.25, 4).view(8, 4)
    fine = t[:, None] + torch.arange(4) / 4
    line = torch.lerp(cubic(t)[:, None], cubic(t + 1)[:, None], torch.arange(4) / 4)
    quadratic = (t**2)[:, None] + 2 * t[:, None] * (fine - t[:, None]) + (fine - t[:, None]) ** 2
    torch.testing.assert_close(found[[0, 3, 5, 6]], line[[0, 3, 5, 6]])
    torch.testing.assert_close(found[[4, 7]], cubic(t)[[4, 7], None].expand(2, 4))
    of_squares = reference.divided(t**2, t, torch.tensor([0, 5, 8]), 0.25, 4).view(8, 4)
    torch.testing.assert_close(of_squares[1:3], quadratic[1:3])  # exact for a parabola


def test_the_point_behind_what_shows_is_kept():
    """Between samples a line may say that a ray ends before it does."""
    sdf = torch.tensor([0.04, 0.0, -0.2])
    keep = reference.visible_samples(sdf, 0.04 * torch.arange(3.0), torch.tensor([0, 3]), 400.0, 0.01, 4)
    last = int(keep.nonzero().max())
    fine = reference.divided(sdf, 0.04 * torch.arange(3.0), torch.tensor([0, 3]), 0.01, 4)
    light = torch.sigmoid(400 * fine)
    assert light[last - 1] < MIN_WEIGHT < light[last - 2]
