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
from functools import partial
from pathlib import Path

import numpy as np

from wim_fast.errors import UserError
from wim_fast.files import read_bytes
from wim_fast.recordings.calibration.calibrated import CalibratedCamera
from wim_fast.recordings.calibration.conventions import opencv_intrinsics, rigid
from wim_fast.recordings.film import MaskedFilm
from wim_fast.recordings.image_files import numbered_files
from wim_fast.recordings.lenses import brown
from wim_fast.recordings.masks import in_size_of, three_valued
from wim_fast.recordings.pictures import Pictures
from wim_fast.recordings.recording import FilmedCamera, Origin, Recording
from wim_fast.recordings.windows import Size, Window, square_around

CROP_FRAMES = 128
MAX_CALIBRATION_BYTES = 1 << 16
_CAMERA = re.compile(r"camera(\d+)")
_MASK = re.compile(r"\d+_(\d{8})")


def is_rgbd_dog(path: Path) -> bool:
    return (path / "sony").is_dir() or (path / "calibration" / "sony").is_dir()


def read_rgbd_dog(path: Path) -> Recording:
    """A motion, in millimetres. The mocap (BVH) of the data set is not read."""
    motion = _motion(path)
    cameras, frames = [], set()
    for folder in sorted((motion / "sony").iterdir()):
        match = _CAMERA.fullmatch(folder.name)
        film = _film(folder) if match else None
        if match is None or film is None:
            continue
        name = folder.name.removeprefix("camera")
        calibrated = _read_calibration(motion.resolve().parent / "calibration" / "sony" / f"calibFile{name}")
        window = partial(_window, film)
        cameras.append(FilmedCamera(int(match[1]), folder.name, calibrated, film, window))
        frames |= set(film.masks.frames)
    if not cameras:
        raise UserError(
            motion / "sony", "there are no videos and masks", "unpack the motion's camera00, camera01, ..."
        )
    cameras.sort(key=lambda camera: camera.id)
    origin = Origin("rgbd_dog", motion.resolve().parent / "calibration" / "sony", "masks beside the videos")
    return Recording(motion, tuple(cameras), tuple(sorted(frames)), origin)


def _film(folder: Path) -> MaskedFilm | None:
    """Of a camera's folder, if there is something in it."""
    name = folder.name.removeprefix("camera")
    masks = numbered_files(folder / "masks", (".png",), _MASK)
    video = folder / f"{folder.name}_2K.mp4"
    if not masks and not video.is_file():
        return None
    if not masks:
        raise UserError(
            folder / "masks", f"there are no masks for camera {name}", "add them, or remove its video"
        )
    if not video.is_file():
        raise UserError(video, "there is no such video", "add it, or remove the camera's masks")
    return MaskedFilm(Pictures(video), Pictures(masks), three_valued)


def _window(film: MaskedFilm, size: Size) -> Window:
    """A square round the dog, from `CROP_FRAMES` of the masks, evenly over all that there are: so it does not depend on
    which frames are read."""
    frames = film.masks.frames[:: max(1, -(-len(film.masks.frames) // CROP_FRAMES))]
    return square_around(
        (
            three_valued(in_size_of(labels, size, film.masks.file(f)))[0] > 0
            for f, labels in film.masks.labels(frames)
        ),
        size,
    )


def _read_calibration(file: Path) -> CalibratedCamera:
    """The camera of one of the data set's text files, in millimetres."""
    remedy = "it holds width, height, 3 lines of K, 4 lines of T_camera_world and k1 k2 p1 p2 k3"
    try:
        text = read_bytes(file, MAX_CALIBRATION_BYTES).decode()
        numbers = np.array([float(word) for word in text.split()])
    except FileNotFoundError:
        raise UserError(file, "is missing", "unpack the dog's calibration beside its motions") from None
    except (OSError, ValueError) as error:
        raise UserError(file, f"cannot be read as a calibration ({error})", remedy) from None
    if len(numbers) not in (2 + 9 + 16 + 4, 2 + 9 + 16 + 5):
        raise UserError(file, f"holds {len(numbers)} numbers instead of 32", remedy)
    if not np.isfinite(numbers).all() or not (numbers[:2] > 0).all() or not (numbers[:2] < 1e5).all():
        raise UserError(file, "is not the calibration of a camera", remedy)
    width, height = int(numbers[0]), int(numbers[1])
    K, T = numbers[2:11].reshape(3, 3), numbers[11:27].reshape(4, 4)
    return CalibratedCamera(
        file.name,
        opencv_intrinsics(file, "K", K),
        rigid(file, "T_camera_world", T[:3, :3], T[:3, 3]),
        brown(file, "the distortion", numbers[27:]),
        size=(height, width),
    )


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
