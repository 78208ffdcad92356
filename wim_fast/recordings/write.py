"""Writer of the raw layout, which `formats/raw` reads: images, masks where they say more than alpha, cameras, truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wim_fast.files import atomic_file
from wim_fast.recordings.calibration.raw_json import write_raw_camera, write_raw_view
from wim_fast.recordings.cameras import Cameras
from wim_fast.recordings.masks import UNRELIABLE, as_greys
from wim_fast.recordings.recording import GroundTruth

IMPORT_REPORT = (
    "import.json"  # what import found; also the sign that a folder is an imported scene, with z up
)


def image_name(frame: int, camera: int) -> str:
    return f"frame_{frame:05d}_cam_{camera:03d}.png"


def mask_name(frame: int, camera: int) -> str:
    return f"mask_{frame:05d}_cam_{camera:03d}.png"


def camera_name(camera: int) -> str:
    return f"cam_{camera:03d}.json"


def write_image(
    folder: Path, frame: int, camera: int, rgba: NDArray[np.uint8], mask: NDArray[np.uint8] | None = None
) -> None:
    """An image (H, W, 4), straight alpha; its mask (H, W) beside it if any pixel of that is unreliable.

    The image comes last and whole: where there is one, its mask is there too.
    """
    if mask is not None and (mask == UNRELIABLE).any():
        _save_png(folder / mask_name(frame, camera), as_greys(mask))
    _save_png(folder / image_name(frame, camera), rgba)


def _save_png(file: Path, pixels: NDArray[np.uint8]) -> None:
    from PIL import Image

    with atomic_file(file) as unfinished:
        Image.fromarray(np.ascontiguousarray(pixels)).save(unfinished, format="PNG")


def write_cameras(folder: Path, cameras: Cameras) -> None:
    """All cameras; their intrinsics have no skew."""
    size = cameras.height, cameras.width
    for camera, K, T in zip(cameras.ids, cameras.intrinsics, cameras.T_camera_world, strict=True):
        write_raw_camera(folder / camera_name(camera), K, T, size)


def write_view(
    folder: Path,
    camera: int,
    intrinsics: dict[str, float],
    view_matrix: NDArray[np.float64],
    size: tuple[int, int],
) -> None:
    """A camera as its file has it: fx, fy, cx, cy and the view matrix (4, 4) for row vectors, OpenGL axes."""
    write_raw_view(folder / camera_name(camera), intrinsics, view_matrix, size)


def write_truth(folder: Path, truth: GroundTruth) -> None:
    """What is known about the motion, in the units of the cameras."""
    known: dict[str, Any] = {"joints": truth.joints, "points": truth.points}
    np.savez(folder / "gt.npz", **{key: array for key, array in known.items() if array is not None})
