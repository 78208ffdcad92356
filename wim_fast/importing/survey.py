"""The first pass over a recording, of its masks alone: where the object is in each camera's pictures, and how often.

What it finds is noted camera by camera, so that an import that was interrupted need not look again. Masks that were
made on the way (background subtraction) are kept as files for the second pass.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wim_fast.files import atomic_file, write_atomic
from wim_fast.importing.workers import side_by_side
from wim_fast.recordings.film import BackgroundFilm, MaskedFilm
from wim_fast.recordings.masks import UNRELIABLE, as_greys, soft
from wim_fast.recordings.pictures import Pictures
from wim_fast.recordings.recording import FilmedCamera, Framing
from wim_fast.recordings.windows import Size, Window, with_margin


@dataclass(frozen=True)
class Sighting:
    """What the masks of one camera show.

    Attributes:
        box: round the object in all frames, pixels of the undistorted picture; None: it is never seen.
        frames: how many there are.
        seen: in how many the object is.
        cut_off: in how many it reaches the edge of the picture.
        background: numbers and warnings of background subtraction, if the masks are its.
    """

    box: Window | None
    frames: int
    seen: int
    cut_off: int
    background: dict[str, Any] | None = None

    @classmethod
    def from_dict(cls, note: dict[str, Any]) -> Sighting:
        """Of `dataclasses.asdict`."""
        box = note["box"]
        return cls(**{**note, "box": None if box is None else Window(**box)})


def survey(work: Path, framing: Framing, on_mask: Callable[[], None]) -> list[Sighting]:
    """A sighting for each camera; `on_mask` is called after each mask.

    Args:
        work: folder for notes and masks. What is noted there is not looked at again.
    """
    need = 60 * max(height * width for height, width in framing.natives) + (1 << 28)

    def look(v: int, stop: threading.Event) -> Sighting:
        note = work / f"camera_{framing.recording.cameras[v].id:03d}.json"
        if note.is_file():
            sighting = Sighting.from_dict(json.loads(note.read_text(encoding="utf-8")))
            for _ in range(sighting.frames):
                on_mask()
            return sighting
        sighting = _look(work, framing, v, on_mask, stop)
        if not stop.is_set():
            write_atomic(note, json.dumps(dataclasses.asdict(sighting)).encode())
        return sighting

    return side_by_side(len(framing.natives), need, look)


def _look(
    work: Path, framing: Framing, v: int, on_mask: Callable[[], None], stop: threading.Event
) -> Sighting:
    film = framing.recording.cameras[v].film
    union = np.zeros(framing.natives[v], bool)
    frames = seen = cut_off = 0
    for silhouette in _silhouettes(work, framing, v):
        if stop.is_set():
            break
        union |= silhouette
        frames, seen = frames + 1, seen + bool(silhouette.any())
        cut_off += bool(silhouette[[0, -1]].any() or silhouette[:, [0, -1]].any())
        on_mask()
    background = None
    if isinstance(film, BackgroundFilm):
        background = {**film.found.numbers(), "warnings": film.found.warnings()}
    return Sighting(framing.box(v, union), frames, seen, cut_off, background)


def _silhouettes(work: Path, framing: Framing, v: int) -> Iterator[NDArray[np.bool_]]:
    """Where the object is (h, w) in each frame of a camera; masks that are made for it are kept as files."""
    camera = framing.recording.cameras[v]
    if not isinstance(camera.film, BackgroundFilm):
        yield from (silhouette for _, silhouette in framing.silhouettes(v))
        return
    for taken in framing.film_frames(v):
        silhouette = taken.alpha > 0.5
        mask = np.where(taken.unreliable, UNRELIABLE, silhouette).astype(np.uint8)
        with atomic_file(_mask_file(work, camera, taken.frame)) as unfinished:
            Image.fromarray(as_greys(mask)).save(unfinished, format="PNG")
        yield silhouette


def _mask_file(work: Path, camera: FilmedCamera, frame: int) -> Path:
    return work / f"masks_{camera.id:03d}" / f"{frame:06d}.png"


def with_kept_masks(work: Path, framing: Framing) -> Framing:
    """The same with masks that the survey kept in place of background subtraction."""
    cameras = []
    for v, camera in enumerate(framing.recording.cameras):
        film = camera.film
        if isinstance(film, BackgroundFilm):
            masks = {f: _mask_file(work, camera, f) for f in framing.recording.frames_of(v)}
            camera = dataclasses.replace(camera, film=MaskedFilm(film.pictures, Pictures(masks), soft))
        cameras.append(camera)
    recording = dataclasses.replace(framing.recording, cameras=tuple(cameras))
    return dataclasses.replace(framing, recording=recording)


def crop_windows(sightings: Sequence[Sighting], pictures: Sequence[Size]) -> list[Window]:
    """What of each picture (height, width) is kept: the object in all frames, with a margin.

    Of a camera that never sees it, a pixel in the middle: it gets a window like the others'.
    """
    windows = []
    for sighting, (height, width) in zip(sightings, pictures, strict=True):
        middle = Window(width // 2, height // 2, width // 2 + 1, height // 2 + 1)
        windows.append(middle if sighting.box is None else with_margin(sighting.box, (height, width)))
    return windows
