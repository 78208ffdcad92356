"""Cameras of any format that is known, and which camera of a recording is which."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from wim_fast.errors import UserError
from wim_fast.recordings.calibration.calibrated import CalibratedCamera, one_camera
from wim_fast.recordings.calibration.colmap import find_colmap, read_colmap
from wim_fast.recordings.calibration.opencv_cameras import (
    ENDINGS,
    find_easymocap,
    opencv_files,
    read_easymocap_cameras,
    read_opencv,
)
from wim_fast.recordings.calibration.transforms_json import find_transforms, read_transforms
from wim_fast.recordings.sources import SourceCamera, telling_numbers


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
}


@dataclass(frozen=True)
class Calibration:
    """What was read, and from where."""

    format: str
    path: Path
    views: list[CalibratedCamera]


def read_calibration(path: Path, format: str = "auto") -> Calibration:
    """The cameras in a file or folder; UserError if there are none in a format that is known."""
    if not path.exists():
        raise UserError(path, "is not there", "--cameras takes the file or folder that holds the calibration")
    try:
        found = _in_folder(path, format) if path.is_dir() else _of_file(path, format)
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the folder") from None
    if found is None:
        holds = "; ".join(f"{known.holds} ({name})" for name, known in FORMATS.items())
        raise UserError(path, "there are no cameras in a format that is known", f"known are: {holds}")
    name, place = found
    return Calibration(name, place, FORMATS[name].read(place))


def _in_folder(path: Path, format: str) -> tuple[str, Path] | None:
    for name in FORMATS if format == "auto" else [format]:
        place = FORMATS[name].find(path)
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


def match_cameras(calibration: Calibration, sources: Sequence[SourceCamera]) -> dict[str, CalibratedCamera]:
    """The calibrated camera of each source by its name; UserError for a source without one.

    A view belongs to the source whose picture it names, or whose name is a part of its path (`cam0/0001.png`,
    `cam0.png`); else, if no view names a source, to the one with the same telling number (`01` and `cam1`).
    """
    names = {source.name.lower(): source.name for source in sources}
    files = {
        file.name.lower(): s.name for s in sources if isinstance(s.pictures, Mapping) for file in s.flat_files
    }
    views: dict[str, list[CalibratedCamera]] = {}
    for view in calibration.views:
        name = _named_source(view.name, names, files)
        if name is not None:
            views.setdefault(name, []).append(view)
    if not views:
        views = _by_number(calibration.views, sources)
    lost = [source.name for source in sources if source.name not in views]
    if lost:
        known = ", ".join(dict.fromkeys(view.name for view in calibration.views[:8]))
        more = ", ..." if len(calibration.views) > 8 else ""
        raise UserError(
            calibration.path,
            f"there is no calibration for {', '.join(lost[:8])}",
            f"it names {known}{more}: give pictures and cameras the same names, or leave this one out with --without",
        )
    reach = _reach(calibration.views)
    return {name: one_camera(calibration.path, name, of, reach) for name, of in views.items()}


def uncalled(
    calibration: Calibration, used: Mapping[str, CalibratedCamera], sources: Sequence[SourceCamera]
) -> int:
    """How many of the calibrated views belong to no source."""
    names = {source.name.lower(): source.name for source in sources}
    files = {
        file.name.lower(): s.name for s in sources if isinstance(s.pictures, Mapping) for file in s.flat_files
    }
    found = [_named_source(view.name, names, files) for view in calibration.views]
    return sum(n is None for n in found) if any(found) else len(found) - len(used)


def _named_source(view: str, names: Mapping[str, str], files: Mapping[str, str]) -> str | None:
    path = PurePosixPath(view.replace("\\", "/").lower())
    if path.name in files:
        return files[path.name]
    for part in (path.stem, *reversed(path.parent.parts), path.name):
        if part in names:
            return names[part]
    starts = [n for n in names if re.match(rf"{re.escape(n)}[^0-9a-z]", path.stem)]
    return names[max(starts, key=len)] if starts else None


def _by_number(
    views: Sequence[CalibratedCamera], sources: Sequence[SourceCamera]
) -> dict[str, list[CalibratedCamera]]:
    numbers = telling_numbers([PurePosixPath(view.name.replace("\\", "/")).stem for view in views])
    of = telling_numbers([source.name for source in sources])
    if numbers is None or of is None:
        return {}
    by_number = dict(zip(numbers, views, strict=True))
    return {s.name: [by_number[n]] for s, n in zip(sources, of, strict=True) if n in by_number}


def _reach(views: Sequence[CalibratedCamera]) -> float:
    """How far cameras are apart: their median distance from their middle."""
    centers = np.stack([view.center for view in views])
    return float(np.median(np.linalg.norm(centers - centers.mean(axis=0), axis=1)))
