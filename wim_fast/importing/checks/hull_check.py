"""Visual-hull check: every pixel of a silhouette must see the visual hull of the other cameras.

The hull is never built: along the ray of each pixel it is asked how far, in pixels, the other silhouettes would have
to grow until some point of the ray lies in all of them (an image-based visual hull: Matusik, Buehler, Raskar,
Gortler and McMillan, "Image-based visual hulls", SIGGRAPH 2000).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from wim_fast.importing.checks.agreement import Silhouettes
from wim_fast.importing.checks.epipolar import Calibration
from wim_fast.importing.checks.outline import Outline
from wim_fast.recordings.cameras import Array, closest_to_rays, pixel_rays
from wim_fast.recordings.selection import evenly

STEPS = 96  # along each ray
CANDIDATES, FINE_STEPS = 4, 9  # so many of them are looked at more closely, with so many steps about each
EXPLAINED = 1.0  # pixels by which a silhouette may miss the others' and still count as explained
OUTERMOST = 95  # percentile over the outermost pixels: a few may be noise


FRAMES = 3  # the hull is the slower check


class HullMiss(NamedTuple):
    """How far a camera's silhouette and the hull of the others miss each other.

    `pixels`: the 95th percentile over the silhouette's edge, median over frames, of the growth of the others'
    silhouettes that lets them see it. Of a camera that was found out because it cuts off what the others see, the
    largest such number of them.
    """

    pixels: float
    explained: float  # share of the silhouette's pixels that the others see, within `EXPLAINED`
    sticks_out: bool  # or cuts off


def hull_misses(
    silhouettes: Silhouettes, calibrations: Mapping[int, Calibration], trusted: Sequence[int], limit: float
) -> dict[int, HullMiss]:
    """Of all cameras against those trusted, as far as frames show the object to enough of them.

    One wrong camera in the hull carves from all: while some camera misses by more than `limit` pixels, the one that
    misses most or is to blame for most is trusted no more.
    """
    kept = list(trusted)
    cut_off: dict[int, float] = {}
    while True:
        found = {v: _over_frames(v, silhouettes, calibrations, kept) for v in silhouettes.cameras}
        misses = {v: miss for v, miss in found.items() if miss is not None}
        wrong = {v: miss.pixels for v, miss in misses.items() if v in kept and miss.pixels > limit}
        if not wrong or len(kept) <= 3:
            break
        guilt = {v: misses[v].pixels if v in misses else 0.0 for v in kept}
        for miss in misses.values():
            for v, pixels in miss.blame.items():
                guilt[v] += pixels
        worst = max(guilt, key=lambda v: guilt[v])
        kept.remove(worst)
        cut_off[worst] = max(wrong.values())
    result = {}
    for v, miss in misses.items():
        cuts = v in cut_off and miss.pixels <= limit
        result[v] = HullMiss(cut_off[v] if cuts else miss.pixels, miss.explained, not cuts)
    return result


class _Miss(NamedTuple):
    pixels: float
    explained: float
    blame: dict[
        int, float
    ]  # by other camera: pixels by which it rules the silhouette out, mean over its edge


def _over_frames(
    camera: int, silhouettes: Silhouettes, calibrations: Mapping[int, Calibration], kept: Sequence[int]
) -> _Miss | None:
    frames = silhouettes.frames
    found = []
    for frame in evenly(frames, FRAMES):
        outlines = {v: silhouettes.outline(v, frame) for v in {camera, *kept}}
        seen = {v: outline for v, outline in outlines.items() if outline is not None}
        miss = _in_frame(camera, calibrations, seen) if camera in seen else None
        if miss is not None:
            found.append(miss)
    if not found:
        return None
    blame = {v: float(np.mean([miss.blame.get(v, 0.0) for miss in found])) for v in kept if v != camera}
    return _Miss(
        float(np.median([miss.pixels for miss in found])),
        float(np.mean([miss.explained for miss in found])),
        blame,
    )


def _in_frame(
    camera: int, calibrations: Mapping[int, Calibration], outlines: Mapping[int, Outline]
) -> _Miss | None:
    """Of one camera's silhouette against those of all the other cameras in `outlines`.

    None if fewer than two others see the object, or their rays do not meet.
    """
    others = [v for v in outlines if v != camera]
    ball = _ball(others, calibrations, outlines) if len(others) >= 2 else None
    if ball is None:
        return None
    outline, calibration = outlines[camera], calibrations[camera]
    pixels = np.concatenate([outline.inside, outline.area])
    origins, directions = pixel_rays(*calibration, pixels)
    misses, by = _misses(origins[0], directions, *ball, [(calibrations[v], outlines[v]) for v in others])
    edge = len(outline.inside)
    blame = {v: float(misses[:edge][by[:edge] == k].sum() / edge) for k, v in enumerate(others)}
    explained = float((misses[edge:] <= EXPLAINED).mean())
    return _Miss(float(np.percentile(misses[:edge], OUTERMOST)), explained, blame)


def _ball(
    others: list[int], calibrations: Mapping[int, Calibration], outlines: Mapping[int, Outline]
) -> tuple[Array, float] | None:
    """Centre (3,) and radius of a ball that holds the object, from the silhouettes' middles and sizes."""
    middles = [0.5 * (outlines[v].corners.min(0) + outlines[v].corners.max(0)) for v in others]
    rays = [pixel_rays(*calibrations[v], middle) for v, middle in zip(others, middles, strict=True)]
    center = closest_to_rays(np.array([o for o, _ in rays]), np.array([d for _, d in rays]))
    reaches = []
    for v in others:
        K, T = calibrations[v]
        depth = float(T[2, :3] @ center + T[2, 3])
        if depth > 0:
            corners = outlines[v].corners
            on_image = (K @ (T[:3, :3] @ center + T[:3, 3]))[:2] / depth
            reaches.append(np.linalg.norm(corners - on_image, axis=1).max() * depth / K[0, 0])
    return (center, 1.5 * float(np.median(reaches))) if len(reaches) >= 2 else None


