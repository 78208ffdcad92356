"""Training is deterministic: no kernel's result depends on how many threads it was given."""

import numba
import pytest
import torch
from kernel_cases import gradients, points_near, posed_ellipsoids

from wim_fast.ops.backend import select_backend
from wim_fast.ops.part_encoding.reference import FEATURES, grid_layout, part_atlas
from wim_fast.ops.silhouette.reference import MaskTables

NUMBA = select_backend("numba")


def lookup():
    posed = posed_ellipsoids(3, 20)
    inputs = [*points_near(posed, 3001), *posed]
    return gradients(lambda *x: NUMBA.articulated_lookup(*x, 2), inputs, (2, 3, 4, 5, 6))


def encoding():
    posed = posed_ellipsoids(2, 20)
    found = NUMBA.articulated_lookup(*points_near(posed, 3001), *posed, 2)
    atlas = part_atlas(20, 0.6, 0.2)
    layout = grid_layout(5, round(atlas.side / 0.2), 1.6, 12)
    table = torch.randn(layout.num_entries, FEATURES, generator=torch.Generator().manual_seed(0))
    inputs = [found.local, found.part_ids, found.part_weights, table]
    return gradients(lambda *x: [NUMBA.part_encoding(*x, layout, atlas)], inputs, (0, 2, 3))


def march():
    posed = posed_ellipsoids(3, 20)
    generator = torch.Generator().manual_seed(0)
    origins = torch.tensor([0.0, 0.0, 3.0]).expand(1001, 3)
    targets = 0.1 * torch.randn(1001, 3, generator=generator)
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    pose_ids = torch.randint(3, (1001,), generator=generator)
    jitter = torch.rand(1001, generator=generator)
    return [list(NUMBA.march(origins, directions, pose_ids, *posed, jitter, 0.03, 0.01))]


def composite():
    generator = torch.Generator().manual_seed(0)
    offsets = torch.randint(0, 9, (1001,), generator=generator).cumsum(0)
    offsets[0] = 0
    n = int(offsets[-1])
    sdf = 0.02 * torch.randn(n, generator=generator)
    rgb, t = torch.rand(n, 3, generator=generator), torch.rand(n, generator=generator)
    return gradients(lambda a, b: NUMBA.composite(a, b, t, offsets, 150.0), [sdf, rgb], (0, 1))


def silhouettes():
    generator = torch.Generator().manual_seed(0)
    side, views, frames = 32, 5, 3
    shape = views, frames, side, side
    first = torch.arange(0, 100 * views * frames + 1, 100)
    pixels = torch.randint(side, (int(first[-1]), 2), generator=generator, dtype=torch.uint8)
    nearest = torch.randint(side, (*shape, 2), generator=generator, dtype=torch.uint8)
    masks = MaskTables(nearest, torch.ones(shape, dtype=torch.bool), pixels, first, 64.0, 32.0)
    projection = torch.tensor([[60.0, 0, 32, 96], [0, 60, 32, 96], [0, 0, 1, 3]]).expand(views, 3, 4)
    camera, frame = torch.arange(11) % views, torch.arange(11) % frames
    direction = torch.randn(20, 9, 3, generator=generator)
    uniform = torch.rand(11, 33, generator=generator)
    others = direction, uniform, camera, frame, projection, masks, 0.01
    posed = posed_ellipsoids(11, 20)[:3]
    return gradients(lambda *x: NUMBA.silhouette_losses(*x, *others), posed, (0, 1, 2))


def decoder():
    generator = torch.Generator().manual_seed(0)
    x, *weights = (torch.randn(*size, generator=generator) for size in ((3001, 8), (64, 8), (4, 64)))
    return gradients(lambda x, *w: [NUMBA.decoder_mlp(x, w, "relu")], [x, *weights], (0, 1, 2))


def pictures():
    generator = torch.Generator().manual_seed(0)
    t, offsets = 1 + 0.02 * torch.arange(6006), 6 * torch.arange(1002)
    samples = t, 0.05 * torch.randn(6006, generator=generator), offsets, 1e-3, 150.0, 0.03
    near = NUMBA.near_samples(*samples[:3], None, 4, *samples[3:], 0.01)
    edges = NUMBA.edge_pixels(torch.rand(40, 30, 4, generator=generator), 0.9)
    finer = NUMBA.finer_samples(*samples, 0.0)
    return [[*near], [*finer[:3], *finer.new], [edges]]


@pytest.mark.parametrize("kernel", [lookup, encoding, decoder, march, composite, silhouettes, pictures])
def test_results_do_not_depend_on_the_number_of_threads(kernel):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba was started with one thread")
    before = numba.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 1):
            numba.set_num_threads(threads)
            results.append([x for group in kernel() for x in group])
    finally:
        numba.set_num_threads(before)
    for other in results[1:]:
        for x, y in zip(results[0], other, strict=True):
            assert torch.equal(x, y)
