"""The pictures of a camera: files, or a video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wim_fast.errors import UserError
from wim_fast.recordings.image_files import read_labels, read_rgb, read_rgba
from wim_fast.recordings.video import Video

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Pictures:
    """Files by frame, or a video whose n-th picture is frame n. Frames come in ascending order."""

    source: Mapping[int, Path] | Path
    folder: Path | None = None  # None: the files'
    pattern: str = ""  # of a file's name by frame, if it is known

    @cached_property
    def video(self) -> Video | None:
        return Video(self.source) if isinstance(self.source, Path) else None

    @cached_property
    def frames(self) -> Sequence[int]:
        """Numbers of the frames, ascending."""
        return range(len(self.video)) if self.video else sorted(self.files)

    @property
    def files(self) -> Mapping[int, Path]:
        return {} if isinstance(self.source, Path) else self.source

    @property
    def where(self) -> Path:
        """The video, or the folder."""
        if isinstance(self.source, Path):
            return self.source
        return self.folder or next(iter(self.source.values())).parent

    def file(self, frame: int) -> Path:
        """Where a frame is, or would be."""
        return self.files.get(frame) or self.where / self.pattern.format(frame)

    def colors(self, frames: Sequence[int]) -> Iterator[tuple[int, Pixels]]:
        """(frame, RGB (h, w, 3))."""
        if self.video:
            yield from self.video.frames(frames)
        else:
            yield from ((f, read_rgb(self.files[f])) for f in sorted(frames))

    def colors_and_alpha(self, frames: Sequence[int]) -> Iterator[tuple[int, Pixels]]:
        """(frame, RGBA (h, w, 4)); UserError for pictures without alpha."""
        if self.video:
            raise UserError(self.where, "a video has no alpha channel", "give --masks FOLDER")
        yield from ((f, read_rgba(self.files[f])) for f in sorted(frames))

    def labels(self, frames: Sequence[int]) -> Iterator[tuple[int, Pixels]]:
        """(frame, values (h, w)) of masks: of a video, its brightest channel."""
        if self.video:
            yield from ((f, rgb.max(axis=2)) for f, rgb in self.video.frames(frames))
        else:
            yield from ((f, read_labels(self.files[f])) for f in sorted(frames))
