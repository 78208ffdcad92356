"""Cameras of a COLMAP model: cameras and images, as text (.txt) or binary (.bin).

World to camera, OpenCV axes, pixel centres at +0.5. Points in space are not read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast.errors import UserError
from wim_fast.recordings.calibration.calibrated import CalibratedCamera, check_size, read_text
from wim_fast.recordings.calibration.conventions import Matrix, pinhole, rigid
from wim_fast.recordings.lenses import Lens, lens_of

# number in the binary format -> name, count of parameters
MODELS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
}
# name -> where in the parameters fx, fy, cx, cy are, then k1, k2, p1, p2, k3, k4, k5, k6
_PARAMETERS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "SIMPLE_PINHOLE": ((0, 0, 1, 2), ()),
    "PINHOLE": ((0, 1, 2, 3), ()),
    "SIMPLE_RADIAL": ((0, 0, 1, 2), (3,)),
    "RADIAL": ((0, 0, 1, 2), (3, 4)),
    "OPENCV": ((0, 1, 2, 3), (4, 5, 6, 7)),
    "FULL_OPENCV": ((0, 1, 2, 3), (4, 5, 6, 7, 8, 9, 10, 11)),
}
_AGAIN = "write the model anew with COLMAP, or copy it again"

Intrinsics = tuple[Matrix, Lens, tuple[int, int]]


def find_colmap(folder: Path) -> Path | None:
    """The model in a folder: the folder itself, or sparse/0 or sparse in it."""
    places = [folder, folder / "sparse" / "0", folder / "sparse", folder / "colmap" / "sparse" / "0"]
    return next((p for p in places if any((p / f"images{e}").is_file() for e in (".bin", ".txt"))), None)


def read_colmap(folder: Path) -> list[CalibratedCamera]:
    """Every image of the model; binary files are preferred, as COLMAP does."""
    from scipy.spatial.transform import Rotation

    binary = (folder / "images.bin").is_file()
    ending = ".bin" if binary else ".txt"
    cameras_file, images_file = folder / f"cameras{ending}", folder / f"images{ending}"
    for file in (cameras_file, images_file):
        if not file.is_file():
            raise UserError(file, "is missing", "a model has cameras and images, both .bin or both .txt")
    cameras = (_binary_cameras if binary else _text_cameras)(cameras_file)
    found = []
    for name, quaternion, translation, camera in (_binary_images if binary else _text_images)(images_file):
        if camera not in cameras:
            raise UserError(
                images_file, f"{name} is of camera {camera}, which {cameras_file.name} does not have", _AGAIN
            )
        K, lens, size = cameras[camera]
        norm = float(np.linalg.norm(quaternion))
        if not np.isfinite(norm) or norm < 1e-6:
            raise UserError(images_file, f"{name} has no rotation", _AGAIN)
        w, x, y, z = quaternion
        R = Rotation.from_quat([x, y, z, w]).as_matrix()
        T = rigid(images_file, name, R, np.array(translation))
        found.append(CalibratedCamera(name, K, T, lens, size))
    if not found:
        raise UserError(images_file, "holds no images", "register the images in COLMAP first")
    return found


def _intrinsics(
    file: Path, camera: int, model: str, width: int, height: int, values: Sequence[float]
) -> Intrinsics:
    if model not in _PARAMETERS:
        known = ", ".join(_PARAMETERS)
        raise UserError(
            file,
            f"camera {camera} has the lens model {model}",
            f"known are {known}: undistort the images with `colmap image_undistorter` and give its model",
        )
    if not (0 < width < 1 << 20 and 0 < height < 1 << 20):
        raise UserError(file, f"camera {camera} has images of {width} x {height}", _AGAIN)
    where, lens = _PARAMETERS[model]
    needed = max((*where, *lens)) + 1
    if len(values) != needed or not np.isfinite(values).all():
        raise UserError(file, f"camera {camera}: {model} has {len(values)} parameters, not {needed}", _AGAIN)
    fx, fy, cx, cy = (values[i] for i in where)
    what = f"camera {camera}"
    coefficients = lens_of(file, what, [*(values[i] for i in lens), *[0.0] * (5 - len(lens))])
    return pinhole(file, what, fx, fy, cx, cy), coefficients, (height, width)


def _text_cameras(file: Path) -> dict[int, Intrinsics]:
    found = {}
    for number, line in enumerate(read_text(file).splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            camera, width, height = int(words[0]), int(words[2]), int(words[3])
            values = [float(word) for word in words[4:]]
        except (ValueError, IndexError):
            raise UserError(
                file, f"line {number} is not a camera", "CAMERA_ID MODEL WIDTH HEIGHT PARAMS..."
            ) from None
        found[camera] = _intrinsics(file, camera, words[1], width, height, values)
    return found


def _text_images(file: Path) -> list[tuple[str, list[float], list[float], int]]:
    found = []
    lines = enumerate(read_text(file).splitlines(), 1)
    for number, line in lines:
        words = line.split(maxsplit=9)
        if not words or words[0].startswith("#"):
            continue
        try:
            values, camera, name = [float(word) for word in words[1:8]], int(words[8]), words[9].strip()
        except (ValueError, IndexError):
            remedy = "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, and a line of points (or an empty one) after it"
            raise UserError(file, f"line {number} is not an image", remedy) from None
        found.append((name, values[:4], values[4:], camera))
        _, points = next(lines, (0, ""))
        if len(points.split()) % 3:
            remedy = "every image takes two lines; the second holds its points and may be empty"
            raise UserError(file, f"line {number + 1} holds no points (X Y POINT3D_ID, ...)", remedy)
    return found


class _Bytes:
    """A binary file, read value by value (little-endian)."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            check_size(file)
            self.content = file.read_bytes()
        except OSError as error:
            raise UserError(file, f"cannot be read ({error.strerror})", "check the file") from None
        self.at = 0

    def take(self, layout: str) -> tuple[Any, ...]:
        try:
            values = struct.unpack_from(f"<{layout}", self.content, self.at)
        except struct.error:
            raise UserError(self.file, "ends too early", _AGAIN) from None
        self.at += struct.calcsize(f"<{layout}")
        return values

    def name(self) -> str:
        end = self.content.find(b"\0", self.at, self.at + 4096)
        if end < 0:
            raise UserError(self.file, "holds an image without a name", _AGAIN)
        text = self.content[self.at : end].decode("utf-8", "replace")
        self.at = end + 1
        return text

    def skip(self, count: int, each: int) -> None:
        if count > (len(self.content) - self.at) // each:
            raise UserError(self.file, "ends too early", _AGAIN)
        self.at += count * each

    def each(self, read: Callable[[], None]) -> None:
        (count,) = self.take("Q")
        for _ in range(count):  # a wrong count ends with the file
            read()
        if self.at != len(self.content):
            raise UserError(self.file, "has data after its end", _AGAIN)


def _binary_cameras(file: Path) -> dict[int, Intrinsics]:
    content, found = _Bytes(file), {}

    def read() -> None:
        camera, number, width, height = content.take("IiQQ")
        model, count = MODELS.get(number, (f"number {number}", 0))
        found[camera] = _intrinsics(file, camera, model, width, height, content.take(f"{count}d"))

    content.each(read)
    return found


def _binary_images(file: Path) -> list[tuple[str, list[float], list[float], int]]:
    content, found = _Bytes(file), []

    def read() -> None:
        values = content.take("I7dI")
        name = content.name()
        content.skip(content.take("Q")[0], 24)
        found.append((name, list(values[1:5]), list(values[5:8]), values[8]))

    content.each(read)
    return found
