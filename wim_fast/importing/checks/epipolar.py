"""Epipolar tangency: what silhouettes alone say about how well two cameras fit together.

A plane through two optical centres that touches the object touches it in both images: its two epipolar lines are
tangent to both silhouettes (Wong and Cipolla, "Reconstruction of sculpture from its profiles with unknown camera
positions", IEEE TIP 2004; Hernandez, Schmitt and Cipolla, "Silhouette coherence for camera calibration under
circular motion", PAMI 2007). How far one image's tangent is from the other's, in pixels, is the disagreement.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from wim_fast.importing.checks.outline import Outline
from wim_fast.recordings.cameras import Array

MOST_LEVERAGE = (
    3.0  # an epipole this many times nearer to one silhouette than to the other magnifies its noise
)
PARALLEL = 0.05  # radians between rays below which their depth is unknown


class Calibration(NamedTuple):
    """Of one camera."""

    K: Array  # (3, 3) pixels
    T_camera_world: Array  # (4, 4)


class Sight:
    """A silhouette seen by a calibrated camera. Rays are unit vectors in the world."""

    def __init__(self, calibration: Calibration, outline: Outline, diagonal: float) -> None:
        self.K, self.T = calibration
        rotation = self.T[:3, :3]
        self.center = -rotation.T @ self.T[:3, 3]
        self.points = outline.corners  # (N, 2)
        self.diagonal = diagonal  # of the image, pixels: the worst disagreement there is
        to_world = np.linalg.inv(self.K).T @ rotation
        self.to_line = to_world  # planes' normals (3,), world, to lines (3,), homogeneous pixels
        self.rays = _rays(outline.corners, to_world)  # (N, 3)
        self.cut_rays = _rays(outline.cut, to_world)  # (M, 3)
        self.middle = self.rays.mean(0) / np.linalg.norm(self.rays.mean(0))


def _rays(points: Array, to_world: Array) -> Array:
    rays = np.concatenate([points, np.ones((len(points), 1))], 1) @ to_world
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


@dataclass(frozen=True)
class Tangents:
    """Rows of evidence: in an image of `camera`, the tangent that a silhouette of `other` asks for.

    Moving the image by s (2,) changes a row's distance by normal @ s.
    """

    camera: np.ndarray  # (N,) positions
    other: np.ndarray  # (N,)
    distance: (
        Array  # (N,) pixels, signed: from the tangent asked for to the point that the image's own touches
    )
    normal: Array  # (N, 2) unit; 0 where the object would be behind a camera and no shift helps
    weight: Array  # (N,) one over the noise of the distance, if that of both outlines is 1

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, Asked]]) -> Tangents:
        """From (camera, other, what is asked for)."""
        ids = np.array([row[:2] for row in rows], int).reshape(-1, 2)
        table = np.array([(a.distance, *a.normal, a.weight) for _, _, a in rows], float).reshape(-1, 4)
        return cls(ids[:, 0], ids[:, 1], table[:, 0], table[:, 1:3], table[:, 3])

    def about(self, camera: int, others: Sequence[int]) -> Tangents:
        """What these other cameras say about one."""
        rows = (self.camera == camera) & np.isin(self.other, list(others))
        return Tangents(*(column[rows] for column in dataclasses.astuple(self)))


class Asked(NamedTuple):
    """What one silhouette asks of another, see `Tangents`."""

    distance: float
    normal: tuple[float, float]
    weight: float


def compare(a: Sight, b: Sight) -> list[tuple[Asked, Asked]]:
    """For each of the two tangent planes that can be compared: what is asked in image a, and in image b.

    None can be if the epipole lies in a silhouette. A plane does not count where one of the silhouettes is cut
    off in the half of its width that the plane touches.
    """
    baseline = b.center - a.center
    length = np.linalg.norm(baseline)
    if length < 1e-9:
        return []
    if _behind(a, b, baseline):
        return [(Asked(a.diagonal, (0.0, 0.0), 1.0), Asked(b.diagonal, (0.0, 0.0), 1.0))] * 2
    axis = baseline / length
    side = a.middle - (a.middle @ axis) * axis
    if np.linalg.norm(side) < 1e-6:
        return []
    u = side / np.linalg.norm(side)
    v = np.cross(axis, u)
    spans = _span(a, axis, u, v), _span(b, axis, u, v)
    if spans[0] is None or spans[1] is None:
        return []
    found = []
    for (index_a, angle_a, free_a), (index_b, angle_b, free_b) in zip(spans[0], spans[1], strict=True):
        if not (free_a and free_b):
            continue
        # Pixels for each radian that the plane turns about the baseline.
        lever_a = _sine(a.rays[index_a], axis) * a.K[0, 0]
        lever_b = _sine(b.rays[index_b], axis) * b.K[0, 0]
        if max(lever_a, lever_b) >= MOST_LEVERAGE * min(lever_a, lever_b):
            continue
        both = math.hypot(lever_a, lever_b)
        normal_of_a = np.cos(angle_a) * v - np.sin(angle_a) * u
        normal_of_b = np.cos(angle_b) * v - np.sin(angle_b) * u
        asked_a = Asked(*_to_line(a, index_a, normal_of_b), float(lever_b / both))
        asked_b = Asked(*_to_line(b, index_b, normal_of_a), float(lever_a / both))
        found.append((asked_a, asked_b))
    return found


def _sine(a: Array, b: Array) -> float:
    """Of the angle between unit vectors (3,)."""
    return math.sqrt(max(0.0, 1.0 - float(a @ b) ** 2))


def _behind(a: Sight, b: Sight, baseline: Array) -> bool:
    """Do the rays through the middles of the silhouettes meet behind one of the cameras?"""
    cosine = float(a.middle @ b.middle)
    across = 1 - cosine**2
    if across < PARALLEL**2:
        return False
    along_a, along_b = float(a.middle @ baseline), float(b.middle @ baseline)
    return along_a - cosine * along_b < 0 or cosine * along_a - along_b < 0


def _span(sight: Sight, axis: Array, u: Array, v: Array) -> list[tuple[int, float, bool]] | None:
    """The two planes about `axis` that touch the silhouette, lower angle first: the point touched, the plane's angle,
    and whether the silhouette is whole there. None if the axis meets the silhouette."""
    angle = np.arctan2(sight.rays @ v, sight.rays @ u)
    order = np.argsort(angle)
    sorted_angles = angle[order]
    gaps = np.diff(sorted_angles, append=sorted_angles[:1] + 2 * np.pi)
    widest = int(gaps.argmax())
    if gaps[widest] < np.pi + 1e-3:
        return None
    low, high = int(order[(widest + 1) % len(order)]), int(order[widest])
    width = 2 * np.pi - float(gaps[widest])
    free = [True, True]
    if len(sight.cut_rays):
        cut = np.arctan2(sight.cut_rays @ v, sight.cut_rays @ u)
        share = np.mod(cut - angle[low] + 1e-6, 2 * np.pi) / max(width, 1e-6)
        free = [not (share < 0.5).any(), not (share > 0.5).any()]
    return [(low, float(angle[low]), free[0]), (high, float(angle[high]), free[1])]


def _to_line(sight: Sight, index: int, plane: Array) -> tuple[float, tuple[float, float]]:
    """Signed pixels from the image of a plane through the optical centre, with this normal, to a point; and the
    line's normal (2,)."""
    line = sight.to_line @ plane
    scale = max(float(np.linalg.norm(line[:2])), 1e-12)
    distance = float(line[:2] @ sight.points[index] + line[2]) / scale
    limited = float(np.clip(distance, -sight.diagonal, sight.diagonal))
    return limited, (float(line[0] / scale), float(line[1] / scale))


