import math

import pytest
import torch
from kernel_cases import assert_near, gradients, non_contiguous
from torch.autograd import gradcheck

from wim_fast.ops.composite import cpu, reference
from wim_fast.ops.composite.reference import MIN_WEIGHT

INV_S = 120.0
IMPLEMENTATIONS = [reference.composite, cpu.composite]


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


@pytest.mark.parametrize("composite", IMPLEMENTATIONS)
def test_against_a_python_loop(composite):
    case = packed([0, 1, 2, 5, 0, 9, 30, 1])
    out, expected = stack(composite(*case, INV_S)), slow_composite(*case, INV_S)
    torch.testing.assert_close(out, expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("composite", IMPLEMENTATIONS)
def test_opacity_telescopes(composite):
    """Along a falling distance the transmittance left is Phi_last / Phi_first."""
    sdf = torch.linspace(0.02, -0.03, 11)
    out = composite(sdf, torch.ones(11, 3), torch.arange(11.0), torch.tensor([0, 11]), INV_S)
    left = torch.sigmoid(INV_S * sdf[-1]) / torch.sigmoid(INV_S * sdf[0])
    assert float(out.opacity) == pytest.approx(float(1 - left), abs=1e-6)
    torch.testing.assert_close(out.rgb, out.opacity[:, None].expand(1, 3))


@pytest.mark.parametrize("composite", IMPLEMENTATIONS)
def test_rising_distance_is_transparent(composite):
    out = composite(
        torch.linspace(-0.02, 0.03, 11), torch.ones(11, 3), torch.arange(11.0), torch.tensor([0, 11]), INV_S
    )
    assert float(out.opacity) == 0


@pytest.mark.parametrize("composite", IMPLEMENTATIONS)
def test_opaque_surface(composite):
    """At alpha = 1 (in float32) opacity is 1 and gradients are finite."""
    sdf = torch.tensor([0.5, -0.5, -0.6]).requires_grad_()
    out = composite(sdf, torch.full((3, 3), 0.25), torch.tensor([1.0, 2, 3]), torch.tensor([0, 3]), 600.0)
    assert float(out.opacity.detach()) == pytest.approx(1)
    assert float(out.depth.detach()) == pytest.approx(1.5)
    out.opacity.sum().backward()
    assert sdf.grad.isfinite().all()


def test_rays_are_independent():
    counts = [7, 3, 12]
    sdf, rgb, t, offsets = packed(counts)
    together = stack(cpu.composite(sdf, rgb, t, offsets, INV_S))
    for i, count in enumerate(counts):
        part = slice(int(offsets[i]), int(offsets[i + 1]))
        alone = stack(cpu.composite(sdf[part], rgb[part], t[part], torch.tensor([0, count]), INV_S))
        assert torch.equal(alone[0], together[i])


def test_reference_gradients_in_float64():
    sdf, rgb, t, offsets = packed([0, 4, 1, 6])
    inputs = [x.double().requires_grad_() for x in (sdf, rgb)]
    t = t.double()
    assert gradcheck(lambda a, b: reference.composite(a, b, t, offsets, 40.0), inputs, eps=1e-7)


@pytest.mark.parametrize("inv_s", [20.0, 150.0, 600.0])
@pytest.mark.parametrize(
    "counts", [[], [0], [1], [0, 0, 1], [2], [60], [63, 0, 1], [5, 0, 17, 1, 33] * 40, [1] * 50], ids=len
)
def test_kernel_against_reference(counts, inv_s):
    sdf, rgb, t, offsets = packed(counts, seed=len(counts))
    (expected, expected_grads), (outputs, grads) = (
        gradients(lambda a, b, f=f: f(a, b, t, offsets, inv_s), [sdf, rgb], (0, 1)) for f in IMPLEMENTATIONS
    )
    for name, x, y in zip(("rgb", "opacity", "depth"), outputs, expected, strict=True):
        assert_near(x, y, rmse=1e-5, maximum=1e-4, name=name)
    for name, x, y in zip(("sdf", "rgb"), grads, expected_grads, strict=True):
        assert_near(x, y, rmse=2e-4, maximum=2e-3, name=f"gradient of {name}")


def test_many_transparent_samples_stay_accurate():
    """The running sum of logarithms over thousands of rays must not drown a ray's own."""
    case = packed([20] * 3000, falling=False)
    for composite in IMPLEMENTATIONS:
        out = stack(composite(*case, INV_S))
        torch.testing.assert_close(out[-50:], slow_composite(*last(case, 50), INV_S), atol=2e-5, rtol=2e-5)


def last(case, rays):
    sdf, rgb, t, offsets = case
    start = int(offsets[-rays - 1])
    return sdf[start:], rgb[start:], t[start:], offsets[-rays - 1 :] - start


@pytest.mark.parametrize("counts", [[], [0, 1], [1, 0, 2, 40, 3], [5, 0, 17, 1, 33] * 4], ids=len)
def test_samples_that_show(counts):
    """Both ends of every interval that weighs MIN_WEIGHT; without the others next to nothing changes."""
    sdf, rgb, t, offsets = packed(counts, seed=3)
    keep = cpu.visible_samples(sdf, offsets, INV_S)
    assert torch.equal(keep, reference.visible_samples(sdf, offsets, INV_S))
    expected = torch.zeros(len(sdf), dtype=torch.bool)
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        ray, before = (sdf[start:end], rgb[start:end], t[start:end]), 0.0
        for k in range(
            2, end - start + 1
        ):  # the opacity of the first k samples grows by the last interval's weight
            opacity = float(slow_composite(*(x[:k] for x in ray), torch.tensor([0, k]), INV_S)[0, 3])
            expected[start + k - 2 : start + k] |= opacity - before >= MIN_WEIGHT
            before = opacity
    assert torch.equal(keep, expected)
    kept = torch.cat([offsets.new_zeros(1), keep.cumsum(0)])[offsets]
    fewer = stack(cpu.composite(sdf[keep], rgb[keep], t[keep], kept, INV_S))
    torch.testing.assert_close(
        fewer, stack(cpu.composite(sdf, rgb, t, offsets, INV_S)), atol=30 * MIN_WEIGHT, rtol=0.01
    )


def test_non_contiguous_inputs():
    sdf, rgb, t, offsets = packed([5, 0, 9])
    a = stack(cpu.composite(sdf, rgb, t, offsets, INV_S))
    b = stack(cpu.composite(non_contiguous(sdf), non_contiguous(rgb), non_contiguous(t), offsets, INV_S))
    assert torch.equal(a, b)
