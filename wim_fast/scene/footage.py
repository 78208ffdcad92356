"""The pixels of a scene as tiles. Most of what cameras film is background: tiles that show nothing take no room.

Exact but for colours where alpha is 0. A pixel costs two look-ups: the tile of its place, then the pixel of the tile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from wim_fast.recordings.masks import BACKGROUND, OBJECT, UNRELIABLE

TILE = 8  # side of a tile in pixels
NOTHING, UNKNOWN = 0, 1  # numbers of the tiles that are background, or unreliable, all over
LEAST_SIDE = 16  # of halved images, pixels
AT_ONCE = 4096  # tiles that are halved

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Layer:
    """One kind of pixel, as an array (V, T, H, W, ...) that is dense only where it is indexed by camera and frame.

    `layer[v, t]` is an image, `layer[:, t]` one of every camera, `layer[v, t, 10:20, :, 3]` a piece of one; `layer[:]`
    is everything. What comes back is a copy.
    """

    index: NDArray[np.int32]  # (V, T, ceil(H / TILE), ceil(W / TILE)) numbers of tiles
    tiles: NDArray[np.uint8]  # (N, TILE, TILE, ...)
    shape: tuple[int, ...]

    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        key = key if isinstance(key, tuple) else (key,)
        if any(k is Ellipsis for k in key[:2]):
            return self[:][key]
        picked = self.index[key[:2]]
        images = self._dense(picked.reshape(-1, *self.index.shape[2:]))
        images = images.reshape(*picked.shape[:-2], *self.shape[2:])
        return images[(slice(None),) * (picked.ndim - 2) + key[2:]] if key[2:] else images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or self.dtype, copy=False)

    def _dense(self, index: NDArray[np.int32]) -> NDArray[np.uint8]:
        """Images (n, H, W, ...) of their tiles' numbers (n, h, w)."""
        out = np.empty((len(index), *self.shape[2:]), np.uint8)
        for image, numbers in zip(out, index, strict=True):
            rows, columns = numbers.shape
            tiles = self.tiles[numbers].swapaxes(1, 2)  # (h, TILE, w, TILE, ...)
            whole = tiles.reshape(rows * TILE, columns * TILE, *image.shape[2:])
            image[...] = whole[: image.shape[0], : image.shape[1]]
        return out


