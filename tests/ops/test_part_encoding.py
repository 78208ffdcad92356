import itertools
import math
import os

import numpy as np
import pytest
import torch
from kernel_cases import assert_near, gradients, non_contiguous
from torch.autograd import gradcheck

from wim_fast.ops.part_encoding import cpu, reference
from wim_fast.ops.part_encoding.reference import (
    FEATURES,
    MIN_WEIGHT,
    PRIMES,
    atlas_positions,
    grid_layout,
    hashgrid,
    part_atlas,
)


def triton_encoding(local, ids, weights, table, layout, atlas):
    """Triton's kernel on the GPU, or in Triton's interpreter where there is none; arguments and result on the CPU."""
    pytest.importorskip("triton", reason="triton is not installed")
    from wim_fast.ops.part_encoding.triton import part_encoding

    if not torch.cuda.is_available():
        if os.environ.get("TRITON_INTERPRET") != "1":
            pytest.skip("neither a GPU nor Triton's interpreter (TRITON_INTERPRET=1)")
        return part_encoding(local, ids, weights, table, layout, atlas)
    return part_encoding(*(x.cuda() for x in (local, ids, weights, table)), layout, atlas).cpu()


KERNELS = [
    pytest.param(cpu.part_encoding, 2000, id="numba"),
    pytest.param(triton_encoding, 2000 if torch.cuda.is_available() else 65, id="triton"),
]
IMPLEMENTATIONS = [reference.part_encoding, cpu.part_encoding, triton_encoding]


def case(count, parts, top_k, seed=0, log2_entries=12, spread=0.5):
    """A grid with dense and hashed levels, points and their parts; some weigh nothing, some lie outside."""
    generator = torch.Generator().manual_seed(seed)
    atlas = part_atlas(parts, 0.4, 0.2)
    layout = grid_layout(4, round(atlas.side / 0.2) + 1, 1.7, log2_entries)
    local = (torch.rand(count, top_k, 3, generator=generator) * 2 - 1) * spread
    ids = torch.randint(parts, (count, top_k), generator=generator).to(torch.int32)
    weights = torch.rand(count, top_k, generator=generator).softmax(1)
    weights[::7, -1] = 0.5 * MIN_WEIGHT
    table = torch.randn(layout.num_entries, FEATURES, generator=generator)
    return local, ids, weights, table, layout, atlas


def slow_features(position, table, layout):
    """One point in the unit cube: trilinear interpolation written out, Python integers for the hash."""
    features = []
    for level, scale in enumerate(layout.scales):
        x = [float(p) * scale + 0.5 for p in position]
        cell = [math.floor(v) for v in x]
        start, size = layout.offsets[level], layout.offsets[level + 1] - layout.offsets[level]
        total = np.zeros(FEATURES)
        for corner in itertools.product((0, 1), repeat=3):
            grid = [c + o for c, o in zip(cell, corner, strict=True)]
            if layout.dense[level]:
                n = layout.resolutions[level]
                index = grid[0] + n * grid[1] + n * n * grid[2]
            else:
                index = 0
                for g, prime in zip(grid, PRIMES, strict=True):
                    index ^= (g * prime) % 2**32
            weight = math.prod(abs(1 - o - (v - c)) for v, c, o in zip(x, cell, corner, strict=True))
            total += weight * table[start + index % size]
        features.append(total)
    return np.concatenate(features)


