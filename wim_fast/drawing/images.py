"""Pictures and videos as they are: enlarged, and written to PNG and MP4 files."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from wim_fast.files import atomic_file


def enlarge(image: np.ndarray, least: int, smooth: bool = False) -> np.ndarray:
    """The image times the smallest whole number that brings its shorter side to `least` pixels.

    Args:
        smooth: by Lanczos, else by repeating pixels.
    """
    factor = -(-least // min(image.shape[:2]))
    if factor <= 1:
        return image
    size = (image.shape[1] * factor, image.shape[0] * factor)
    how = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(image).resize(size, how))


def enlarge_to(image: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) uint8 with the longer side `size`; pixels stay visible when enlarged."""
    factor = size / max(image.shape[:2])
    shape = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    how = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(image).resize(shape, how))


def write_png(path: str | Path, image: np.ndarray) -> Path:
    """Writes (H, W), (H, W, 3) or (H, W, 4) uint8, whole or not at all: a temporary file takes the name."""
    path = Path(path)
    with atomic_file(path) as unfinished:
        Image.fromarray(np.ascontiguousarray(image)).save(unfinished, format="PNG")
    return path


def write_video(
    path: str | Path, frames: Iterable[np.ndarray], fps: float, least: int = 384, smooth: bool = True
) -> Path:
    """H.264 MP4 that every player shows (yuv420p, even sides), whole or not at all.

    Args:
        frames: (H, W, 3) uint8 each, all of one size.
        least: smaller pictures are enlarged by a whole number until the shorter side has this many pixels.
        smooth: enlarge by Lanczos, else by repeating pixels.
    """
    import imageio_ffmpeg

    path = Path(path)
    stream = iter(frames)
    try:
        first = next(stream)
    except StopIteration:
        raise ValueError("write_video: no frames") from None

    def prepared(frame: np.ndarray) -> np.ndarray:
        frame = enlarge(frame, least, smooth)
        odd = (frame.shape[0] % 2, frame.shape[1] % 2)
        return np.ascontiguousarray(np.pad(frame, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge"))

    height, width = prepared(first).shape[:2]
    with atomic_file(path) as unfinished:
        writer = imageio_ffmpeg.write_frames(
            str(unfinished),
            (width, height),
            fps=fps,
            codec="libx264",
            pix_fmt_out="yuv420p",
            macro_block_size=2,
            quality=None,
            output_params=["-crf", "18", "-movflags", "+faststart", "-f", "mp4"],
            ffmpeg_log_level="error",
        )
        writer.send(None)
        try:
            for frame in chain([first], stream):
                if frame.shape != first.shape:
                    raise ValueError(f"write_video: frames of {first.shape} and {frame.shape}")
                writer.send(prepared(frame))
        finally:
            writer.close()
    return path
