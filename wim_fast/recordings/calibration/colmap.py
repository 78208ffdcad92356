"""Cameras of a COLMAP model: cameras and images, as text (.txt) or binary (.bin).

World to camera, OpenCV axes, pixel centres at +0.5. Points in space are not read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wim_fast.errors import UserError
from wim_fast.recordings.calibration.calibrated import CalibratedCamera, read_content, read_text
from wim_fast.recordings.calibration.conventions import Matrix, pinhole, rigid
from wim_fast.recordings.lenses import Lens, brown, fisheye

_AGAIN = "write the model anew with COLMAP, or copy it again"

Intrinsics = tuple[Matrix, Lens, tuple[int, int]]


class Model(NamedTuple):
    """A camera model: `focals` focal lengths (1 or 2), cx, cy, and `coefficients` numbers that `lens` understands."""

    name: str
    focals: int
    coefficients: int
    lens: Callable[[Path, str, list[float]], Lens] | None = None  # None: not read


def _radial(file: Path, what: str, values: list[float]) -> Lens:
    k1, k2 = [*values, 0.0][:2]
    return brown(file, what, [k1, k2, 0.0, 0.0])


def _fov(file: Path, what: str, values: list[float]) -> Lens:
    (omega,) = values
    if not 1e-6 < omega < np.pi:
        raise UserError(file, f"{what}: omega is {omega:g}", "FOV's omega is an angle in radians; " + _AGAIN)
    return Lens(projection="fov", omega=omega)


def _thin_prism_fisheye(file: Path, what: str, values: list[float]) -> Lens:
    k1, k2, p1, p2, k3, k4, sx, sy = values
    return Lens((k1, k2, k3, k4), (), (p1, p2), (sx, sy), "equidistant")


MODELS = {  # by their numbers in the binary format
    0: Model("SIMPLE_PINHOLE", 1, 0, brown),
    1: Model("PINHOLE", 2, 0, brown),
    2: Model("SIMPLE_RADIAL", 1, 1, _radial),
    3: Model("RADIAL", 1, 2, _radial),
    4: Model("OPENCV", 2, 4, brown),
    5: Model("OPENCV_FISHEYE", 2, 4, fisheye),
    6: Model("FULL_OPENCV", 2, 8, brown),
    7: Model("FOV", 2, 1, _fov),
    8: Model("SIMPLE_RADIAL_FISHEYE", 1, 1, fisheye),
    9: Model("RADIAL_FISHEYE", 1, 2, fisheye),
    10: Model("THIN_PRISM_FISHEYE", 2, 8, _thin_prism_fisheye),
    11: Model("RAD_TAN_THIN_PRISM_FISHEYE", 2, 12),
    12: Model("SIMPLE_DIVISION", 1, 1),
    13: Model("DIVISION", 2, 1),
    14: Model("SIMPLE_FISHEYE", 1, 0, fisheye),
    15: Model("FISHEYE", 2, 0, fisheye),
    16: Model("EUCM", 2, 2),
}


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
    known = {m.name: m for m in MODELS.values() if m.lens}
    if model not in known:
        raise UserError(
            file,
            f"camera {camera} has the lens model {model}",
            f"known are {', '.join(known)}: undistort the images with `colmap image_undistorter` and give its model",
        )
    if not (0 < width < 1 << 20 and 0 < height < 1 << 20):
        raise UserError(file, f"camera {camera} has images of {width} x {height}", _AGAIN)
    _, focals, coefficients, lens = known[model]
    assert lens is not None
    needed = focals + 2 + coefficients
    if len(values) != needed or not np.isfinite(values).all():
        raise UserError(file, f"camera {camera}: {model} has {len(values)} parameters, not {needed}", _AGAIN)
    (cx, cy), more = values[focals : focals + 2], list(values[focals + 2 :])
    what = f"camera {camera}"
    K = pinhole(file, what, values[0], values[focals - 1], cx, cy)
    return K, lens(file, what, more), (height, width)


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
        self.content = read_content(file)
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
        model = MODELS.get(number, Model(f"number {number}", 0, 0))
        values = content.take(f"{model.focals + 2 + model.coefficients}d")
        found[camera] = _intrinsics(file, camera, model.name, width, height, values)

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
