"""Which cameras of a recording agree with each other, from the tangents of their silhouettes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from wim_fast.importing.checks.epipolar import (
    Asked,
    Calibration,
    Shift,
    Sight,
    Tangents,
    agreeing_shift,
    compare,
)
from wim_fast.importing.checks.outline import Outline, find_outline
from wim_fast.scene.scene import Scene

LEAST_PIXELS_OFF = 1.0  # a disagreement below is none, whatever the images' size
MOST_SHARE_OFF = 0.01  # of the images' longer side: a disagreement above is one, however rough the masks

Sights = Mapping[int, Sight]  # by frame position


class Silhouettes:
    """The outlines of some frames of a scene, found when they are asked for."""

    def __init__(self, scene: Scene, frames: Sequence[int]) -> None:
        self.scene = scene
        self.frames = list(frames)  # positions
        self.cameras = list(range(scene.num_cameras))  # positions
        self.diagonal = float(np.hypot(*scene.size))
        self._positions = {frame: position for position, frame in enumerate(scene.frame_ids)}
        self._found: dict[tuple[int, int], Outline | None] = {}

    def outline(self, camera: int, frame: int) -> Outline | None:
        if (camera, frame) not in self._found:
            self._found[camera, frame] = find_outline(self.scene, camera, frame)
        return self._found[camera, frame]

    def as_filmed(self) -> dict[int, Calibration]:
        """The scene's calibrations by camera position."""
        cameras = self.scene.cameras
        return {v: Calibration(cameras.intrinsics[v], cameras.T_camera_world[v]) for v in self.cameras}

    def sights(self, camera: int, calibration: Calibration, lag: int = 0) -> Sights:
        """What a camera sees in each frame, by its image of `lag` frames (as they are numbered) later; frames without
        one are left out."""
        found = {}
        for frame in self.frames:
            later = self._positions.get(self.scene.frame_ids[frame] + lag)
            outline = None if later is None else self.outline(camera, later)
            if outline is not None:
                found[frame] = Sight(calibration, outline, self.diagonal)
        return found

    def lags(self, most: int) -> list[int]:
        """Numbers of frames that lie between frames of the scene, up to `most` of them, the smallest first."""
        ids = self.scene.frame_ids
        near = {b - a for k in range(1, most + 1) for a, b in zip(ids, ids[k:], strict=False)}
        return sorted(lag for lag in near if lag > 0)[:most]

    def tangents(self, calibrations: Mapping[int, Calibration]) -> Tangents:
        """Of all pairs of these cameras."""
        sights = {v: self.sights(v, calibration) for v, calibration in calibrations.items()}
        pairs = [(a, b) for a in sights for b in sights if a < b]
        return Tangents.of([row for a, b in pairs for row in _rows(a, sights[a], b, sights[b])])


def tangents_about(camera: int, sights: Sights, others: Mapping[int, Sights]) -> Tangents:
    """What the other cameras say about one."""
    rows = [row for v, those in others.items() for row in _rows(camera, sights, v, those)]
    return Tangents.of([row for row in rows if row[0] == camera])


def _rows(a: int, sights_a: Sights, b: int, sights_b: Sights) -> list[tuple[int, int, Asked]]:
    rows = []
    for frame in sights_a.keys() & sights_b.keys():
        for asked_a, asked_b in compare(sights_a[frame], sights_b[frame]):
            rows += [(a, b, asked_a), (b, a, asked_b)]
    return rows


def shifts(tangents: Tangents, cameras: Collection[int], others: Collection[int]) -> dict[int, Shift]:
    """By camera, what brings it into agreement with all the others but itself; those without evidence are left out."""
    found = {v: agreeing_shift(tangents.about(v, [w for w in others if w != v])) for v in cameras}
    return {v: shift for v, shift in found.items() if shift is not None}


def tolerance(totals: Collection[float], side: int) -> float:
    """Pixels of disagreement that are taken for noise of the masks: four times what is usual among these, within
    limits."""
    usual = float(np.median(list(totals))) if totals else 0.0
    return float(np.clip(4 * usual, LEAST_PIXELS_OFF, max(LEAST_PIXELS_OFF, MOST_SHARE_OFF * side)))


def agreeing_cameras(tangents: Tangents, cameras: Sequence[int], side: int) -> tuple[list[int], float]:
    """The largest set that is left when the worst camera is left out again and again until the rest agree, and the
    tolerance, pixels. Cameras without evidence are not in it."""
    kept = list(shifts(tangents, cameras, cameras))
    totals: dict[int, float] = {}
    while len(kept) >= 2:
        totals = {v: shift.total for v, shift in shifts(tangents, kept, kept).items()}
        worst = max(totals, key=lambda v: totals[v], default=None)
        if worst is None or totals[worst] <= tolerance(totals.values(), side):
            break
        kept.remove(worst)
    if len(kept) < 2:
        return [], tolerance((), side)
    limit = tolerance(totals.values(), side)
    again = shifts(tangents, [v for v in cameras if v not in kept], kept)
    return sorted(kept + [v for v, shift in again.items() if shift.total <= limit]), limit
