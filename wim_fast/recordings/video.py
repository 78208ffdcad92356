"""Frames of a video file by number, exactly: frame n is the n-th picture that a player would show.

Seeking in a compressed video by time alone is off by a frame or more where timestamps do not start at zero, pictures
are stored in another order than they are shown, or key frames lie far apart. So the timestamps of all pictures are
listed first (which decodes nothing); each run of wanted frames is then decoded from the key frame before it, and
cut out by timestamp. The work is done by the ffmpeg that comes with imageio-ffmpeg.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from wim_fast.errors import UserError
from wim_fast.recordings.image_files import MAX_PIXELS

VIDEOS = (".mp4", ".mov", ".m4v")
RUN_GAP = 32  # wanted frames that are closer than this are decoded in one run
_AGAIN = "copy the video again, or write it again as H.264 in .mp4"


class Video:
    """An .mp4 (or .mov) file. Raises UserError if it is none."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.times = _frame_times(file)  # seconds, in the order in which the frames are shown

    def __len__(self) -> int:
        return len(self.times)

    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """(n, RGB (H, W, 3)) for each n of `wanted`, in ascending order, each once."""
        runs: list[list[int]] = []
        for n in sorted(set(wanted)):
            if not 0 <= n < len(self):
                raise UserError(self.file, f"has no frame {n}, but {len(self)} frames", _AGAIN)
            if runs and n - runs[-1][-1] <= RUN_GAP:
                runs[-1].append(n)
            else:
                runs.append([n])
        for run in runs:
            yield from self._decode(run)

    def _decode(self, run: list[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        first, last = run[0], run[-1]
        spacing = float(np.diff(self.times).min()) if len(self) > 1 else 1.0
        start = self.times[first] - spacing / 2
        seek = ["-seek_timestamp", "1", "-noaccurate_seek", "-ss", f"{start:.6f}"] if first else []
        command = [
            *_ffmpeg(),
            *seek,
            *_input(self.file),
            *("-vf", f"select=gte(t\\,{start:.6f})"),
            *("-fps_mode", "passthrough", "-frames:v", str(last - first + 1)),
            *("-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"),
        ]
        wanted = set(run)
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            try:
                for n in range(first, last + 1):
                    image = _read_ppm(process.stdout)
                    if image is None:
                        raise UserError(self.file, f"frame {n} cannot be decoded", _AGAIN)
                    if n in wanted:
                        yield n, image
            finally:
                process.kill()


def _ffmpeg() -> list[str]:
    from imageio_ffmpeg import get_ffmpeg_exe

    return [get_ffmpeg_exe(), "-nostdin", "-v", "error", "-threads", "2", "-copyts"]


def _input(file: Path) -> list[str]:
    """Options for a file that nobody has checked: one container, one stream, and nothing but files."""
    return ["-protocol_whitelist", "file", "-f", "mov", "-i", f"file:{file}", "-map", "0:v:0", "-an"]


def _frame_times(file: Path) -> NDArray[np.float64]:
    """Presentation times of all pictures, sorted."""
    if not file.is_file():
        raise UserError(file, "there is no such video", "put it there, or leave out its camera")
    command = [*_ffmpeg(), *_input(file), "-c", "copy", "-f", "framecrc", "-"]
    listing = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="replace",
    )
    base, times = 0.0, []
    try:
        for line in listing.stdout.splitlines():
            if line.startswith("#tb 0:"):
                numerator, denominator = line.split(":")[1].split("/")
                base = int(numerator) / int(denominator)
            elif line and not line.startswith("#"):
                times.append(int(line.split(",")[2]) * base)  # stream, dts, pts, duration, size, checksum
    except (ValueError, IndexError, ZeroDivisionError):
        times = []
    found = np.array(sorted(times))
    if not len(found):
        raise UserError(file, "cannot be read as an .mp4 video", _AGAIN)
    if (np.diff(found) <= 0).any():
        raise UserError(file, "has two pictures with the same time", _AGAIN)
    return found


def _read_ppm(stream: IO[bytes]) -> NDArray[np.uint8] | None:
    """The next picture (H, W, 3) of a stream of binary PPM; None at its end."""
    if stream.readline() != b"P6\n":
        return None
    width, height = map(int, stream.readline().split())
    if stream.readline() != b"255\n" or not 0 < width * height <= MAX_PIXELS:
        return None
    content = stream.read(3 * width * height)
    if len(content) < 3 * width * height:
        return None
    return np.frombuffer(content, np.uint8).reshape(height, width, 3)
