"""Mistakes that are made often when cameras are written down, each tried on those that disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wim_fast.importing.checks.agreement import Silhouettes, shifts, tangents_about
from wim_fast.importing.checks.epipolar import Calibration, Shift, agreeing_shift

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # y up and z back to y down and z forward, or the other way
FACTORS = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 4 / 3, 3 / 2, 2.0, 3.0, 4.0)
MOST_LAG = 10  # so many steps in time are tried


@dataclass(frozen=True)
class Mistake:
    """Something that may be wrong with a camera, and how to put it right.

    Attributes:
        sentence: what is likely wrong and what to do, to follow "camera 3 disagrees: "; `{its}` is "its" or "their".
        mended: the calibration without the mistake, of a camera with images of (height, width).
        lag: frames by which the camera's images come late.
    """

    sentence: str
    mended: Callable[[Calibration, tuple[int, int]], Calibration]
    lag: int = 0


def _with_pose(change: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Calibration]:
    return lambda calibration, size: Calibration(calibration.K, change(calibration.T_camera_world))


def _resized(factor: float) -> Callable[..., Calibration]:
    scale = np.diag([factor, factor, 1.0])
    return lambda calibration, size: Calibration(scale @ calibration.K, calibration.T_camera_world)


def _centred(calibration: Calibration, size: tuple[int, int]) -> Calibration:
    """With intrinsics for such a size that the optical axis meets the middle of the image."""
    factor = np.array([size[1], size[0]]) / (2 * calibration.K[:2, 2])
    scale = np.diag([*factor, 1.0]) if (factor > 0.05).all() and (factor < 20).all() else np.eye(3)
    return Calibration(scale @ calibration.K, calibration.T_camera_world)


POSES = (
    Mistake(
        "{its} T_camera_world looks inverted (camera to world where world to camera is wanted); invert it",
        _with_pose(np.linalg.inv),
    ),
    Mistake(
        "{its} axes look like OpenGL's (y up, z backward) where OpenCV's are wanted (y down, z forward); negate the"
        " second and third row of T_camera_world",
        _with_pose(lambda T: OPENGL @ T),
    ),
    Mistake(
        "{its} T_camera_world looks like camera to world with OpenGL's axes (y up, z backward); negate its second and"
        " third column, then invert it",
        _with_pose(lambda T: OPENGL @ np.linalg.inv(T)),
    ),
    Mistake(
        "{its} T_camera_world looks inverted, with OpenGL's axes on the world's side; invert it, then negate the"
        " second and third column",
        _with_pose(lambda T: np.linalg.inv(T) @ OPENGL),
    ),
)
SIZES = (
    *(
        Mistake(
            f"{{its}} images seem to have another size than {{its}} intrinsics are for; multiply fx, fy, cx and cy"
            f" by {factor:.3g}",
            _resized(factor),
        )
        for factor in FACTORS
    ),
    Mistake(
        "{its} images seem to have another size than {its} intrinsics are for; scale fx and cx so that cx is half"
        " the width, fy and cy so that cy is half the height",
        _centred,
    ),
)


def late(lag: int) -> Mistake:
    """Images that come `lag` frames after those of the others; negative: before."""
    frames = f"{abs(lag)} frame{'s' if abs(lag) > 1 else ''}"
    if lag > 0:
        sentence = f"it seems {frames} late; leave out {{its}} first {frames} and number the others anew"
    else:
        sentence = f"it seems {frames} early; add {abs(lag)} to the numbers of {{its}} frames"
    return Mistake(sentence, lambda calibration, size: calibration, lag)


def mistake_of_one(
    silhouettes: Silhouettes,
    camera: int,
    calibrations: Mapping[int, Calibration],
    trusted: Sequence[int],
    as_it_is: Shift,
    usual: float,
) -> tuple[Mistake, float] | None:
    """The mistake that explains best why a camera disagrees with those trusted, and the pixels that are left without it.

    Args:
        as_it_is: its disagreement now. A mistake counts only if it leaves less than turning the camera would.
        usual: pixels, the disagreement among those trusted.
    """
    others = {v: silhouettes.sights(v, calibrations[v]) for v in trusted if v != camera}
    found: list[tuple[float, Mistake]] = []
    for mistake in _candidates(silhouettes, camera, calibrations, trusted):
        calibration = mistake.mended(calibrations[camera], silhouettes.scene.size)
        sights = silhouettes.sights(camera, calibration, mistake.lag)
        if len(sights) < min(3, len(silhouettes.frames)):
            continue
        shift = agreeing_shift(tangents_about(camera, sights, others))
        if shift is not None:
            found.append((shift.total, mistake))
    if not found:
        return None
    left, mistake = min(found, key=lambda pair: pair[0])
    enough = max(3 * usual, min(as_it_is.residual, 0.3 * as_it_is.total))
    return (mistake, left) if left <= enough and left < 0.5 * as_it_is.total else None


def _candidates(
    silhouettes: Silhouettes, camera: int, calibrations: Mapping[int, Calibration], trusted: Sequence[int]
) -> Iterator[Mistake]:
    yield from POSES
    yield from SIZES
    yield from (late(lag) for k in silhouettes.lags(MOST_LAG) for lag in (k, -k))
    for other in silhouettes.cameras:
        if other != camera and other not in trusted:
            name = silhouettes.scene.cameras.ids[other]
            yield Mistake(
                f"{{its}} images fit the calibration of camera {name}; exchange the two files",
                lambda calibration, size, of=calibrations[other]: of,  # type: ignore[misc]
            )


def mistake_of_all(
    silhouettes: Silhouettes, calibrations: Mapping[int, Calibration], limit: float
) -> tuple[Mistake, dict[int, Calibration]] | None:
    """The mistake that was made with all cameras alike, and the calibrations without it; None if none explains why
    they disagree.

    Args:
        limit: pixels, the disagreement that is none.
    """
    few = Silhouettes(silhouettes.scene, silhouettes.frames[:: max(1, len(silhouettes.frames) // 3)])

    def usual(these: Mapping[int, Calibration]) -> float:
        totals = [shift.total for shift in shifts(few.tangents(these), list(these), list(these)).values()]
        return float(np.median(totals)) if 2 * len(totals) > len(these) else np.inf

    found = []
    for mistake in (*POSES, *SIZES):
        mended = {v: mistake.mended(calibration, few.scene.size) for v, calibration in calibrations.items()}
        found.append((usual(mended), mistake, mended))
    left, mistake, mended = min(found, key=lambda one: one[0])
    return (mistake, mended) if left <= limit else None
