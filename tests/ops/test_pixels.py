"""Pixels drawn from tiles."""

import pytest
import torch
from kernel_cases import KERNELS, operation

from wim_fast.ops.pixels.reference import PixelTables, draw_pixels


def tables(width=13, height=9, tile=8, block=4):
    """Two cameras, three frames, each image four tiles of random pixels."""
    generator = torch.Generator().manual_seed(0)

    def random(high, *size, dtype=torch.int64):
        return torch.randint(high, size, generator=generator).to(dtype)

    index = random(10, 2, 3, 2, 2, dtype=torch.int32)
    rgba, mask = random(256, 10 * tile**2, 4, dtype=torch.uint8), random(3, 10 * tile**2, dtype=torch.uint8)
    boxes = torch.tensor([[2, 1, 11, 8], [0, 0, width, height], [5, 5, 6, 6]]).repeat(2, 1, 1)
    blocks = random(2, 2, 3, 3, 4) == 1
    return PixelTables(index, rgba, mask, boxes, blocks, width, height, tile, block)


@pytest.mark.parametrize("backend", KERNELS)
@pytest.mark.parametrize("count", [0, 1, 300])
def test_kernel_is_the_reference(count, backend):
    generator = torch.Generator().manual_seed(1)
    camera, frame = torch.tensor([0, 1, 1, 0]), torch.tensor([2, 0, 1, 1])
    uniform = torch.rand(4, count, 2, generator=generator)
    uniform[:, :1] = 1 - 2**-24  # rounds up to the edge of the image
    arguments = tables(), camera, frame, uniform, count // 3, 2.0
    expected = draw_pixels(*arguments)
    for found, wanted in zip(operation(backend, "pixels", "draw_pixels")(*arguments), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_pixels_lie_in_the_box_or_anywhere():
    zero = torch.zeros(1, dtype=torch.int64)
    uniform = torch.rand(1, 400, 2, generator=torch.Generator().manual_seed(1))
    place = draw_pixels(tables(), zero, zero + 2, uniform, 100, 1.0).place[0]
    assert ((place[100:] >= 5) & (place[100:] <= 6)).all()
    assert (place[:100].amax(0) > torch.tensor([12, 8])).all()