@dataclass(frozen=True)
class Footage:
    """Images and masks of V cameras and T frames; see `FootageBuilder` for how to make one."""

    size: tuple[int, int]  # (H, W)
    index: NDArray[np.int32]  # (V, T, ceil(H / TILE), ceil(W / TILE)) numbers of tiles
    rgba_tiles: NDArray[np.uint8]  # (N, TILE, TILE, 4) straight alpha
    mask_tiles: NDArray[np.uint8]  # (N, TILE, TILE) BACKGROUND, OBJECT or UNRELIABLE
    counts: NDArray[np.int64]  # (V, T, 3) pixels of each value of the mask

    @classmethod
    def from_arrays(cls, rgba: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Footage:
        """Of images (V, T, H, W, 4) and masks (V, T, H, W)."""
        builder = FootageBuilder(mask.shape)
        for v, t in np.ndindex(mask.shape[:2]):
            builder.put(v, t, rgba[v, t], mask[v, t])
        return builder.finish()

    @property
    def rgba(self) -> Layer:
        return Layer(self.index, self.rgba_tiles, (*self.index.shape[:2], *self.size, 4))

    @property
    def mask(self) -> Layer:
        return Layer(self.index, self.mask_tiles, (*self.index.shape[:2], *self.size))

    def select(self, cameras: Any, frames: Any) -> Footage:
        """These cameras and frames, by position; the tiles are shared."""
        index, counts = self.index[cameras][:, frames], self.counts[cameras][:, frames]
        return replace(self, index=np.ascontiguousarray(index), counts=counts)

    def shifted(self, frames: NDArray[np.int64]) -> Footage:
        """The images of each camera so many frames (V,) later; what there is none for is unreliable all over."""
        index, counts = np.full_like(self.index, UNKNOWN), np.zeros_like(self.counts)
        counts[..., UNRELIABLE] = self.size[0] * self.size[1]
        count = self.index.shape[1]
        for v, shift in enumerate(frames):
            to = slice(max(shift, 0), count + min(shift, 0))
            of = slice(max(-shift, 0), count + min(-shift, 0))
            index[v, to], counts[v, to] = self.index[v, of], self.counts[v, of]
        return replace(self, index=index, counts=counts)

    def pyramid(self) -> tuple[Footage, ...]:
        """The footage, and with half of the pixels along each side, and so on, `LEAST_SIDE` or more along the longer one."""
        levels = [self]
        while max(levels[-1].size) >= 2 * LEAST_SIDE:
            levels.append(levels[-1].halved())
        return tuple(levels)

    def halved(self) -> Footage:
        """With half of the pixels along each side, rounded up: each the mean of four, as far as these are reliable.

        Alpha is their mean and colours theirs weighted by alpha; the mask says what at least half of the reliable ones say,
        and unreliable where only one of the four is not.
        """
        rows, columns = self.index.shape[2:]
        index = np.pad(self.index, ((0, 0), (0, 0), (0, rows % 2), (0, columns % 2)), mode="edge")
        quarters = index.reshape(*index.shape[:2], -(-rows // 2), 2, -(-columns // 2), 2).swapaxes(3, 4)
        quarters = quarters.reshape(*quarters.shape[:4], 4)  # of each new tile, row after row
        numbers = quarters[..., 0].copy()
        kept = (quarters != numbers[..., None]).any(-1) | (numbers > UNKNOWN)
        numbers[kept] = np.arange(UNKNOWN + 1, UNKNOWN + 1 + np.count_nonzero(kept))
        of_new = np.concatenate([np.repeat([[NOTHING], [UNKNOWN]], 4, axis=1), quarters[kept]])
        rgba, mask = (
            np.empty((len(of_new), TILE, TILE, *kind), np.uint8) for kind in (self.rgba_tiles.shape[3:], ())
        )
        for start in range(0, len(of_new), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            rgba[some], mask[some] = _half(self.rgba_tiles[of_new[some]], self.mask_tiles[of_new[some]])
        size = -(-self.size[0] // 2), -(-self.size[1] // 2)
        counts = np.zeros_like(self.counts)
        half = Footage(size, numbers, rgba, mask, counts)
        for v, t in np.ndindex(counts.shape[:2]):
            counts[v, t] = np.bincount(half.mask[v, t].reshape(-1), minlength=3)
        return half


def _half(rgba: NDArray[np.uint8], mask: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Tiles (n, TILE, TILE, ...) from four each (n, 4, TILE, TILE, ...), row after row; see `Footage.halved`."""

    def sums(pixels: NDArray[np.float32]) -> NDArray[np.float32]:  # of 2 x 2, as one tile
        cells = pixels[:, :, ::2] + pixels[:, :, 1::2]
        cells = cells[:, :, :, ::2] + cells[:, :, :, 1::2]  # (n, 4, TILE / 2, TILE / 2, ...)
        cells = cells.reshape(len(cells), 2, 2, *cells.shape[2:]).swapaxes(2, 3)
        return cells.reshape(len(cells), TILE, TILE, *cells.shape[5:])

    known = (mask != UNRELIABLE).astype(np.float32)
    alpha = rgba[..., 3] * known
    colors, alphas, objects = (
        sums(x) for x in (rgba[..., :3] * alpha[..., None], alpha, (mask == OBJECT).astype(np.float32))
    )
    count = sums(known)
    half = np.empty((*count.shape, 4), np.uint8)
    half[..., :3] = np.rint(colors / np.maximum(alphas, 1)[..., None])
    half[..., 3] = np.rint(alphas / np.maximum(count, 1))
    value = np.where(2 * objects >= count, OBJECT, BACKGROUND)
    return half, np.where(count > 1, value, UNRELIABLE).astype(np.uint8)


class FootageBuilder:
    """Takes images one by one, in any order and from several threads. Images that never come are unreliable all over.

    Args:
        shape: V, T, H, W.
        folder: where tiles are written as they come, and stay, instead of in memory.
        on_image: called after each image with the number of those that have come, and V * T.
    """

    def __init__(
        self, shape: Shape, folder: Path | None = None, on_image: Callable[[int, int], None] | None = None
    ) -> None:
        V, T, H, W = shape
        self.size = H, W
        self.index = np.full((V, T, -(-H // TILE), -(-W // TILE)), UNKNOWN, np.int32)
        self.counts = np.zeros((V, T, 3), np.int64)
        self.counts[..., UNRELIABLE] = H * W
        self.on_image = on_image
        self.done = 0
        self._lock = threading.Lock()
        self._rgba = _Tiles((TILE, TILE, 4), folder and folder / "rgba.tiles")
        self._mask = _Tiles((TILE, TILE), folder and folder / "mask.tiles")
        self._rgba.append(np.zeros((2, TILE, TILE, 4), np.uint8))
        self._mask.append(np.stack([np.full((TILE, TILE), v, np.uint8) for v in (BACKGROUND, UNRELIABLE)]))

    def put(self, v: int, t: int, rgba: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
        """The image (H, W, 4), straight alpha, and mask (H, W) of camera v in frame t."""
        rgba_tiles, mask_tiles = _tiled(rgba), _tiled(mask)
        corner = mask_tiles[:, :, :1, :1]
        same = (mask_tiles == corner).all((2, 3)) & ~rgba_tiles[..., 3].any((2, 3))
        kept = ~same | (corner[:, :, 0, 0] == OBJECT)
        numbers = np.where(corner[:, :, 0, 0] == UNRELIABLE, UNKNOWN, NOTHING).astype(np.int32)
        counts = np.bincount(mask.reshape(-1), minlength=3)
        rgba_tiles, mask_tiles = rgba_tiles[kept], mask_tiles[kept]
        with self._lock:
            first = self._rgba.append(rgba_tiles)
            self._mask.append(mask_tiles)
            numbers[kept] = np.arange(first, first + len(rgba_tiles))
            self.index[v, t] = numbers
            self.counts[v, t] = counts
            self.done += 1
            if self.on_image is not None:
                self.on_image(self.done, self.index.shape[0] * self.index.shape[1])

    def finish(self) -> Footage:
        return Footage(self.size, self.index, self._rgba.finish(), self._mask.finish(), self.counts)


NewFootage = Callable[[Shape], FootageBuilder]
"""What readers make their `FootageBuilder` with: where its tiles go is not their concern."""


class _Tiles:
    """A growing array (N, *shape) in memory or in a file."""

    def __init__(self, shape: tuple[int, ...], path: Path | None) -> None:
        self.shape = shape
        self.path = path
        self.file: BinaryIO | None = None if path is None else path.open("wb")
        self.parts: list[NDArray[np.uint8]] = []
        self.count = 0

    def append(self, tiles: NDArray[np.uint8]) -> int:
        """Returns the number of the first of them."""
        first = self.count
        if self.file is None:
            self.parts.append(np.ascontiguousarray(tiles))
        else:
            self.file.write(np.ascontiguousarray(tiles).data)
        self.count += len(tiles)
        return first

    def finish(self) -> NDArray[np.uint8]:
        if self.file is None or self.path is None:
            return np.concatenate(self.parts)
        self.file.close()
        return map_tiles(self.path, self.shape)


def map_tiles(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The tiles (N, *shape) in a file, mapped into memory; they cannot be written to. OSError or ValueError."""
    flat = np.memmap(path, np.uint8, mode="c")
    return flat.reshape(-1, *shape).view(np.ndarray)


def _tiled(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, ...) -> (h, w, TILE, TILE, ...); beyond the edge the last pixels go on."""
    rows, columns = -(-image.shape[0] // TILE), -(-image.shape[1] // TILE)
    missing = rows * TILE - image.shape[0], columns * TILE - image.shape[1]
    if any(missing):
        edges = [(0, n) for n in missing] + [(0, 0)] * (image.ndim - 2)
        image = np.pad(image, edges, mode="edge")
    return image.reshape(rows, TILE, columns, TILE, *image.shape[2:]).swapaxes(1, 2)
