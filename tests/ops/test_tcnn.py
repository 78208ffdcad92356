import importlib.util
from itertools import pairwise

import numpy as np
import pytest
import torch
from kernel_cases import assert_near, gradients

from wim_fast.errors import UserError
from wim_fast.ops import tcnn
from wim_fast.ops.mlp import reference as mlp_reference
from wim_fast.ops.part_encoding import reference
from wim_fast.ops.part_encoding.reference import FEATURES, MIN_WEIGHT, grid_layout, part_atlas

needs_tcnn = pytest.mark.skipif(
    not torch.cuda.is_available() or importlib.util.find_spec("tinycudann") is None,
    reason="tiny-cuda-nn needs an NVIDIA GPU and to be installed",
)


def padded_mlp(x, flat, columns, width, hidden, out):
    """What tiny-cuda-nn does with its flat parameters: input padded with ones to 16, output cut."""
    ceil16 = lambda n: (n + 15) // 16 * 16  # noqa: E731
    shapes = [(width, ceil16(columns))] + [(width, width)] * (hidden - 1) + [(ceil16(out), width)]
    h = torch.nn.functional.pad(x, (0, ceil16(columns) - columns), value=1.0)
    start = 0
    for i, (rows, cols) in enumerate(shapes):
        matrix = flat[start : start + rows * cols].view(rows, cols)
        start += rows * cols
        h = h @ matrix.t()
        h = torch.relu(h) if i < hidden else h
    assert start == len(flat)
    return h[:, :out]


def mlp_case(columns, width, hidden, out):
    generator = torch.Generator().manual_seed(columns)
    sizes = [columns] + [width] * hidden + [out]
    weights = [torch.randn(b, a, generator=generator) / a**0.5 for a, b in pairwise(sizes)]
    return torch.randn(40, columns, generator=generator), weights


@pytest.mark.parametrize(
    ("columns", "width", "hidden", "out"), [(12, 64, 2, 4), (32, 16, 1, 16), (3, 128, 4, 17)]
)
def test_mlp_parameters(columns, width, hidden, out):
    x, weights = mlp_case(columns, width, hidden, out)
    flat = tcnn.to_tcnn_mlp(weights)
    expected = mlp_reference.mlp(x, weights, "relu")
    torch.testing.assert_close(padded_mlp(x, flat, columns, width, hidden, out), expected)
    back = tcnn.from_tcnn_mlp(flat, [tuple(w.shape) for w in weights])
    assert all(torch.equal(a, b) for a, b in zip(back, weights, strict=True))


def test_mlp_gradients_come_back_in_our_shapes():
    x, weights = mlp_case(12, 32, 2, 4)
    for w in weights:
        w.requires_grad_()
    through_flat = padded_mlp(x, tcnn.to_tcnn_mlp(weights), 12, 32, 2, 4).square().sum()
    direct = mlp_reference.mlp(x, weights, "relu").square().sum()
    torch.testing.assert_close(
        torch.autograd.grad(through_flat, weights), torch.autograd.grad(direct, weights)
    )


class FakeNetwork(torch.nn.Module):
    """tiny-cuda-nn's module as its bindings have it: factors, results, cotangents and gradients of parameters are half."""

    def __init__(self, columns, width, hidden, out, activation):
        super().__init__()
        self.sizes = columns, width, hidden, out
        self.params = torch.nn.Parameter(torch.zeros(0))

    def forward(self, x):
        return padded_mlp(x.half(), self.params.half(), *self.sizes)


@pytest.mark.parametrize("size", [1e-9, 1e-7, 1.0, 1e6])
@pytest.mark.parametrize("rows", [1, 20_000])
def test_gradients_neither_vanish_nor_overflow_in_half(rows, size, monkeypatch):
    monkeypatch.setattr(tcnn, "_network", FakeNetwork)
    _, weights = mlp_case(12, 16, 1, 4)
    x = torch.randn(rows, 12, generator=torch.Generator().manual_seed(0))
    tensors = [t.requires_grad_() for t in (x, *weights)]
    out = tcnn.mlp(x, weights, "relu")
    assert out.dtype == torch.float32
    cotangent = torch.full_like(out, size)
    found = torch.autograd.grad(out, tensors, cotangent)
    expected = torch.autograd.grad(
        mlp_reference.mlp(x, weights, "relu", precision="half"), tensors, cotangent
    )
    for a, b in zip(found, expected, strict=True):
        assert_near(a / size, b / size, rmse=2e-2, maximum=2e-1)
    assert all(
        (g == 0).all() for g in torch.autograd.grad(tcnn.mlp(x, weights, "relu"), tensors, 0 * cotangent)
    )


