"""Pixels drawn from tiles."""

import pytest
import torch
from kernel_cases import KERNELS, operation

from wim_fast.ops.pixels.reference import Draws, PixelTables, draw_pixels


def tables(width=13, height=9, tile=8, block=4):
    """Two cameras, three frames, each image four tiles of random pixels."""
    generator = torch.Generator().manual_seed(0)

    def random(high, *size, dtype=torch.int64):
        return torch.randint(high, size, generator=generator).to(dtype)

    index = random(10, 2, 3, 2, 2, dtype=torch.int32)
    rgba, mask = random(256, 10 * tile**2, 4, dtype=torch.uint8), random(3, 10 * tile**2, dtype=torch.uint8)
    boxes = torch.tensor([[2, 1, 11, 8], [0, 0, width, height], [5, 5, 6, 6]]).repeat(2, 1, 1)
    blocks = random(2, 2, 3, 3, 4) == 1
    outline = random(width * height, 20, dtype=torch.int32)
    first = torch.tensor([0, 4, 4, 9, 10, 20, 20])  # two images have none
    return PixelTables(index, rgba, mask, boxes, blocks, outline, first, width, height, tile, block)


@pytest.mark.parametrize("backend", KERNELS)
@pytest.mark.parametrize("count", [0, 1, 300])
def test_kernel_is_the_reference(count, backend):
    generator = torch.Generator().manual_seed(1)
    camera, frame = torch.tensor([0, 1, 1, 0]), torch.tensor([2, 0, 1, 1])
    uniform = torch.rand(4, count, 3, generator=generator)
    uniform[:, :: max(count - 1, 1)] = 1 - 2**-24  # rounds up to the edge of the image
    arguments = tables(), camera, frame, uniform, Draws(count // 3, count // 3, 0.5), 2.0
    expected = draw_pixels(*arguments)
    for found, wanted in zip(operation(backend, "pixels", "draw_pixels")(*arguments), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_pixels_lie_in_the_box_or_anywhere():
    zero = torch.zeros(1, dtype=torch.int64)
    uniform = torch.rand(1, 400, 3, generator=torch.Generator().manual_seed(1))
    place = draw_pixels(tables(), zero, zero + 2, uniform, Draws(100, 0, 0.5), 1.0).place[0]
    assert ((place[100:] >= 5) & (place[100:] <= 6)).all()
    assert (place[:100].amax(0) > torch.tensor([12, 8])).all()


def test_pixels_lie_at_the_outline():
    """The last of an image; from the box where it has none."""
    images = tables()
    zero = torch.zeros(2, dtype=torch.int64)
    uniform = torch.rand(2, 400, 3, generator=torch.Generator().manual_seed(1))
    place = draw_pixels(images, zero, zero + torch.tensor([2, 1]), uniform, Draws(100, 200, 1.0), 1.0).place
    own = images.outline[4:9]
    center = torch.stack([own % images.width, own // images.width], -1) + 0.5
    distance = (place[0, 200:, None] - center).abs().amax(-1)
    assert (distance.amin(1) <= 1 + 1e-5).all()
    assert (distance.argmin(1).bincount(minlength=5) > 10).all()
    assert ((place[0, 100:200] >= 5) & (place[0, 100:200] <= 6)).all()
    assert (place[1, 200:].amax(0) > torch.tensor([12, 8])).all()