class Shift(NamedTuple):
    """What moves an image into agreement."""

    pixels: Array  # (2,)
    residual: float  # pixels, median distance that is left
    total: float  # pixels: both, the disagreement
    tangents: int  # how many say so


FEWEST_TANGENTS = 4
RIDGE = 0.05  # of all weights
LEAST_HELD = 0.2  # pixels


def agreeing_shift(tangents: Tangents, rounds: int = 12) -> Shift | None:
    """The shift of a camera's images that brings most of its tangents into agreement: least absolute distances.

    A camera that was turned by a small angle moves its images about so. None for too few tangents.
    """
    d, n = tangents.distance, tangents.normal
    if len(d) < FEWEST_TANGENTS:
        return None
    shift = np.zeros(2)
    for _ in range(rounds):  # iteratively reweighted least squares
        weight = tangents.weight / np.maximum(np.abs(d + n @ shift), 0.1)
        # Directions in which hardly a tangent says anything are held by the shift's own length.
        hold = RIDGE * tangents.weight.sum() / max(float(np.linalg.norm(shift)), LEAST_HELD)
        A = (n * weight[:, None]).T @ n + hold * np.eye(2)
        shift = -np.linalg.solve(A, n.T @ (weight * d))
    residual = float(np.median(np.abs(d + n @ shift)))
    return Shift(shift, residual, float(np.hypot(np.linalg.norm(shift), residual)), len(d))
