"""Writer of the raw scene layout, which `wim_raw` reads: images, masks where they say more than alpha, cameras."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wim_fast.scene.footage import UNRELIABLE

UNRELIABLE_GREY = 128  # in a mask's file; 0 is background, 255 the object


def image_name(frame: int, camera: int) -> str:
    return f"frame_{frame:05d}_cam_{camera:03d}.png"


def mask_name(frame: int, camera: int) -> str:
    return f"mask_{frame:05d}_cam_{camera:03d}.png"


def write_image(
    folder: Path, frame: int, camera: int, rgba: NDArray[np.uint8], mask: NDArray[np.uint8] | None = None
) -> None:
    """An image (H, W, 4), straight alpha; its mask (H, W) beside it if any pixel of that is unreliable."""
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(rgba)).save(folder / image_name(frame, camera), optimize=True)
    if mask is not None and (mask == UNRELIABLE).any():
        greys = np.array([0, 255, UNRELIABLE_GREY], np.uint8)[mask]
        Image.fromarray(greys).save(folder / mask_name(frame, camera), optimize=True)


def write_camera(
    folder: Path,
    camera: int,
    intrinsics: NDArray[np.float64],
    T_camera_world: NDArray[np.float64],
    size: tuple[int, int],
) -> None:
    """A camera: K (3, 3) with pixel centres at +0.5, T_camera_world (4, 4) with OpenCV axes, (height, width)."""
    view_matrix = T_camera_world.T * [1, -1, -1, 1]  # row vectors, OpenGL axes
    K = intrinsics
    write_view(
        folder, camera, {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}, view_matrix, size
    )


def write_view(
    folder: Path,
    camera: int,
    intrinsics: dict[str, float],
    view_matrix: NDArray[np.float64],
    size: tuple[int, int],
) -> None:
    """A camera as its file has it: fx, fy, cx, cy and the view matrix (4, 4) for row vectors, OpenGL axes."""
    data = {
        "width": size[1],
        "height": size[0],
        "intrinsics": {key: float(value) for key, value in intrinsics.items()},
        "camera_view_matrix": view_matrix.tolist(),
    }
    text = json.dumps({"camera_data": data}, indent=1) + "\n"
    (folder / f"cam_{camera:03d}.json").write_text(text)
