"""Which calibrated camera filmed which pictures: by names, else by numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from wim_fast.errors import UserError
from wim_fast.recordings.calibration.calibrated import CalibratedCamera, one_camera
from wim_fast.recordings.calibration.read import Calibration
from wim_fast.recordings.sources import SourceCamera, telling_numbers


def match_cameras(calibration: Calibration, sources: Sequence[SourceCamera]) -> dict[str, CalibratedCamera]:
    """The calibrated camera of each source by its name; UserError for a source without one.

    A view belongs to the source whose picture it names, or whose name is a part of its path (`cam0/0001.png`,
    `cam0.png`); else, if no view names a source, to the one with the same telling number (`01` and `cam1`).
    """
    names, files = _names(sources)
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
    names, files = _names(sources)
    found = [_named_source(view.name, names, files) for view in calibration.views]
    return sum(n is None for n in found) if any(found) else len(found) - len(used)


def _names(sources: Sequence[SourceCamera]) -> tuple[dict[str, str], dict[str, str]]:
    """The sources by their names, and by the names of their pictures where these lie in one folder; in small letters."""
    files = {file.name.lower(): source.name for source in sources for file in source.flat_files}
    return {source.name.lower(): source.name for source in sources}, files


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
