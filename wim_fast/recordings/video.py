"""Frames of a video file by number, exactly: frame n is the n-th picture that a player would show.

Seeking in a compressed video by time alone is off by a frame or more where timestamps do not start at zero, pictures
are stored in another order than they are shown, or key frames lie far apart. So the packets of a file are listed first
(which decodes nothing); each run of wanted frames is then decoded from the packet of the key frame before it, and every
picture that comes out must have the time that it has in the list. Where the list cannot be trusted (an .avi has no
times of pictures, MPEG-4 part 2 has packets without a picture), the file is decoded from its start and pictures are
counted. The work is done by PyAV: the libraries of ffmpeg.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wim_fast.errors import UserError
from wim_fast.recordings.image_files import MAX_PIXELS

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

_CONTAINERS = {
    **dict.fromkeys((".mp4", ".mov", ".m4v"), "mov"),
    **dict.fromkeys((".mkv", ".webm"), "matroska"),
    ".avi": "avi",
}
VIDEOS = tuple(_CONTAINERS)
RUN_GAP = 32  # wanted frames that are closer than this are decoded in one run
_PICTURE_A_PACKET = ("h264", "hevc", "vp9", "av1", "mjpeg", "prores", "dnxhd", "ffv1")
_THREADS = 2
_AGAIN = "copy the video again, or write it again: ffmpeg -i IN -c:v libx264 -crf 12 OUT.mp4"


class _Packet(NamedTuple):
    """What a file says of one of its packets; times in its own units."""

    time: int | None  # when its picture is shown
    stored: int | None  # when it is decoded
    is_key: bool
    size: int


class _Start(NamedTuple):
    """Where decoding can start: the number of a picture, its time, and what to seek to (None: the first packet)."""

    n: int = 0
    time: int | None = None
    seek: int | None = None


class Video:
    """A file of one of `VIDEOS`. Raises UserError if it is none."""

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise UserError(file, "there is no such video", "put it there, or leave out its camera")
        self.file = file
        self._times: list[int] = []  # of the pictures as they are shown; none if the list is not trusted
        self._keys: list[_Start] = []
        with self._opened() as (container, stream):
            packets = [
                _Packet(p.pts, p.dts, p.is_keyframe, p.size)
                for p in container.demux(stream)
                if not p.is_discard
            ][:-1]  # the last one tells the decoder that nothing follows
            in_order = stream.codec_context.name in _PICTURE_A_PACKET and container.format.name != "avi"
        times = sorted({p.time for p in packets if p.time is not None and p.size})
        if in_order and len(times) == len(packets):
            self._times, numbers = times, {time: n for n, time in enumerate(times)}
            self._keys = [
                _Start(numbers[p.time], p.time, p.time if p.stored is None else p.stored)
                for p in packets[1:]
                if p.is_key and p.time is not None
            ]
        self._count = len(self._times) or sum(1 for _ in self._pictures(_Start()))
        if not self._count:
            raise UserError(file, "cannot be read as a video", _AGAIN)

    def __len__(self) -> int:
        return self._count

    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """(n, RGB (H, W, 3)) for each n of `wanted`, in ascending order, each once."""
        runs: list[list[int]] = []
        gap = RUN_GAP if self._times else len(self)
        for n in sorted(set(wanted)):
            if not 0 <= n < len(self):
                raise UserError(self.file, f"has no frame {n}, but {len(self)} frames", _AGAIN)
            if runs and n - runs[-1][-1] <= gap:
                runs[-1].append(n)
            else:
                runs.append([n])
        for run in runs:
            yield from self._decode(run)

    def _decode(self, run: list[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        wanted = set(run)
        for n, picture in self._numbered(run[0]):
            if n in wanted:
                yield n, _rgb(picture)
            if n == run[-1]:
                return
        raise UserError(self.file, f"frame {run[-1]} cannot be decoded", _AGAIN)

    def _numbered(self, first: int) -> Iterator[tuple[int, VideoFrame]]:
        """(n, picture) from the key frame before frame `first` on; from the start if a seek does not get there."""
        start = max((key for key in self._keys if key.n <= first), default=_Start())
        pictures = self._pictures(start)
        landed = next(pictures, None)
        if start.n and (landed is None or landed.pts != start.time or not landed.key_frame):
            start, landed = _Start(), None
            pictures = self._pictures(start)
        for n, picture in enumerate(pictures if landed is None else chain([landed], pictures), start.n):
            if self._times and (n >= len(self) or picture.pts != self._times[n]):
                raise UserError(self.file, f"the picture at the place of frame {n} has another time", _AGAIN)
            yield n, picture

    def _pictures(self, start: _Start) -> Iterator[VideoFrame]:
        """The pictures from one on, in the order in which they are shown."""
        n = start.n
        with self._opened(lambda: f"frame {n} cannot be decoded") as (container, stream):
            if start.seek is not None:
                container.seek(start.seek, stream=stream)
            packets = iter(container.demux(stream))
            if start.time is not None:  # a seek may land on an earlier key frame
                packets = dropwhile(lambda packet: packet.pts != start.time, packets)
            for picture in chain.from_iterable(packet.decode() for packet in packets):
                if start.time is not None and picture.pts is not None and picture.pts < start.time:
                    continue  # it refers to what lies before the key frame
                if picture.is_corrupt:
                    raise UserError(self.file, f"frame {n} is damaged", _AGAIN)
                yield picture
                n += 1

    @contextmanager
    def _opened(
        self, problem: Callable[[], str] = lambda: "cannot be read as a video"
    ) -> Iterator[tuple[InputContainer, VideoStream]]:
        """The file and its first film, as one that nobody has checked: of the container that its name says, which
        may open no other file; `problem` says what it means if reading fails."""
        import av

        container_format = _CONTAINERS[self.file.suffix.lower()]
        options = {"protocol_whitelist": "file"}
        try:
            with av.open(
                f"file:{self.file}", format=container_format, options=options, metadata_errors="ignore"
            ) as container:
                stream = next((s for s in container.streams.video if not _is_cover(s)), None)
                if stream is None:
                    raise UserError(self.file, "holds no film", _AGAIN)
                codec = stream.codec_context
                codec.options = {"max_pixels": str(MAX_PIXELS)}
                codec.thread_type, codec.thread_count = "AUTO", _THREADS
                yield container, stream
        except av.FFmpegError:
            raise UserError(self.file, problem(), _AGAIN) from None


def _is_cover(stream: VideoStream) -> bool:
    """Whether it is a still picture that players show for a sound."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _rgb(picture: VideoFrame) -> NDArray[np.uint8]:
    """(H, W, 3), turned as the file says that it is to be shown."""
    pixels = picture.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(picture.rotation / 90)))
