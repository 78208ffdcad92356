"""Reader of RGBD-Dog: one motion of one dog, filmed by its Sony cameras.

    DOG/calibration/sony/calibFile00                    text: width, height, K (3 lines) for 4K video; T_camera_world
                                                        (4 lines, millimetres); k1 k2 p1 p2 k3
    DOG/motion_X/sony/camera00/camera00_2K.mp4          half the size of what was calibrated
    DOG/motion_X/sony/camera00/masks/00_00000000*.png   of 2K or 4K size; frames count from 0

The scene is the folder of the motion (or of the dog, if it has only one). Masks are 0 background, 255 object and 128
unreliable, or 0, 1, 2: paint unreliable where a person or a thing hides the dog, or where it cannot be told (supplement
B). What lies beyond the edge of the filmed image is unreliable by itself. Images are undistorted and cropped to a square
round the dog, the same one in all frames of a camera.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wim_fast.errors import UserError
from wim_fast.recordings.filmed import (
    Filmed,
    FilmedCamera,
    Labels,
    opencv_distortion,
    opencv_intrinsics,
    rigid,
    square_window,
)
from wim_fast.recordings.image_files import numbered_files
from wim_fast.recordings.resampling import Window
from wim_fast.scene.footage import BACKGROUND, OBJECT, UNRELIABLE, FootageBuilder, NewFootage
from wim_fast.scene.scene import Scene, SceneContents

MAX_CALIBRATION_BYTES = 1 << 16
_CAMERA = re.compile(r"camera(\d+)")
_MASK = re.compile(r"\d+_(\d{8})")


def is_rgbd_dog(path: Path) -> bool:
    return (path / "sony").is_dir() or (path / "calibration" / "sony").is_dir()


def scan_rgbd_dog(path: Path) -> SceneContents:
    """Cameras and frames; no image is read. The mocap (BVH) of the data set is not read."""
    return _open(path).contents(None)


def read_rgbd_dog(
    path: Path,
    *,
    cameras: Sequence[int] | None,
    frames: slice | Sequence[int],
    size: int | None,
    allow_missing: bool,
    new_footage: NewFootage = FootageBuilder,
) -> Scene:
    """Read a motion; the scene is in millimetres (coordinate_scale 1). See `load_scene` for the parameters."""
    return _open(path).read(
        None, cameras=cameras, frames=frames, size=size, allow_missing=allow_missing, new_footage=new_footage
    )


def three_valued(labels: Labels) -> Labels:
    """0, 1, 2 as they are; else grey levels: below 64 background, from 192 on object, unreliable between."""
    if labels.max(initial=0) <= UNRELIABLE:
        return labels
    mask = np.full(labels.shape, UNRELIABLE, np.uint8)
    mask[labels < 64] = BACKGROUND
    mask[labels >= 192] = OBJECT
    return mask


def read_calibration(file: Path) -> tuple[tuple[int, int], np.ndarray, np.ndarray, np.ndarray]:
    """(height, width), K (3, 3), T_camera_world (4, 4) and the distortion's coefficients, as they are in the file."""
    remedy = "it holds width, height, 3 lines of K, 4 lines of T_camera_world and k1 k2 p1 p2 k3"
    try:
        if file.stat().st_size > MAX_CALIBRATION_BYTES:
            raise ValueError("it is too large")
        numbers = np.array([float(word) for word in file.read_text(encoding="utf-8").split()])
    except FileNotFoundError:
        raise UserError(file, "is missing", "unpack the dog's calibration beside its motions") from None
    except (OSError, ValueError) as error:
        raise UserError(file, f"is no calibration ({error})", remedy) from None
    if len(numbers) not in (2 + 9 + 16 + 4, 2 + 9 + 16 + 5):
        raise UserError(file, f"holds {len(numbers)} numbers instead of 32", remedy)
    if not np.isfinite(numbers).all() or not (numbers[:2] > 0).all() or not (numbers[:2] < 1e5).all():
        raise UserError(file, "is no calibration of a camera", remedy)
    width, height = int(numbers[0]), int(numbers[1])
    return (height, width), numbers[2:11].reshape(3, 3), numbers[11:27].reshape(4, 4), numbers[27:]


def _open(path: Path) -> Filmed:
    motion = _motion(path)
    folders = {int(m[1]): p for p in sorted((motion / "sony").iterdir()) if (m := _CAMERA.fullmatch(p.name))}
    cameras = []
    for camera_id, folder in sorted(folders.items()):
        name = folder.name.removeprefix("camera")
        masks = numbered_files(folder / "masks", (".png",), _MASK)
        video = folder / f"{folder.name}_2K.mp4"
        if not masks and not video.is_file():
            continue
        if not masks:
            raise UserError(
                folder / "masks", f"there are no masks for camera {name}", "add them, or remove its video"
            )
        if not video.is_file():
            raise UserError(video, "there is no such video", "add it, or remove the camera's masks")
        file = motion.resolve().parent / "calibration" / "sony" / f"calibFile{name}"
        size, K, T, distortion = read_calibration(file)
        cameras.append(
            FilmedCamera(
                camera_id,
                opencv_intrinsics(file, "K", K),
                rigid(file, "T_camera_world", T[:3, :3], T[:3, 3]),
                opencv_distortion(file, "the distortion", distortion),
                video,
                masks,
                calibrated_size=size,
            )
        )
    if not cameras:
        raise UserError(
            motion / "sony", "there are no videos and masks", "unpack the motion's camera00, camera01, ..."
        )
    return Filmed(motion, cameras, three_valued, _window)


def _window(camera: FilmedCamera, size: tuple[int, int]) -> Window:
    return square_window(camera.masks, size, three_valued)


def _motion(path: Path) -> Path:
    if (path / "sony").is_dir():
        return path
    motions = sorted(p for p in path.glob("motion_*") if (p / "sony").is_dir())
    if len(motions) != 1:
        names = ", ".join(p.name for p in motions) or "none"
        raise UserError(
            path, f"is a dog with several motions or none ({names})", "give the folder of one motion"
        )
    return motions[0]
