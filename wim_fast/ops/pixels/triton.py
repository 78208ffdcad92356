"""Drawing pixels in Triton, in one launch."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wim_fast.ops.pixels.reference import REACH, Draws, Pixels, PixelTables
from wim_fast.recordings import masks

BLOCK = 128  # pixels
WARPS = 4
OUTLINE_REACH = tl.constexpr(REACH)
UNRELIABLE = tl.constexpr(masks.UNRELIABLE)


@triton.jit
def _within(low, high, uniform):
    return low + uniform * (high - low)


@triton.jit
def _round_middle(pixel, place, spread):
    middle = pixel.to(tl.float32) + 0.5
    return middle + spread * (place - middle)


@triton.jit
def _near(pixel, side, uniform, size):
    place = side * (pixel.to(tl.float32) + 0.5 + OUTLINE_REACH * (2.0 * uniform - 1.0))
    return tl.minimum(tl.maximum(place, 0.0), size.to(tl.float32))


@triton.jit
def _of_both(fine, coarse, at, is_fine):
    return tl.where(
        is_fine, tl.load(fine + at, mask=is_fine, other=0), tl.load(coarse + at, mask=~is_fine, other=0)
    )


@triton.jit(
    do_not_specialize=[
        "total",
        "count",
        "anywhere",
        "of_outline",
        "tiles",
        "levels",
        "views",
        "frames",
        "width",
        "height",
        "tile",
        "block",
        "block_rows",
        "block_columns",
    ]
)
def _draw(
    index, tile_first, fine_rgba, fine_mask, coarse_rgba, coarse_mask, boxes, blocks, outline, first, camera, frame, uniform,
    level, place, rgb, alpha, weight, spread, block_weight, total, count, anywhere, of_outline, tiles, levels, views, frames,
    width, height, tile, block, block_rows, block_columns, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_pixel = i < total
    i = tl.where(is_pixel, i, 0)
    image = tl.load(camera + i // count) * frames + tl.load(frame + i // count)
    whole = i % count < anywhere
    box = boxes + 4 * image
    x0 = tl.where(whole, 0, tl.load(box)).to(tl.float32)
    y0 = tl.where(whole, 0, tl.load(box + 1)).to(tl.float32)
    x1 = tl.where(whole, width, tl.load(box + 2)).to(tl.float32)
    y1 = tl.where(whole, height, tl.load(box + 3)).to(tl.float32)
    across, down, which = tl.load(uniform + 3 * i), tl.load(uniform + 3 * i + 1), tl.load(uniform + 3 * i + 2)
    of_level = (tl.load(level) + tl.load(uniform + 3 * (i // count * count) + 2)).to(tl.int32)
    of_level = tl.minimum(of_level, levels - 1)
    side = 1 << of_level
    scale = side.to(tl.float32)
    columns, rows = (width + side - 1) >> of_level, (height + side - 1) >> of_level
    outlined = first + of_level * views * frames + image
    start, end = tl.load(outlined), tl.load(outlined + 1)
    at_outline = (i % count >= count - of_outline) & (end > start)
    which = tl.minimum((which * (end - start).to(tl.float32)).to(tl.int64), end - start - 1)
    pixel = tl.load(outline + start + which, mask=at_outline, other=0)
    x = tl.where(at_outline, _near(pixel % columns, scale, across, width), _within(x0, x1, across)) / scale
    y = tl.where(at_outline, _near(pixel // columns, scale, down, height), _within(y0, y1, down)) / scale
    column = tl.minimum(x.to(tl.int32), columns - 1)
    row = tl.minimum(y.to(tl.int32), rows - 1)
    tl.store(place + 2 * i, scale * _round_middle(column, x, spread), mask=is_pixel)
    tl.store(place + 2 * i + 1, scale * _round_middle(row, y, spread), mask=is_pixel)
    tile_columns, tile_rows = (columns + tile - 1) // tile, (rows + tile - 1) // tile
    at = tl.load(tile_first + of_level) + (image * tile_rows + row // tile) * tile_columns + column // tile
    is_fine = of_level == 0
    pixel = tl.load(index + at).to(tl.int64) - tl.where(is_fine, 0, tiles)
    pixel = pixel * tile * tile + row % tile * tile + column % tile
    for c in tl.static_range(3):
        color = _of_both(fine_rgba, coarse_rgba, 4 * pixel + c, is_fine)
        tl.store(rgb + 3 * i + c, color.to(tl.float32) / 255.0, mask=is_pixel)
    covered = _of_both(fine_rgba, coarse_rgba, 4 * pixel + 3, is_fine)
    tl.store(alpha + i, covered.to(tl.float32) / 255.0, mask=is_pixel)
    column = tl.minimum(column * side + side // 2, width - 1)
    row = tl.minimum(row * side + side // 2, height - 1)
    at = (image * block_rows + row // block) * block_columns + column // block
    believed = tl.where(tl.load(blocks + at) > 0, block_weight, 1.0)
    reliable = _of_both(fine_mask, coarse_mask, pixel, is_fine) != UNRELIABLE
    tl.store(weight + i, tl.where(reliable, believed, 0.0), mask=is_pixel)


def draw_pixels(
    tables: PixelTables,
    camera: Tensor,
    frame: Tensor,
    uniform: Tensor,
    level: Tensor,
    draws: Draws,
    block_weight: float,
) -> Pixels:
    """See ``reference.draw_pixels``: the same result on a GPU."""
    images, count = uniform.shape[:2]
    total = images * count
    drawn = [uniform.new_empty(size) for size in ((images, count, 2), (total, 3), total, total)]
    if total:
        inputs = (*tables[:7], tables.blocks.view(torch.uint8), tables.outline, tables.first)
        _draw[(triton.cdiv(total, BLOCK),)](
            *(x.contiguous() for x in (*inputs, camera, frame, uniform, level)), *drawn, draws.spread, block_weight, total, count,
            draws.anywhere, draws.outline, len(tables.mask) // tables.tile**2, len(tables.tile_first), *tables.boxes.shape[:2],
            tables.width, tables.height, tables.tile, tables.block, *tables.blocks.shape[2:], BLOCK=BLOCK, num_warps=WARPS,
        )  # fmt: skip
    return Pixels(*drawn)
