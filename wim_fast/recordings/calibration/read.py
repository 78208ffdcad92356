"""Cameras of any format that is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wim_fast.errors import UserError
from wim_fast.recordings.calibration.calibrated import CalibratedCamera
from wim_fast.recordings.calibration.colmap import find_colmap, read_colmap
from wim_fast.recordings.calibration.opencv import (
    ENDINGS,
    find_easymocap,
    opencv_files,
    read_easymocap_cameras,
    read_opencv,
)
from wim_fast.recordings.calibration.raw_json import find_raw_cameras, read_raw_cameras
from wim_fast.recordings.calibration.transforms_json import find_transforms, read_transforms


@dataclass(frozen=True)
class Format:
    """A way in which cameras lie on disk."""

    holds: str
    find: Callable[[Path], Path | None]  # the file or folder to read, in a folder
    read: Callable[[Path], list[CalibratedCamera]]


FORMATS = {
    "colmap": Format("COLMAP's images.bin or images.txt", find_colmap, read_colmap),
    "transforms": Format("transforms.json", find_transforms, read_transforms),
    "easymocap": Format("intri.yml and extri.yml", find_easymocap, read_easymocap_cameras),
    "opencv": Format("OpenCV's .yml files", lambda p: p if opencv_files(p) else None, read_opencv),
    "raw": Format("the raw layout's cam_000.json", find_raw_cameras, read_raw_cameras),
}


@dataclass(frozen=True)
class Calibration:
    """What was read, and from where."""

    format: str
    path: Path
    views: list[CalibratedCamera]


def read_calibration(path: Path, format: str = "auto") -> Calibration:
    """The cameras in a file or folder; UserError if there are none in a known format."""
    if not path.exists():
        raise UserError(
            path, "does not exist", "--cameras takes the file or folder that holds the calibration"
        )
    try:
        found = _in_folder(path, format) if path.is_dir() else _of_file(path, format)
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the folder") from None
    if found is None:
        holds = "; ".join(f"{known.holds} ({name})" for name, known in FORMATS.items())
        raise UserError(path, "there are no cameras in a known format", f"known are: {holds}")
    name, place = found
    return Calibration(name, place, FORMATS[name].read(place))


def _in_folder(path: Path, format: str) -> tuple[str, Path] | None:
    """In the folder itself, or else in a folder `cameras` in it."""
    for folder in (path, path / "cameras"):
        for name in FORMATS if format == "auto" else [format]:
            place = FORMATS[name].find(folder) if folder.is_dir() else None
            if place is not None:
                return name, place
    return None


def _of_file(path: Path, format: str) -> tuple[str, Path] | None:
    if path.suffix.lower() == ".json":
        return "transforms", path
    if path.name in ("intri.yml", "extri.yml") and format != "opencv":
        return "easymocap", path.parent
    if path.suffix.lower() in ENDINGS:
        return "opencv", path
    if path.suffix.lower() in (".txt", ".bin"):
        return "colmap", path.parent
    return None
