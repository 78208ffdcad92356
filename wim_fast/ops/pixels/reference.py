"""Random pixels of images that are kept as tiles, in plain torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from wim_fast.recordings.masks import UNRELIABLE

REACH = 1.0  # from the centre of an outline's pixel to what is drawn for it, along each axis, at most; pixels


class PixelTables(NamedTuple):
    """Images of V cameras in T frames, `width` x `height` pixels, as tiles of `tile` x `tile` pixels."""

    tile_index: Tensor  # (V, T, rows, columns) which tile lies there
    rgba: Tensor  # (tiles * tile^2, 4) uint8, tile after tile; straight alpha
    mask: Tensor  # (tiles * tile^2,) uint8, see recordings.masks
    boxes: Tensor  # (V, T, 4) int64 x0 y0 x1 y1 round the object
    blocks: Tensor  # (V, T, rows, columns) bool: whether the mask touches a block of `block` x `block` pixels
    outline: (
        Tensor  # (M,) int32 pixels, y * width + x, that the mask's outline runs between, image after image
    )
    first: Tensor  # (V * T + 1,) int64 where those of an image begin
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
    tables: PixelTables, camera: Tensor, frame: Tensor, uniform: Tensor, draws: Draws, block_weight: float
) -> Pixels:
    """Pixels of the images (camera[i], frame[i]), i < B, each at a random place round the middle of the pixel.

    Args:
        uniform: (B, n, 3) in [0, 1): where in the box round the object or round a pixel of the outline, and which of these.
    """
    t, size = tables, uniform.new_tensor([tables.width, tables.height])
    box = t.boxes[camera, frame].to(uniform.dtype)[:, None]
    number = torch.arange(uniform.shape[1], device=uniform.device)[None]
    whole = (number < draws.anywhere)[..., None]
    low = torch.where(whole, 0, box[..., :2])
    place = low + uniform[..., :2] * (torch.where(whole, size, box[..., 2:]) - low)
    if draws.outline and len(t.outline):
        image = camera * t.boxes.shape[1] + frame
        start, count = t.first[image, None], (t.first[image + 1] - t.first[image])[:, None]
        which = torch.minimum((uniform[..., 2] * count).long(), count - 1)
        pixel = t.outline[(start + which).clamp(0, len(t.outline) - 1)].long()
        center = torch.stack([pixel % t.width, pixel // t.width], dim=-1) + 0.5
        near = center + REACH * (2 * uniform[..., :2] - 1)
        at_outline = (number >= uniform.shape[1] - draws.outline) & (count > 0)
        place = torch.where(at_outline[..., None], torch.minimum(near.clamp_min(0), size), place)
    x, y = place.long().unbind(-1)
    x, y = x.clamp_max(t.width - 1), y.clamp_max(t.height - 1)
    c, f = camera[:, None], frame[:, None]
    tile = t.tile_index[c, f, y // t.tile, x // t.tile].long()
    pixel = torch.stack([x, y], dim=-1)
    place = pixel + 0.5 + draws.spread * (place - pixel - 0.5)
    row = ((tile * t.tile + y % t.tile) * t.tile + x % t.tile).view(-1)
    rgba = t.rgba[row].float() / 255
    at_mask = t.blocks[c, f, y // t.block, x // t.block].view(-1)
    weight = torch.where(at_mask, block_weight, 1.0) * (t.mask[row] != UNRELIABLE)
    return Pixels(place, rgba[:, :3], rgba[:, 3], weight)
