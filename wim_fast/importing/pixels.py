"""The images of a recording, written as a scene: frame by frame, never more than a few in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wim_fast.importing.staging import Room
from wim_fast.importing.workers import side_by_side
from wim_fast.recordings.cameras import Cameras
from wim_fast.recordings.masks import BACKGROUND, Pixels
from wim_fast.recordings.recording import Framing
from wim_fast.recordings.selection import evenly
from wim_fast.recordings.write import image_name, mask_name, write_image
from wim_fast.scene.footage import Footage
from wim_fast.scene.scene import Scene

SAMPLE_SIZE = 6  # frames that the placement is found from and that are shown
SHOWN_SIZE = 480  # longer side of pictures that are kept to be shown


@dataclass
class SampleFrames:
    """Some of the frames, to place and check by: masks, and colours with the background, at most `SHOWN_SIZE` pixels."""

    frames: list[int]
    masks: NDArray[np.uint8]  # (V, F, H, W)
    colors: dict[tuple[int, int], NDArray[np.uint8]] = field(
        default_factory=dict
    )  # by camera and frame position

    def scene(self, path: Path, cameras: Cameras) -> Scene:
        """What was filmed, background and all, as a scene of small images: to be shown, not to be trained on."""
        size = min(1.0, SHOWN_SIZE / max(cameras.width, cameras.height))
        height, width = max(1, round(cameras.height * size)), max(1, round(cameras.width * size))
        rows = ((np.arange(height) + 0.5) * cameras.height / height).astype(int)
        columns = ((np.arange(width) + 0.5) * cameras.width / width).astype(int)
        V, F = self.masks.shape[:2]
        mask = self.masks[:, :, rows][..., columns]
        rgba = np.full((V, F, height, width, 4), 255, np.uint8)
        for (v, f), image in self.colors.items():
            rgba[v, f, ..., :3] = image[rows][:, columns]
        footage = Footage.from_arrays(rgba, mask)
        shown = cameras.resized(width, height)
        return Scene(path.name, path, shown, tuple(self.frames), footage, 1.0, None)


def write_images(folder: Path, framing: Framing, on_image: Callable[[], None]) -> SampleFrames:
    """Every image of the scene; `on_image` is called after each.

    Images that are there already are not made again, but for those of the sample.
    """
    recording = framing.recording
    frames = evenly(recording.frame_ids, SAMPLE_SIZE)
    shape = len(recording.cameras), len(frames), *framing.size
    sample = SampleFrames(frames, np.full(shape, BACKGROUND, np.uint8))
    missing = [_missing(folder, framing, v, frames) for v in range(len(recording.cameras))]
    room = Room(folder, sum(map(len, missing)))
    for _ in range(len(missing) * len(recording.frame_ids) - room.total):
        on_image()

    def write(v: int, stop: threading.Event) -> None:
        for frame, rgba, mask in _images(framing, v, missing[v], sample):
            if stop.is_set():
                return
            camera = recording.cameras[v].id
            write_image(folder, frame, camera, rgba, mask)
            room.wrote(folder / image_name(frame, camera), folder / mask_name(frame, camera))
            on_image()

    side_by_side(len(missing), _bytes_needed(framing), write)
    return sample


def _missing(folder: Path, framing: Framing, v: int, sample: Sequence[int]) -> list[int]:
    """Frames of a camera that are not there yet, or are of the sample."""
    camera = framing.recording.cameras[v].id
    frames = framing.recording.frames_of(v)
    return [f for f in frames if f in sample or not (folder / image_name(f, camera)).is_file()]


def _images(
    framing: Framing, v: int, frames: Sequence[int], sample: SampleFrames
) -> Iterator[tuple[int, Pixels, Pixels]]:
    """(frame, image, mask) of these frames of a camera; what is looked at is kept on the way."""
    resampling = framing.resampling(v)
    for taken in framing.film_frames(v, frames):
        rgba, mask = resampling(taken.rgb, taken.alpha, taken.unreliable)
        rgba[rgba[..., 3] == 0] = 0
        if taken.frame in sample.frames:
            position = sample.frames.index(taken.frame)
            sample.masks[v, position] = mask
            everything = np.ones_like(taken.alpha)
            opaque, _ = resampling(taken.rgb, everything, np.zeros_like(taken.unreliable))
            sample.colors[v, position] = opaque[..., :3]
        yield taken.frame, rgba, mask


def _bytes_needed(framing: Framing) -> int:
    """By a camera: its pictures as filmed, and the weights of the resampling, up to four samples a pixel."""
    native = max(height * width for height, width in framing.natives)
    samples = max(framing.size[0] * framing.size[1], *(round(w.size[0] * w.size[1]) for w in framing.windows))
    return 240 * samples + 60 * native + (1 << 28)
