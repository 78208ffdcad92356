"""Where the masks of a recording come from: files beside it, the alpha of its pictures, or background subtraction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wim_fast.errors import UserError
from wim_fast.recordings.background import Background, Found, samples_of
from wim_fast.recordings.image_files import numbered_files, read_rgba
from wim_fast.recordings.sources import (
    MASK_FOLDERS,
    PICTURES,
    VIDEOS,
    Pictures,
    SourceCamera,
    find_sources,
    telling_numbers,
)

Pixels = NDArray[np.uint8]
Alpha = NDArray[np.float32]
Unsure = NDArray[np.bool_]
Masked = tuple[int, Pixels, Alpha, Unsure]  # frame, RGB (h, w, 3), alpha (h, w) in [0, 1], unreliable (h, w)


class Masks(Protocol):
    """Masks for the pictures of every camera."""

    what: str  # in words

    def frames(self, camera: SourceCamera) -> Sequence[int] | None:
        """Frames that have one; None: all that have a picture."""

    def extra_steps(self, frames: int) -> int:
        """How many more pictures of a camera than its `frames` are read."""

    def stream(
        self, camera: SourceCamera, pictures: Pictures, frames: Sequence[int], advance: Callable[[], None]
    ) -> Iterator[Masked]:
        """The frames of a camera, ascending; `advance` is called after each extra picture."""


def find_masks(
    text: str | None, source: Path, cameras: Sequence[SourceCamera], empty: Path | None = None
) -> Masks:
    """What --masks says: `alpha`, `background` or a folder. Nothing: a folder of masks in the source, or alpha.

    `empty`: folder of pictures of the set without the object, which background subtraction starts from.
    """
    if text == "background" or (text is None and empty is not None):
        return BackgroundMasks(None if empty is None else find_empty(empty, cameras))
    if empty is not None:
        raise UserError(empty, f"the empty set is of no use with --masks {text}", "give --masks background")
    if text == "alpha":
        return AlphaMasks()
    if text is not None:
        return FolderMasks(Path(text), cameras)
    beside = next((source / name for name in MASK_FOLDERS if (source / name).is_dir()), None)
    if beside is not None:
        return FolderMasks(beside, cameras)
    if _has_alpha(cameras[0]):
        return AlphaMasks()
    raise UserError(
        source,
        "there are no masks: no folder masks/, and the pictures have no alpha",
        "segment the pictures and give --masks FOLDER, or --masks background if the cameras stand still and the object"
        " moves a lot",
    )


def _has_alpha(camera: SourceCamera) -> bool:
    files = camera.reader.files
    if not files:
        return False
    try:
        read_rgba(next(iter(files.values())))
    except UserError:
        return False
    return True


class AlphaMasks:
    """The alpha channel of the pictures."""

    what = "the alpha channel of the pictures"

    def frames(self, camera: SourceCamera) -> Sequence[int] | None:
        return None

    def extra_steps(self, frames: int) -> int:
        return 0

    def stream(
        self, camera: SourceCamera, pictures: Pictures, frames: Sequence[int], advance: Callable[[], None]
    ) -> Iterator[Masked]:
        for frame, rgba in pictures.colors_and_alpha(frames):
            alpha = rgba[..., 3].astype(np.float32) / np.float32(255)
            yield frame, rgba[..., :3], alpha, np.zeros(alpha.shape, bool)


class FolderMasks:
    """A folder laid out as the recording is, with a mask for each picture: files, or videos."""

    def __init__(self, path: Path, cameras: Sequence[SourceCamera]) -> None:
        self.what = f"masks in {path}"
        found = {mask.name.lower(): mask for mask in find_sources(path)}
        by_number = self._by_number(list(found.values()), cameras)
        self.masks: dict[str, Pictures] = {}
        for camera in cameras:
            mask = found.get(camera.name.lower()) or by_number.get(camera.name)
            if mask is None:
                raise UserError(
                    path,
                    f"there are no masks for {camera.name}, but for {', '.join(m.name for m in found.values())}",
                    "name the folders (or videos) of masks as those of the pictures",
                )
            self.masks[camera.name] = mask.reader

    @staticmethod
    def _by_number(masks: Sequence[SourceCamera], cameras: Sequence[SourceCamera]) -> dict[str, SourceCamera]:
        ours, theirs = (telling_numbers([c.name for c in of]) for of in (cameras, masks))
        if ours is None or theirs is None:
            return {}
        by_number = dict(zip(theirs, masks, strict=True))
        return {c.name: by_number[n] for c, n in zip(cameras, ours, strict=True) if n in by_number}

    def frames(self, camera: SourceCamera) -> Sequence[int] | None:
        return self.masks[camera.name].frames

    def extra_steps(self, frames: int) -> int:
        return 0

    def stream(
        self, camera: SourceCamera, pictures: Pictures, frames: Sequence[int], advance: Callable[[], None]
    ) -> Iterator[Masked]:
        masks = self.masks[camera.name]
        for (frame, rgb), (_, labels) in zip(pictures.colors(frames), masks.labels(frames), strict=True):
            size = rgb.shape[0], rgb.shape[1]
            labels = _resized(labels, size, masks.files.get(frame, masks.where))
            alpha, unsure = soft_mask(labels, masks.video is not None)
            yield frame, rgb, alpha, unsure


def soft_mask(labels: Pixels, compressed: bool = False) -> tuple[Alpha, Unsure]:
    """Alpha (h, w) in [0, 1] and unreliable pixels (h, w) of a mask's values (h, w).

    0, 1, 2 or 0, 255, 128 are background, object and unreliable. Other small numbers are parts of a body, greys
    the coverage of an edge. `compressed`: of a video, whose greys mean nothing.
    """
    if compressed:
        return (labels > 127).astype(np.float32), np.zeros(labels.shape, bool)
    there = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
    for values in ((0, 1, 2), (0, 255, 128)):
        if set(there) <= set(values):
            return (labels == values[1]).astype(np.float32), np.asarray(labels == values[2])
    unsure = np.zeros(labels.shape, bool)
    if there.max() < 64:
        return (labels > 0).astype(np.float32), unsure
    return labels.astype(np.float32) / np.float32(255), unsure


def _resized(labels: Pixels, size: tuple[int, int], where: Path) -> Pixels:
    """A mask in the size (height, width) of its picture; UserError for one of another shape."""
    if labels.shape == size:
        return labels
    (h, w), (height, width) = labels.shape, size
    if abs(h * width - w * height) > 0.01 * h * width:
        problem = f"the mask is {w} x {h} pixels, its picture {width} x {height}"
        raise UserError(where, problem, "give both one shape")
    return np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))


def find_empty(folder: Path, cameras: Sequence[SourceCamera]) -> dict[str, Pictures]:
    """Pictures of the empty set by camera: cam0.png, cam0.mp4, or a folder cam0 of them."""
    if not folder.is_dir():
        raise UserError(
            folder, "is no folder", "put a picture of the empty set for each camera there, cam0.png"
        )
    found: dict[str, Pictures] = {}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            if files := numbered_files(entry, PICTURES):
                found[entry.name.lower()] = Pictures(files)
        elif entry.suffix.lower() in (*PICTURES, *VIDEOS):
            found[entry.stem.lower()] = Pictures({0: entry} if entry.suffix.lower() in PICTURES else entry)
    lost = [camera.name for camera in cameras if camera.name.lower() not in found]
    if lost:
        held = ", ".join(found) or "nothing"
        raise UserError(folder, f"there is no picture of {lost[0]}, but of {held}", f"add {lost[0]}.png")
    return {camera.name: found[camera.name.lower()] for camera in cameras}


class BackgroundMasks:
    """What differs from the background, which is learned from the recording itself or from the empty set."""

    def __init__(self, empty: dict[str, Pictures] | None = None) -> None:
        self.empty = empty
        self.what = "background subtraction" + ("" if empty is None else ", against the empty set")
        self.found: dict[str, Found] = {}

    def frames(self, camera: SourceCamera) -> Sequence[int] | None:
        return None

    def extra_steps(self, frames: int) -> int:
        return len(samples_of(list(range(frames)), (1, 1)))

    def stream(
        self, camera: SourceCamera, pictures: Pictures, frames: Sequence[int], advance: Callable[[], None]
    ) -> Iterator[Masked]:
        _, first = next(iter(pictures.colors(frames[:1])))
        samples = samples_of(list(frames), first.shape[:2])
        stack = np.empty((len(samples), *first.shape), np.uint8)
        for k, (_, rgb) in enumerate(pictures.colors(samples)):
            if rgb.shape != first.shape:
                raise UserError(
                    pictures.where, "its pictures change their size", "give all of a camera one size"
                )
            stack[k] = rgb
            advance()
        for _ in range(self.extra_steps(len(frames)) - len(samples)):
            advance()
        background = Background.of(stack, self._empty(camera, first.shape))
        del stack
        found = self.found[camera.name] = Found(empty=self.empty is not None)
        for frame, rgb in pictures.colors(frames):
            mask = background.foreground(rgb)
            found.add(background, rgb, mask)
            yield frame, rgb, mask.astype(np.float32), np.zeros(mask.shape, bool)

    def _empty(self, camera: SourceCamera, shape: tuple[int, ...]) -> Pixels | None:
        if self.empty is None:
            return None
        pictures = self.empty[camera.name]
        frames = samples_of(list(pictures.frames), (shape[0], shape[1]))
        images = [rgb for _, rgb in pictures.colors(frames)]
        if any(image.shape != shape for image in images):
            problem = f"its size is not {shape[1]} x {shape[0]}, as that of the recording"
            raise UserError(
                pictures.where, problem, "film the empty set as the recording, with the same camera"
            )
        return np.stack(images)
