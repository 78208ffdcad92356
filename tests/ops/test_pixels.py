"""Pixels drawn from tiles."""

import pytest
import torch
from kernel_cases import KERNELS, operation

from wim_fast.ops.pixels.reference import Draws, PixelTables, draw_pixels


def tables(width=13, height=9, tile=4, block=4):
    """Two cameras, three frames, random pixels; levels of 13 x 9, 7 x 5 and 4 x 3."""
    generator = torch.Generator().manual_seed(0)

    def random(high, *size, dtype=torch.int64):
        return torch.randint(high, size, generator=generator).to(dtype)

    sizes = [6 * 3 * 4, 6 * 2 * 2, 6]  # images times rows times columns of tiles
    index = torch.cat(
        [random(10, n) if level == 0 else 10 + random(6, n) for level, n in enumerate(sizes)]
    ).int()
    pixels = [
        (random(256, n * tile**2, 4, dtype=torch.uint8), random(3, n * tile**2, dtype=torch.uint8))
        for n in (10, 6)
    ]
    boxes = torch.tensor([[2, 1, 11, 8], [0, 0, width, height], [5, 5, 6, 6]]).repeat(2, 1, 1)
    blocks = random(2, 2, 3, 3, 4) == 1
    outline = torch.cat([random(n, 20, dtype=torch.int32) for n in (width * height, 7 * 5, 4 * 3)])
    first = torch.tensor([0, 4, 4, 9, 10, 20])  # two images of a level have none
    first = torch.cat([first, first + 20, first + 40, torch.tensor([60])])
    return PixelTables(
        index,
        _starts(sizes),
        *pixels[0],
        *pixels[1],
        boxes,
        blocks,
        outline,
        first,
        width,
        height,
        tile,
        block,
    )


def _starts(sizes):
    return torch.tensor([0, *sizes[:-1]]).cumsum(0)


LEVEL_0 = torch.zeros(())


@pytest.mark.parametrize("backend", KERNELS)
@pytest.mark.parametrize("count", [0, 1, 300])
@pytest.mark.parametrize("level", [0.0, 0.6, 1.0, 7.0])
def test_kernel_is_the_reference(level, count, backend):
    generator = torch.Generator().manual_seed(1)
    camera, frame = torch.tensor([0, 1, 1, 0]), torch.tensor([2, 0, 1, 1])
    uniform = torch.rand(4, count, 3, generator=generator)
    uniform[:, :: max(count - 1, 1)] = 1 - 2**-24  # rounds up to the edge of the image
    uniform[:, :1, 2] = torch.tensor([0.2, 0.3, 0.5, 0.9])[:, None]
    draws = Draws(count // 3, count // 3, 0.5)
    arguments = tables(), camera, frame, uniform, torch.tensor(level), draws, 2.0
    expected = draw_pixels(*arguments)
    for found, wanted in zip(operation(backend, "pixels", "draw_pixels")(*arguments), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_pixels_lie_in_the_box_or_anywhere():
    zero = torch.zeros(1, dtype=torch.int64)
    uniform = torch.rand(1, 400, 3, generator=torch.Generator().manual_seed(1))
    place = draw_pixels(tables(), zero, zero + 2, uniform, LEVEL_0, Draws(100, 0, 0.5), 1.0).place[0]
    assert ((place[100:] >= 5) & (place[100:] <= 6)).all()
    assert (place[:100].amax(0) > torch.tensor([12, 8])).all()


@pytest.mark.parametrize("level", [0, 1, 2])
def test_pixels_lie_at_the_outline(level):
    """The last of an image; from the box where it has none."""
    images = tables()
    zero = torch.zeros(2, dtype=torch.int64)
    uniform = torch.rand(2, 400, 3, generator=torch.Generator().manual_seed(1))
    draws = Draws(100, 200, 1.0)
    place = draw_pixels(
        images, zero, zero + torch.tensor([2, 1]), uniform, torch.tensor(level), draws, 1.0
    ).place
    side, width = 2**level, [13, 7, 4][level]
    own = images.outline[20 * level + 4 : 20 * level + 9]
    center = side * (torch.stack([own % width, own // width], -1) + 0.5)
    distance = (place[0, 200:, None] - center).abs().amax(-1)
    assert (distance.amin(1) <= side + 1e-5).all()
    assert (distance.argmin(1).bincount(minlength=5) > 10).all()
    assert ((place[0, 100:200] >= 5) & (place[0, 100:200] <= 6)).all()
    assert (place[1, 200:].amax(0) > torch.tensor([12, 8])).all()
