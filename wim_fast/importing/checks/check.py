"""Do the cameras fit the masks, and each other? Numbers for each camera, and a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from wim_fast.importing.checks.agreement import Silhouettes, agreeing_cameras, shifts
from wim_fast.importing.checks.epipolar import Calibration, Shift
from wim_fast.importing.checks.hull_check import HullMiss, hull_misses
from wim_fast.importing.checks.lateness import Late, late_cameras
from wim_fast.importing.checks.mistakes import late, mistake_of_all, mistake_of_one
from wim_fast.recordings.selection import evenly
from wim_fast.scene.scene import Scene

FRAMES = 8  # enough to tell cameras apart; all would only take longer
FEW_CAMERAS, FRAMES_OF_FEW = 8, 16
HULL_SLACK = 0.5  # pixels: the hull's own grain


@dataclass(frozen=True)
class CameraCheck:
    """One camera against those that agree with each other. None where it cannot be known.

    Attributes:
        camera: id.
        epipolar_px: pixels between its tangents and those that the others ask for: the shift of its images that would
            bring them together, and the median of what is left, as root of the sum of squares.
        shift_px: (x, y) that shift.
        tangents: how many were compared.
        hull_px: pixels by which its silhouette sticks out of the hull of the others, or theirs out of its: see
            `HullMiss`.
        explained: share of its silhouette that the others see too, within a pixel.
        agrees: whether it is within the tolerance, and in step.
    """

    camera: int
    epipolar_px: float | None
    shift_px: tuple[float, float] | None
    tangents: int
    hull_px: float | None
    explained: float | None
    agrees: bool


@dataclass(frozen=True)
class CalibrationReport:
    """What `check_calibration` found.

    Attributes:
        cameras: in the order of the scene's.
        frames: ids of the frames looked at.
        tolerance_px: disagreement that is taken for noise of the masks.
        verdicts: sentences, the worst first; one that says so if all is well.
        ok: whether no camera disagrees.
    """

    cameras: tuple[CameraCheck, ...]
    frames: tuple[int, ...]
    tolerance_px: float
    verdicts: list[str]
    ok: bool

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def check_calibration(scene: Scene, frames: Sequence[int]) -> CalibrationReport:
    """Compare all cameras of a scene by their silhouettes.

    Two checks, each against the cameras that agree among themselves: epipolar tangents (see `epipolar`) and the
    visual hull (see `hull_check`). Cameras that disagree are tried with each of the mistakes that are often made (see
    `mistakes`), and the one that mends it is named.

    Args:
        frames: positions in the scene to choose from; some are used, evenly. That the object moves between them
            helps: images that are out of step show only in its motion, and are only looked for among the frames of the
            scene, so let it hold the frames next to these.
    """
    chosen = evenly(sorted(set(frames)), FRAMES_OF_FEW if scene.num_cameras <= FEW_CAMERAS else FRAMES)
    silhouettes = Silhouettes(scene, chosen)
    finding = _judge(silhouettes, silhouettes.as_filmed())
    verdicts: list[str] = []
    if finding.no_majority:
        verdicts.append(f"{_most(finding)}: ")
        mended = mistake_of_all(silhouettes, finding.calibrations, finding.limit)
        if mended is None:
            verdicts[0] += _no_way_out(scene, finding)
        else:
            mistake, calibrations = mended
            verdicts[0] += mistake.sentence.format(its="their")
            again = _judge(silhouettes, calibrations)
            verdicts += [f"once that is mended, {text}" for text in _verdicts(silhouettes, again)]
    elif finding.culprits:
        verdicts += _verdicts(silhouettes, finding)
    checks = tuple(_camera_check(scene.cameras.ids[v], v, finding) for v in silhouettes.cameras)
    ok = not finding.culprits
    verdicts += _unknown(checks)
    if ok:
        verdicts[:0] = _all_well(checks)
    frame_ids = tuple(scene.frame_ids[t] for t in chosen)
    return CalibrationReport(checks, frame_ids, finding.limit, verdicts, ok)


@dataclass(frozen=True)
class _Finding:
    """Cameras by position."""

    calibrations: Mapping[int, Calibration]
    trusted: list[int]  # those that agree with each other
    shifts: Mapping[int, Shift]
    hulls: Mapping[int, HullMiss]
    limit: float
    usual: float  # pixels, among those trusted
    late: Mapping[int, Late]
    culprits: list[int]  # worst first
    no_majority: bool


def _judge(silhouettes: Silhouettes, calibrations: Mapping[int, Calibration]) -> _Finding:
    cameras = silhouettes.cameras
    tangents = silhouettes.tangents(calibrations)
    trusted, limit = agreeing_cameras(tangents, cameras, max(silhouettes.scene.size))
    found = shifts(tangents, cameras, trusted or cameras)
    unknown = [v for v in cameras if v not in found]
    no_majority = len(found) > 1 and 2 * len(trusted) <= len(found)
    hulls: Mapping[int, HullMiss] = {}
    out_of_step: Mapping[int, Late] = {}
    if not no_majority:
        out_of_step = late_cameras(silhouettes, calibrations, tangents, trusted)
        trusted = [v for v in trusted if v not in out_of_step]
        seen = sorted(trusted + unknown)
        hulls = hull_misses(silhouettes, calibrations, seen, limit + HULL_SLACK)
        trusted = [v for v in trusted if v not in hulls or hulls[v].pixels <= limit + HULL_SLACK]
    usual = float(np.median([found[v].total for v in trusted if v in found] or [0.0]))
    off = {v: found[v].total for v in found if found[v].total > limit}
    for v, miss in hulls.items():
        if miss.pixels > limit + HULL_SLACK:
            off.setdefault(v, miss.pixels)
    for v, one in out_of_step.items():
        off.setdefault(v, one.pixels)
    culprits = sorted(off, key=lambda v: -off[v])
    return _Finding(calibrations, trusted, found, hulls, limit, usual, out_of_step, culprits, no_majority)


def _verdicts(silhouettes: Silhouettes, finding: _Finding) -> list[str]:
    """A sentence for each culprit."""
    sentences = []
    for v in finding.culprits:
        shift, miss = finding.shifts.get(v), finding.hulls.get(v)
        name = silhouettes.scene.cameras.ids[v]
        if v in finding.late:
            reason = late(finding.late[v].lag).sentence.format(its="its")
            pixels = finding.late[v].pixels
        elif shift is not None and shift.total > finding.limit:
            found = mistake_of_one(
                silhouettes, v, finding.calibrations, finding.trusted, shift, finding.usual
            )
            reason = found[0].sentence.format(its="its") if found else _moved(shift, finding.usual)
            pixels = shift.total
        else:
            assert miss is not None
            reason = _rough(miss)
            pixels = miss.pixels
        sentences.append(f"camera {name} disagrees with the others by {in_pixels(pixels)} px: {reason}")
    return sentences


def _moved(shift: Shift, usual: float) -> str:
    """Of a camera that no frequent mistake explains."""
    if shift.residual <= max(3 * usual, 0.3 * shift.total):
        x, y = shift.pixels
        return (
            f"its images fit if they are moved by ({x:+.1f}, {y:+.1f}) px, so it was turned after the calibration or"
            " its cx and cy are wrong; calibrate it again or leave it out"
        )
    return "calibrate it again or leave it out, but look at its masks first"


def _rough(miss: HullMiss) -> str:
    if miss.sticks_out:
        return "its masks hold something that the others do not see; mend its masks or leave it out"
    return "its masks miss something that the others see; mend its masks or leave it out"


def _most(finding: _Finding) -> str:
    typical = np.median([shift.total for shift in finding.shifts.values()])
    count = len(finding.shifts)
    which = "both cameras" if count == 2 else f"most of the {count} cameras"
    return f"{which} disagree with each other, by {in_pixels(float(typical))} px"


def _no_way_out(scene: Scene, finding: _Finding) -> str:
    if len(finding.shifts) == 2:
        return "which of them is wrong cannot be told; calibrate both again, or add a third camera"
    return (
        "no single mistake explains it; check that the cameras belong to these images, their order, convention and"
        " units, and that the frames are in step"
    )


def _unknown(checks: Sequence[CameraCheck]) -> list[str]:
    names = [str(one.camera) for one in checks if one.epipolar_px is None and one.hull_px is None]
    if not names:
        return []
    which = "camera " + names[0] if len(names) == 1 else f"cameras {', '.join(names)}"
    return [
        f"{which} could not be checked: too few cameras see the object together with it, or its masks are empty"
    ]


def _all_well(checks: Sequence[CameraCheck]) -> list[str]:
    known = [one.epipolar_px for one in checks if one.epipolar_px is not None]
    known = known or [one.hull_px for one in checks if one.hull_px is not None]
    return [f"all {len(known)} cameras agree within {in_pixels(max(known))} px"] if known else []


def _camera_check(name: int, v: int, finding: _Finding) -> CameraCheck:
    shift, miss = finding.shifts.get(v), finding.hulls.get(v)
    return CameraCheck(
        camera=name,
        epipolar_px=None if shift is None else shift.total,
        shift_px=None if shift is None else (float(shift.pixels[0]), float(shift.pixels[1])),
        tangents=0 if shift is None else shift.tangents,
        hull_px=None if miss is None else miss.pixels,
        explained=None if miss is None else miss.explained,
        agrees=v not in finding.culprits,
    )


def in_pixels(value: float | None) -> str:
    """A number of pixels for people."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
