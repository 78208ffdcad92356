"""What one camera filmed, with its masks, frame by frame in native pixels. Nothing is decoded until it is asked for.

A `Film` is pictures together with where their masks come from: their alpha, files (or a video) beside them, or
background subtraction. A layout with pictures of its own kind brings its own film (see `formats/cache_pickle`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from wim_fast.errors import UserError
from wim_fast.recordings.background import Background, Found, samples_of
from wim_fast.recordings.image_files import read_labels
from wim_fast.recordings.masks import (
    Alpha,
    Convention,
    Pixels,
    Unreliable,
    coverage,
    coverage_with_greys,
    in_size_of,
)
from wim_fast.recordings.pictures import Pictures


class FilmFrame(NamedTuple):
    """One frame of one camera."""

    frame: int
    rgb: Pixels  # (h, w, 3)
    alpha: Alpha  # (h, w) in [0, 1]
    unreliable: Unreliable  # (h, w)


class Film(Protocol):
    """The frames of a camera."""

    @property
    def frames(self) -> Sequence[int]:
        """Numbers of the frames that have a picture and a mask, ascending."""

    @property
    def where(self) -> Path:
        """The file or folder of the pictures, for messages."""

    @property
    def kind(self) -> str:
        """What it is, in a word or two."""

    @property
    def in_pieces(self) -> bool:
        """Whether several pieces of it can be read side by side without doing work twice."""

    def file(self, frame: int) -> Path:
        """Where a frame is, for messages; it need not be there."""

    def size(self, frame: int) -> tuple[int, int]:
        """(height, width) of a frame."""

    def stream(self, frames: Sequence[int]) -> Iterator[FilmFrame]:
        """These frames, ascending. UserError for what cannot be read."""

    def silhouettes(self, frames: Sequence[int]) -> Iterator[tuple[int, Alpha]]:
        """(frame, alpha (h, w)) of the same; colours are not read where that can be helped."""


@dataclass(frozen=True)
class _OfPictures:
    """What films of files and videos have in common."""

    pictures: Pictures

    @property
    def where(self) -> Path:
        return self.pictures.where

    @property
    def kind(self) -> str:
        return "video" if self.pictures.video else f"{len(self.pictures.frames)} files"

    def file(self, frame: int) -> Path:
        return self.pictures.file(frame)

    def size(self, frame: int) -> tuple[int, int]:
        _, rgb = next(iter(self.pictures.colors([frame])))
        return rgb.shape[0], rgb.shape[1]


@dataclass(frozen=True)
class AlphaFilm(_OfPictures):
    """Pictures whose alpha is the mask; a file of greys beside some of them may know better."""

    greys: Mapping[int, Path] = field(default_factory=dict)

    @property
    def frames(self) -> Sequence[int]:
        return self.pictures.frames

    @property
    def in_pieces(self) -> bool:
        return True

    def stream(self, frames: Sequence[int]) -> Iterator[FilmFrame]:
        for frame, rgba in self.pictures.colors_and_alpha(frames):
            alpha, unreliable = coverage(rgba[..., 3])
            if file := self.greys.get(frame):
                greys = in_size_of(read_labels(file), alpha.shape, file)
                alpha, unreliable = coverage_with_greys(rgba[..., 3], greys, file)
            yield FilmFrame(frame, rgba[..., :3], alpha, unreliable)

    def silhouettes(self, frames: Sequence[int]) -> Iterator[tuple[int, Alpha]]:
        return ((taken.frame, taken.alpha) for taken in self.stream(frames))


@dataclass(frozen=True)
class MaskedFilm(_OfPictures):
    """Pictures with a mask for each beside them, whose values are understood by `convention`."""

    masks: Pictures
    convention: Convention

    @property
    def frames(self) -> Sequence[int]:
        return sorted(set(self.pictures.frames) & set(self.masks.frames))

    @property
    def in_pieces(self) -> bool:
        return self.pictures.video is None and self.masks.video is None

    def stream(self, frames: Sequence[int]) -> Iterator[FilmFrame]:
        pairs = zip(self.pictures.colors(frames), self.masks.labels(frames), strict=True)
        for (frame, rgb), (_, labels) in pairs:
            labels = in_size_of(labels, (rgb.shape[0], rgb.shape[1]), self.masks.file(frame))
            yield FilmFrame(frame, rgb, *self.convention(labels))

    def silhouettes(self, frames: Sequence[int]) -> Iterator[tuple[int, Alpha]]:
        sizes: dict[tuple[int, ...], tuple[int, int]] = {}  # of the picture, by the mask's
        for frame, labels in self.masks.labels(frames):
            if labels.shape not in sizes:
                sizes[labels.shape] = self.size(frame)
            labels = in_size_of(labels, sizes[labels.shape], self.masks.file(frame))
            yield frame, self.convention(labels)[0]


@dataclass(frozen=True)
class BackgroundFilm(_OfPictures):
    """Pictures whose background is subtracted: it is learned from the frames that are asked for, or from pictures of
    the empty set. `found` says how the masks look that came out."""

    empty: Pictures | None = None
    found: Found = field(default_factory=Found)

    @property
    def frames(self) -> Sequence[int]:
        return self.pictures.frames

    @property
    def in_pieces(self) -> bool:
        return False

    def stream(self, frames: Sequence[int]) -> Iterator[FilmFrame]:
        background = self._learned(sorted(frames))
        for frame, rgb in self.pictures.colors(frames):
            mask = background.foreground(rgb)
            self.found.add(background, rgb, mask)
            yield FilmFrame(frame, rgb, mask.astype(np.float32), np.zeros(mask.shape, bool))

    def silhouettes(self, frames: Sequence[int]) -> Iterator[tuple[int, Alpha]]:
        return ((taken.frame, taken.alpha) for taken in self.stream(frames))

    def _learned(self, frames: list[int]) -> Background:
        size = self.size(frames[0])
        samples = samples_of(frames, size)
        stack = np.empty((len(samples), *size, 3), np.uint8)
        for k, (_, rgb) in enumerate(self.pictures.colors(samples)):
            if rgb.shape != stack.shape[1:]:
                raise UserError(
                    self.where,
                    "its pictures are not all of one size",
                    "give all pictures of a camera the same size",
                )
            stack[k] = rgb
        return Background.of(stack, self._empty(size))

    def _empty(self, size: tuple[int, int]) -> Pixels | None:
        if self.empty is None:
            return None
        images = [rgb for _, rgb in self.empty.colors(samples_of(list(self.empty.frames), size))]
        if any(image.shape[:2] != size for image in images):
            problem = f"its size is not {size[1]} x {size[0]}, as that of the recording"
            remedy = "film the empty set as the recording, with the same camera"
            raise UserError(self.empty.where, problem, remedy)
        return np.stack(images)
