"""The pictures of a plan, written as images of a scene: frame by frame, never more than a few in memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wim_fast.errors import UserError
from wim_fast.importing.plan import Plan, PlannedCamera
from wim_fast.importing.staging import Room
from wim_fast.recordings.cameras import Cameras
from wim_fast.recordings.masks import Masks
from wim_fast.recordings.raw_writer import image_name, mask_name, write_image
from wim_fast.scene.footage import BACKGROUND, Footage
from wim_fast.scene.scene import Scene

LOOKED_AT = 6  # frames that the placement is found from and that are shown
SHOWN_SIZE = 480  # longer side of pictures that are kept to be shown
WORK_BYTES = 3 << 30  # what all workers may need together


@dataclass
class Looked:
    """The frames that are looked at: their masks, and colours with the background, at most `SHOWN_SIZE` pixels."""

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


def looked_at(frames: Sequence[int]) -> list[int]:
    """Frames spread over all, first and last among them."""
    count = min(LOOKED_AT, len(frames))
    return [frames[round(i)] for i in np.linspace(0, len(frames) - 1, count)]


def write_images(folder: Path, plan: Plan, masks: Masks, advance: Callable[[], None]) -> Looked:
    """Every image of the scene; `advance` is called after each picture that was read (`steps` in all)."""
    frames = looked_at(plan.frames)
    looked = Looked(frames, np.full((len(plan.cameras), len(frames), *plan.size), BACKGROUND, np.uint8))
    room = Room(folder, len(plan.cameras) * len(plan.frames))
    stop = threading.Event()

    def write(v: int) -> None:
        try:
            _write_camera(folder, plan, v, masks, looked, room, advance, stop)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(max_workers=_workers(plan)) as pool:
        try:
            for _ in pool.map(write, range(len(plan.cameras))):
                pass
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return looked


def steps(plan: Plan, masks: Masks) -> int:
    """How many pictures are read in all."""
    return len(plan.cameras) * (len(plan.frames) + masks.extra_steps(len(plan.frames)))


def _write_camera(
    folder: Path,
    plan: Plan,
    v: int,
    masks: Masks,
    looked: Looked,
    room: Room,
    advance: Callable[[], None],
    stop: threading.Event,
) -> None:
    camera = plan.cameras[v]
    resampling = camera.resampling()
    for frame, rgb, alpha, unsure in masks.stream(camera.source, camera.pictures, plan.frames, advance):
        if stop.is_set():
            return
        _check_size(camera, frame, rgb.shape)
        rgba, mask = resampling.blend(rgb, alpha, unsure)
        rgba[rgba[..., 3] == 0] = 0
        write_image(folder, frame, camera.id, rgba, mask)
        room.wrote(folder / image_name(frame, camera.id), folder / mask_name(frame, camera.id))
        if frame in looked.frames:
            position = looked.frames.index(frame)
            looked.masks[v, position] = mask
            everything = np.ones(alpha.shape, np.float32)
            looked.colors[v, position] = resampling.blend(rgb, everything, np.zeros_like(unsure))[0][..., :3]
        advance()


def _check_size(camera: PlannedCamera, frame: int, shape: tuple[int, ...]) -> None:
    if shape[:2] != camera.native:
        raise UserError(
            camera.pictures.files.get(frame, camera.pictures.where),
            f"frame {frame} is {shape[1]} x {shape[0]} pixels, the first {camera.native[1]} x {camera.native[0]}",
            "all pictures of a camera must have one size",
        )


def _workers(plan: Plan) -> int:
    """Cameras at once: as many as there are processors and room."""
    native = max(camera.native[0] * camera.native[1] for camera in plan.cameras)
    samples = 4 * max(native, plan.size[0] * plan.size[1])  # weights of the resampling
    need = 60 * samples + 100 * native + (1 << 28)
    return max(1, min(len(plan.cameras), os.cpu_count() or 1, 8, WORK_BYTES // need))