def test_only_parts_that_are_read_reach_the_grid(monkeypatch):
    """Not padding, nor parts of no weight; and features and gradients are those of the reference."""
    atlas = part_atlas(3, 0.4, 0.2)
    layout = grid_layout(2, round(atlas.side / 0.2) + 1, 1.7, 10)
    asked = []

    class FakeEncoding(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.params = torch.nn.Parameter(torch.zeros(0))

        def forward(self, positions):
            asked.append(len(positions))
            return reference.hashgrid(positions, tcnn.from_tcnn_grid(self.params), layout)

    monkeypatch.setattr(tcnn, "_encoding", lambda layout: FakeEncoding())
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(9, 2, generator=generator)
    weights[3, 1] = 0.5 * MIN_WEIGHT
    weights[6:] = 0
    ids = torch.randint(3, (9, 2), generator=generator).to(torch.int32)
    local = torch.rand(9, 2, 3, generator=generator) - 0.5
    table = torch.randn(layout.num_entries, FEATURES, generator=generator)
    (a, grads_a), (b, grads_b) = (
        gradients(lambda x, w, t, f=f: [f(x, ids, w, t, layout, atlas)], [local, weights, table], range(3))
        for f in (tcnn.part_encoding, reference.part_encoding)
    )
    assert asked == [11]
    for x, y in zip(a + grads_a, b + grads_b, strict=True):
        torch.testing.assert_close(x, y)
    empty = tcnn.part_encoding(local, ids, 0 * weights, table, layout, atlas)
    assert torch.equal(empty, torch.zeros(9, 4))


def test_grid_parameters():
    table = torch.arange(24.0).view(12, FEATURES)
    flat = tcnn.to_tcnn_grid(table)
    assert flat.tolist() == list(range(24))
    assert torch.equal(tcnn.from_tcnn_grid(flat), table)


@pytest.mark.parametrize("parts", [1, 2, 8, 10, 20, 27, 30])
@pytest.mark.parametrize("finest", [0.2, 0.1, 0.05, 0.025, 0.0125, 0.01, 0.006, 0.003])
@pytest.mark.parametrize("log2_entries", [8, 14, 19, 22])
def test_configuration_gives_our_layout(parts, finest, log2_entries):
    """For the grids that scenes use: tiny-cuda-nn's own arithmetic, in float32, gives every offset and resolution of ours."""
    atlas = part_atlas(parts, 0.6, 0.2)
    levels = 1 + round(np.log2(0.2 / finest))
    growth = (0.2 / finest) ** (1 / max(levels - 1, 1))
    layout = grid_layout(levels, round(atlas.side / 0.2) + 1, growth, log2_entries)
    config = tcnn.hash_grid_config(layout)
    offsets = [0]
    for level in range(levels):
        exponent = np.float32(level) * np.log2(np.float32(config["per_level_scale"]))
        scale = np.exp2(exponent) * np.float32(config["base_resolution"]) - np.float32(1)
        points = int(np.ceil(scale)) + 1
        assert points == layout.resolutions[level]
        assert scale == pytest.approx(layout.scales[level], rel=1e-5)
        offsets.append(offsets[-1] + min(-(-(points**3) // 8) * 8, 2 ** config["log2_hashmap_size"]))
        assert (points**3 <= offsets[-1] - offsets[-2]) == layout.dense[level]
    assert tuple(offsets) == layout.offsets


def test_a_layout_that_tiny_cuda_nn_does_not_have():
    layout = reference.GridLayout(
        (9.0, 30.0, 39.0), (10, 31, 40), (0, 1000, 5096, 9192), (True, False, False)
    )
    with pytest.raises(ValueError, match="cannot lay out"):
        tcnn.hash_grid_config(layout)


@pytest.mark.skipif(importlib.util.find_spec("tinycudann") is not None, reason="tiny-cuda-nn is installed")
def test_absence_says_how_to_install():
    x, weights = mlp_case(12, 64, 2, 4)
    with pytest.raises(UserError, match=r"--no-build-isolation.*subdirectory=bindings/torch"):
        tcnn.mlp(x, weights, "relu")


def test_widths_that_the_fused_mlp_does_not_have():
    x, weights = mlp_case(12, 48, 2, 4)
    with pytest.raises(ValueError, match="width"):
        tcnn.mlp(x, weights, "relu")


@needs_tcnn
@pytest.mark.cuda
def test_mlp_on_the_gpu():
    x, weights = mlp_case(12, 64, 2, 4)
    tensors = (x, *weights)
    results = [
        gradients(lambda *t, f=f: [f(t[0], t[1:])], tensors, range(len(tensors)))
        for f in (
            lambda x, w: tcnn.mlp(x.cuda(), [v.cuda() for v in w], "relu").cpu(),
            lambda x, w: mlp_reference.mlp(x, w, "relu", precision="half"),
        )
    ]
    for a, b in zip(results[0][0] + results[0][1], results[1][0] + results[1][1], strict=True):
        assert_near(a, b, rmse=1e-2, maximum=1e-1)


@needs_tcnn
@pytest.mark.cuda
@pytest.mark.parametrize("log2_entries", [12, 22])
def test_part_encoding_on_the_gpu(log2_entries):
    generator = torch.Generator().manual_seed(0)
    atlas = part_atlas(9, 0.4, 0.2)
    layout = grid_layout(4, round(atlas.side / 0.2) + 1, 1.7, log2_entries)
    ids = torch.randint(9, (1000, 2), generator=generator).to(torch.int32)
    weights = torch.rand(1000, 2, generator=generator)
    weights[::7, 1] = 0.5 * MIN_WEIGHT
    tensors = [
        torch.rand(1000, 2, 3, generator=generator) - 0.5,
        weights,
        torch.randn(layout.num_entries, FEATURES, generator=generator),
    ]
    results = [
        gradients(lambda local, w, table, f=f: [f(local, w, table)], tensors, range(3))
        for f in (
            lambda local, w, table: tcnn.part_encoding(
                local.cuda(), ids.cuda(), w.cuda(), table.cuda(), layout, atlas
            ).cpu(),
            lambda local, w, table: reference.part_encoding(local, ids, w, table, layout, atlas),
        )
    ]
    for a, b in zip(results[0][0] + results[0][1], results[1][0] + results[1][1], strict=True):
        assert_near(a, b, rmse=1e-4, maximum=1e-2)