def test_layout_is_that_of_tiny_cuda_nn():
    """Level l: scale base b^l - 1, resolution ceil(scale) + 1, sizes multiples of 8, dense while they fit."""
    layout = grid_layout(6, 16, 1.5, 14)
    for level in range(6):
        scale = 16 * 1.5**level - 1
        assert layout.scales[level] == pytest.approx(scale)
        assert layout.resolutions[level] == math.ceil(scale) + 1
        size = layout.offsets[level + 1] - layout.offsets[level]
        assert size % 8 == 0
        assert size == min(-(-(layout.resolutions[level] ** 3) // 8) * 8, 2**14)
        assert layout.dense[level] == (layout.resolutions[level] ** 3 <= 2**14)
    assert layout.dense[0]
    assert not layout.dense[-1]
    assert layout.num_entries == layout.offsets[-1]
    assert layout.num_levels == 6


def test_hash_primes():
    assert PRIMES == (1, 2654435761, 805459861)


def test_hashgrid_against_slow_interpolation():
    *_, table, layout, _ = case(0, 5, 1)
    positions = torch.rand(60, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert set(layout.dense) == {True, False}
    expected = np.stack([slow_features(p, table.double().numpy(), layout) for p in positions.numpy()])
    np.testing.assert_allclose(hashgrid(positions, table.double(), layout), expected, atol=1e-12)


def test_indices_wrap_at_the_end_of_a_dense_level():
    """The far corner of the unit cube reads past the last grid point: the index wraps within its level."""
    layout = grid_layout(1, 4, 1.0, 19)
    table = torch.arange(layout.num_entries, dtype=torch.float64)[:, None].expand(-1, FEATURES)
    corner = torch.ones(1, 3, dtype=torch.float64)
    np.testing.assert_allclose(
        hashgrid(corner, table, layout)[0], slow_features(corner[0], table.numpy(), layout)
    )


@pytest.mark.parametrize("parts", [1, 2, 8, 9, 20, 27, 28])
def test_tiles_never_bleed_into_each_other(parts):
    """No grid point that one part reads on a dense level is read by another (cells of 0.2 and finer)."""
    atlas = part_atlas(parts, 0.4, 0.2)
    layout = grid_layout(3, round(atlas.side / 0.2) + 1, 1.6, 22)
    assert all(layout.dense)
    generator = torch.Generator().manual_seed(0)
    local = (torch.rand(400, 3, generator=generator) * 2 - 1) * 0.9  # far outside of the box too
    owner = torch.full((layout.num_entries,), -1)
    for part in range(parts):
        table = torch.zeros(layout.num_entries, FEATURES, requires_grad=True)
        ids = torch.full((len(local), 1), part, dtype=torch.int32)
        ones = torch.ones(len(local), 1)
        reference.part_encoding(local[:, None], ids, ones, table, layout, atlas).sum().backward()
        touched = table.grad.abs().sum(1) > 0
        assert (owner[touched] == -1).all()
        owner[touched] = part


def test_atlas_positions_stay_in_the_cube():
    atlas = part_atlas(20, 0.4, 0.2)
    ids = torch.arange(20, dtype=torch.int32)
    for local in (torch.full((20, 3), -5.0), torch.full((20, 3), 5.0)):
        positions = atlas_positions(local, ids, atlas)
        assert positions.min() > 0
        assert positions.max() < 1
    center = atlas_positions(torch.zeros(20, 3), ids, atlas)
    assert len(center.unique(dim=0)) == 20
    moved = atlas_positions(torch.full((20, 3), 0.1), ids, atlas)
    torch.testing.assert_close(moved - center, torch.full((20, 3), 0.1 / atlas.side))


@pytest.mark.parametrize("encode", IMPLEMENTATIONS)
def test_weighted_sum(encode):
    """f = sum_k w_k h(tile_k(x_k)), parts under MIN_WEIGHT left out."""
    local, ids, weights, table, layout, atlas = case(40, 9, 3)
    out = encode(local, ids, weights, table, layout, atlas)
    positions = atlas_positions(local, ids, atlas).double().numpy()
    for i in range(40):
        expected = sum(
            float(w) * slow_features(p, table.double().numpy(), layout)
            for w, p in zip(weights[i], positions[i], strict=True)
            if w >= MIN_WEIGHT
        )
        np.testing.assert_allclose(out[i], expected, atol=1e-4)


def test_reference_gradients_in_float64():
    local, ids, weights, table, layout, atlas = case(6, 3, 2, log2_entries=3)
    inputs = [x.double().requires_grad_() for x in (local, weights, table)]
    assert gradcheck(
        lambda local, weights, table: reference.part_encoding(local, ids, weights, table, layout, atlas),
        inputs,
        eps=1e-6,
    )


@pytest.mark.parametrize(("encode", "many"), KERNELS)
@pytest.mark.parametrize("count", [0, 1, 63, "many"])
@pytest.mark.parametrize(("parts", "top_k"), [(1, 1), (9, 2), (20, 3)])
def test_kernel_against_reference(encode, many, count, parts, top_k):
    count = many if count == "many" else count
    *tensors, layout, atlas = case(count, parts, top_k, seed=count)
    results = [
        gradients(lambda *x, f=f: [f(*x, layout, atlas)], tensors, (0, 2, 3))
        for f in (reference.part_encoding, encode)
    ]
    (expected, expected_grads), (outputs, grads) = results
    assert_near(outputs[0], expected[0], rmse=3e-5, maximum=1e-4, name="features")
    for name, x, y in zip(("local", "weights", "table"), grads, expected_grads, strict=True):
        assert_near(x, y, rmse=1e-4, maximum=1e-2, name=f"gradient of {name}")


@pytest.mark.parametrize(("encode", "many"), KERNELS)
def test_clamped_axes_get_no_gradient(encode, many):
    local, ids, weights, table, layout, atlas = case(50, 9, 2, spread=0.8)
    local.requires_grad_()
    encode(local, ids, weights, table, layout, atlas).sum().backward()
    outside = local.detach().abs() > atlas.half_extent
    assert outside.any()
    assert (local.grad[outside] == 0).all()


@pytest.mark.parametrize(("encode", "many"), KERNELS)
def test_non_contiguous_inputs(encode, many):
    local, ids, weights, table, layout, atlas = case(63, 9, 2)
    strided = [non_contiguous(x) for x in (local, ids, weights)]
    assert torch.equal(
        encode(*strided, table, layout, atlas), encode(local, ids, weights, table, layout, atlas)
    )


@pytest.mark.parametrize(("encode", "many"), KERNELS)
@pytest.mark.parametrize("padding", [slice(40, None), slice(None)])
def test_padding_gives_and_gets_nothing(encode, many, padding, empty_is_nan):
    """Rows without weights, as the lookup makes of padding: zero features and exactly zero gradients, and none is unwritten."""
    local, ids, weights, table, layout, atlas = case(140, 9, 2)
    weights[padding], ids[padding], local[padding] = 0, 0, 0
    for x in (local, weights, table):
        x.requires_grad_()
    out = encode(local, ids, weights, table, layout, atlas)
    assert (out[padding] == 0).all()
    grads = torch.autograd.grad(out, (local, weights, table), torch.ones_like(out))
    assert (grads[0][padding] == 0).all()
    assert (grads[1][padding] == 0).all()
    assert all(x.isfinite().all() for x in (out, *grads))
    assert bool((grads[2] != 0).any()) == (padding.start is not None)
