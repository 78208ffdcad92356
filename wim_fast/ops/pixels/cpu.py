"""Drawing pixels compiled by numba."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from wim_fast.ops.compiled import arrays, kernel
from wim_fast.ops.pixels.reference import REACH, Draws, Pixels, PixelTables
from wim_fast.recordings.masks import UNRELIABLE

_ZERO = np.float32(0.0)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)
_REACH = np.float32(REACH)
_WHITE = np.float32(255.0)


@functools.partial(kernel, parallel=False)
def _draw(index, tile_first, fine_rgba, fine_mask, coarse_rgba, coarse_mask, boxes, blocks, outline, first, width, height,
          tile, block, camera, frame, uniform, level, anywhere, at_outline, spread, block_weight, place, rgb, alpha,
          weight):  # fmt: skip
    images, count = uniform.shape[:2]
    views, frames = boxes.shape[:2]
    for b in range(images):
        v, f = camera[b], frame[b]
        box = boxes[v, f]
        of_level = np.int64(level + uniform[b, 0, 2]) if count else 0
        of_level = min(of_level, len(tile_first) - 1)
        rgba, mask = (coarse_rgba, coarse_mask) if of_level else (fine_rgba, fine_mask)
        first_tile = len(fine_mask) // (tile * tile) if of_level else 0
        side = 1 << of_level
        scale = np.float32(side)
        columns, rows = (width + side - 1) >> of_level, (height + side - 1) >> of_level
        tile_columns, tile_rows = (columns + tile - 1) // tile, (rows + tile - 1) // tile
        tiles = tile_first[of_level] + (v * frames + f) * tile_rows * tile_columns
        image = (of_level * views + v) * frames + f
        start, end = first[image], first[image + 1]
        for n in range(count):
            whole = n < anywhere
            x0, x1 = (0, width) if whole else (box[0], box[2])
            y0, y1 = (0, height) if whole else (box[1], box[3])
            x = np.float32(x0) + uniform[b, n, 0] * np.float32(x1 - x0)
            y = np.float32(y0) + uniform[b, n, 1] * np.float32(y1 - y0)
            if n >= count - at_outline and end > start:
                which = np.int64(uniform[b, n, 2] * np.float32(end - start))
                pixel = outline[start + min(which, end - start - 1)]
                x = scale * (np.float32(pixel % columns) + _HALF + _REACH * (_TWO * uniform[b, n, 0] - _ONE))
                y = scale * (np.float32(pixel // columns) + _HALF + _REACH * (_TWO * uniform[b, n, 1] - _ONE))
                x, y = min(max(x, _ZERO), np.float32(width)), min(max(y, _ZERO), np.float32(height))
            x, y = x / scale, y / scale
            column, row = min(np.int64(x), columns - 1), min(np.int64(y), rows - 1)
            place[b, n, 0] = scale * (np.float32(column) + _HALF + spread * (x - np.float32(column) - _HALF))
            place[b, n, 1] = scale * (np.float32(row) + _HALF + spread * (y - np.float32(row) - _HALF))
            pixel = np.int64(index[tiles + row // tile * tile_columns + column // tile]) - first_tile
            pixel = pixel * tile * tile + row % tile * tile + column % tile
            i = b * count + n
            for c in range(3):
                rgb[i, c] = np.float32(rgba[pixel, c]) / _WHITE
            alpha[i] = np.float32(rgba[pixel, 3]) / _WHITE
            column, row = min(column * side + side // 2, width - 1), min(row * side + side // 2, height - 1)
            at_mask = blocks[v, f, row // block, column // block]
            reliable = mask[pixel] != UNRELIABLE
            weight[i] = (block_weight if at_mask else _ONE) if reliable else _ZERO


def draw_pixels(
    tables: PixelTables,
    camera: Tensor,
    frame: Tensor,
    uniform: Tensor,
    level: Tensor,
    draws: Draws,
    block_weight: float,
) -> Pixels:
    """See ``reference.draw_pixels``: the same result on the CPU."""
    images, count = uniform.shape[:2]
    n = images * count
    drawn = [np.empty(size, np.float32) for size in ((images, count, 2), (n, 3), n, n)]
    _draw(
        *arrays(*tables[:10]),
        *tables[10:],
        *arrays(camera, frame, uniform),
        np.float32(float(level)),
        draws.anywhere,
        draws.outline,
        np.float32(draws.spread),
        np.float32(block_weight),
        *drawn,
    )
    return Pixels(*(torch.from_numpy(x) for x in drawn))
