"""Random pixels of images that are kept as tiles, in plain torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from wim_fast.recordings.masks import UNRELIABLE

REACH = 1.0  # from the centre of an outline's pixel to what is drawn for it, along each axis, at most; pixels


class PixelTables(NamedTuple):
    """Images of V cameras in T frames, `width` x `height` pixels, as tiles of `tile` x `tile` pixels, at L levels.

    A level has half of the pixels of the one before it along each side, rounded up, and its own tiles. Boxes and blocks are
    in pixels of level 0.
    """

    tile_index: (
        Tensor  # (N,) int32 which tile lies where: row after row, image after image, level after level
    )
    tile_first: Tensor  # (L,) int64 where a level begins in it
    rgba: Tensor  # (n * tile^2, 4) uint8, tile after tile of level 0; straight alpha
    mask: Tensor  # (n * tile^2,) uint8, see recordings.masks
    coarse_rgba: Tensor  # (m * tile^2, 4) of the other levels, whose tiles are counted on from n
    coarse_mask: Tensor  # (m * tile^2,)
    boxes: Tensor  # (V, T, 4) int64 x0 y0 x1 y1 round the object
    blocks: Tensor  # (V, T, rows, columns) bool: whether the mask touches a block of `block` x `block` pixels
    outline: Tensor  # (M,) int32 pixels at outlines, y * width + x of their level, image after image, level after level
    first: Tensor  # (L * V * T + 1,) int64 where those of an image begin
    width: int
    height: int
    tile: int
    block: int


class Pixels(NamedTuple):
    """n pixels of each of B images."""

    place: Tensor  # (B, n, 2) x and y, pixels; centres of pixels are at +0.5
    rgb: Tensor  # (B * n, 3) straight, in [0, 1]
    alpha: Tensor  # (B * n,) true coverage
    weight: (
        Tensor  # (B * n,) 0 at unreliable pixels, 1 at others, `block_weight` in blocks that touch the mask
    )


class Draws(NamedTuple):
    """How many of the n pixels of an image are not drawn from the box round the object, and where in pixels rays pass."""

    anywhere: int  # from the whole image: the first
    outline: int  # within `REACH` of one of its pixels, and from the box where the image has none: the last
    spread: float  # over which share of a pixel's side, round its middle


def draw_pixels(
    tables: PixelTables,
    camera: Tensor,
    frame: Tensor,
    uniform: Tensor,
    level: Tensor,
    draws: Draws,
    block_weight: float,
) -> Pixels:
    """Pixels of the images (camera[i], frame[i]), i < B, each at a random place round the middle of the pixel.

    Args:
        uniform: (B, n, 3) in [0, 1): where in the box round the object or round a pixel of the outline, and which of these;
            the first of an image also says whether it is taken of the level below or above `level`.
        level: () of the images that pixels are taken of, and between two of them how often of which. Places are in pixels of
            level 0 all the same.
    """
    t, size = tables, uniform.new_tensor([tables.width, tables.height])
    box = t.boxes[camera, frame].to(uniform.dtype)[:, None]
    number = torch.arange(uniform.shape[1], device=uniform.device)[None]
    whole = (number < draws.anywhere)[..., None]
    low = torch.where(whole, 0, box[..., :2])
    place = low + uniform[..., :2] * (torch.where(whole, size, box[..., 2:]) - low)
    of_level = (level + uniform[:, :1, 2]).long().clamp_max(len(t.tile_first) - 1)  # (B, 1)
    side = 2**of_level
    width, height = (-(-n // side) for n in (t.width, t.height))
    if draws.outline and len(t.outline):
        views, frames = t.boxes.shape[:2]
        image = (of_level * views + camera[:, None]) * frames + frame[:, None]
        start, count = t.first[image], t.first[image + 1] - t.first[image]
        which = torch.minimum((uniform[..., 2] * count).long(), count - 1)
        pixel = t.outline[(start + which).clamp(0, len(t.outline) - 1)].long()
        center = torch.stack([pixel % width, pixel // width], dim=-1) + 0.5
        near = side[..., None] * (center + REACH * (2 * uniform[..., :2] - 1))
        at_outline = (number >= uniform.shape[1] - draws.outline) & (count > 0)
        place = torch.where(at_outline[..., None], torch.minimum(near.clamp_min(0), size), place)
    place = place / side[..., None]
    x, y = place.long().unbind(-1)
    x, y = torch.minimum(x, width - 1), torch.minimum(y, height - 1)
    c, f = camera[:, None], frame[:, None]
    rows, columns = -(-height // t.tile), -(-width // t.tile)
    at = ((c * t.boxes.shape[1] + f) * rows + y // t.tile) * columns + x // t.tile
    tile = t.tile_index[t.tile_first[of_level] + at].long()
    pixel = torch.stack([x, y], dim=-1)
    place = side[..., None] * (pixel + 0.5 + draws.spread * (place - pixel - 0.5))
    row = ((tile * t.tile + y % t.tile) * t.tile + x % t.tile).view(-1)
    rgba, mask = (_of_both(row, *both) for both in ((t.rgba, t.coarse_rgba), (t.mask, t.coarse_mask)))
    rgba = rgba.float() / 255
    x, y = ((n * side + side // 2).clamp_max(limit - 1) for n, limit in ((x, t.width), (y, t.height)))
    at_mask = t.blocks[c, f, y // t.block, x // t.block].view(-1)
    weight = torch.where(at_mask, block_weight, 1.0) * (mask != UNRELIABLE)
    return Pixels(place, rgba[:, :3], rgba[:, 3], weight)


def _of_both(row: Tensor, first: Tensor, then: Tensor) -> Tensor:
    """Rows of two tensors as if they were one, which would be a copy of what may be too large for it."""
    found = first[row.clamp_max(len(first) - 1)]
    if len(then):
        in_second = (row >= len(first)).view(-1, *[1] * (first.dim() - 1))
        found = torch.where(in_second, then[(row - len(first)).clamp_min(0)], found)
    return found