def _misses(
    origin: Array, directions: Array, center: Array, radius: float, others: list[tuple[Calibration, Outline]]
) -> tuple[Array, np.ndarray]:
    """For rays (N, 3): the least growth of the others' silhouettes, pixels (N,), and which of them it is (N,)."""
    nearest = directions @ (center - origin)
    off = np.linalg.norm(origin + nearest[:, None] * directions - center, axis=1)
    half = np.sqrt(np.maximum(radius**2 - off**2, (0.3 * radius) ** 2))
    span = np.linspace(-1, 1, STEPS)
    along = nearest[:, None] + half[:, None] * span
    growth, _ = _growth(origin, directions, along, others)
    best = np.take_along_axis(along, np.argpartition(growth, CANDIDATES, axis=1)[:, :CANDIDATES], axis=1)
    step = 2 * half / (STEPS - 1)
    along = best[:, :, None] + 0.5 * step[:, None, None] * np.linspace(-1, 1, FINE_STEPS)
    along = along.reshape(len(directions), -1)
    growth, by = _growth(origin, directions, along, others)
    chosen = np.arange(len(along)), growth.argmin(1)
    return growth[chosen].astype(float), by[chosen]


def _growth(
    origin: Array, directions: Array, along: Array, others: list[tuple[Calibration, Outline]]
) -> tuple[np.ndarray, np.ndarray]:
    """At points (N, M) `along` the rays: the most that any other silhouette misses the point by, pixels; and which."""
    points = (origin + along[..., None] * directions[:, None]).reshape(-1, 3)
    worst = np.zeros(len(points), np.float32)
    by = np.zeros(len(points), np.int32)
    for k, (calibration, outline) in enumerate(others):
        distance = _pixels_off(calibration, outline, points)
        more = distance > worst
        worst[more], by[more] = distance[more], k
    worst[along.reshape(-1) <= 0] = np.hypot(*others[0][1].distance.shape)  # behind the camera
    return worst.reshape(along.shape), by.reshape(along.shape)


def _pixels_off(calibration: Calibration, outline: Outline, points: Array) -> np.ndarray:
    """How far points (N, 3) fall from a silhouette, pixels (N,)."""
    K, T = calibration
    height, width = outline.distance.shape
    homogeneous = points @ (K @ T[:3, :3]).T + K @ T[:3, 3]
    ahead = homogeneous[:, 2] > 1e-9
    pixels = homogeneous[:, :2] / np.where(ahead, homogeneous[:, 2], 1.0)[:, None]
    clamped = np.clip(pixels, 0, [width - 1e-3, height - 1e-3])
    beyond = np.abs(pixels - clamped).max(1)
    column, row = clamped.astype(np.int32).T
    distance = outline.distance[row, column]
    # An object that is cut off by the border may go on beyond it.
    distance = distance + beyond if outline.closed else np.where(beyond > 0, 0.0, distance)
    return np.where(ahead, distance, np.hypot(height, width)).astype(np.float32)
