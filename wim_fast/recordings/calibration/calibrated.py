"""A calibrated camera as every reader of calibrations gives it, and what several views of one camera have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast import strict_json
from wim_fast.errors import UserError
from wim_fast.files import read_bytes
from wim_fast.recordings.calibration.conventions import Matrix
from wim_fast.recordings.lenses import NO_LENS, Lens

MAX_BYTES = 1 << 28  # of a calibration file
MAX_TURN = 0.25  # degrees between the views of a camera that stands still
MAX_SHIFT = 0.005  # the same in shares of the distances between cameras


@dataclass(frozen=True)
class CalibratedCamera:
    """One view of a camera.

    Attributes:
        name: of the camera or of its picture, as the calibration has it; it may be a path.
        K: (3, 3) pixels with centres at +0.5, perhaps with a skew; None where only the field of view is known.
        T_camera_world: (4, 4), OpenCV axes, in the calibration's world.
        lens: see `lenses`.
        size: (height, width) that K is for; None: that of the pictures.
        field_of_view: radians, horizontal and (or None) vertical; only without K.
    """

    name: str
    K: Matrix | None
    T_camera_world: Matrix
    lens: Lens = NO_LENS
    size: tuple[int, int] | None = None
    field_of_view: tuple[float, float | None] = (1.0, None)

    @property
    def center(self) -> Matrix:
        """Optical centre (3,)."""
        return -self.T_camera_world[:3, :3].T @ self.T_camera_world[:3, 3]

    def intrinsics(self, where: str | Path, size: tuple[int, int]) -> Matrix:
        """K (3, 3) for pictures of (height, width); UserError if they have another shape than it is for."""
        height, width = size
        if self.K is None:
            horizontal, vertical = self.field_of_view
            fx = width / 2 / np.tan(horizontal / 2)
            fy = fx if vertical is None else height / 2 / np.tan(vertical / 2)
            return np.array([[fx, 0, width / 2], [0, fy, height / 2], [0, 0, 1.0]])
        h, w = self.size or size
        if abs(width / w - height / h) > 0.01 * max(width / w, height / h):
            raise UserError(
                where,
                f"its pictures are {width} x {height}, but {self.name} was calibrated for {w} x {h}",
                "give pictures and calibration one shape: undo a crop or a turn by 90 degrees",
            )
        return np.diag([width / w, height / h, 1.0]) @ self.K


def read_text(file: Path) -> str:
    """A calibration file; UserError for one that cannot be read or is far too large."""
    try:
        return read_content(file).decode()
    except UnicodeDecodeError as error:
        raise UserError(file, f"cannot be read ({error})", "check the file") from None


def read_content(file: Path) -> bytes:
    """The bytes of a calibration file; UserError as in `read_text`."""
    try:
        return read_bytes(file, MAX_BYTES)
    except OSError as error:
        raise UserError(file, f"cannot be read ({error.strerror})", "check the file") from None


def read_calibration_json(file: Path) -> Any:
    """What a calibration file of JSON holds; UserError for one that cannot be read."""
    try:
        return strict_json.read(file)
    except OSError as error:
        raise UserError(file, f"cannot be read ({error.strerror})", "check the file") from None


def one_camera(
    where: str | Path, name: str, views: Sequence[CalibratedCamera], reach: float
) -> CalibratedCamera:
    """The camera that several pictures were taken by; UserError if it moved or changed between them.

    `reach`: how far cameras are apart, to judge shifts by. Poses that agree are averaged.
    """
    first = views[0]
    if len(views) == 1:
        return first
    for view in views[1:]:
        same = (view.size, view.lens, view.field_of_view) == (first.size, first.lens, first.field_of_view)
        if not same or (view.K is None) != (first.K is None) or not _alike(view.K, first.K):
            problem = f"camera {name} has other intrinsics in {view.name} than in {first.name}"
            raise UserError(
                where, problem, "calibrate each camera once: one set of intrinsics for all of its pictures"
            )
    rotations = np.stack([view.T_camera_world[:3, :3] for view in views])
    U, _, Vt = np.linalg.svd(rotations.sum(axis=0))
    mean = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt
    centers = np.stack([view.center for view in views])
    center = np.median(centers, axis=0)
    cosine = (np.einsum("nij,ij->n", rotations, mean) - 1) / 2
    turn = np.degrees(np.arccos(np.clip(cosine, -1, 1))).max()
    shift = np.linalg.norm(centers - center, axis=1).max()
    if turn > MAX_TURN or shift > MAX_SHIFT * reach:
        problem = f"camera {name} moves: its {len(views)} poses differ by up to {turn:.2g} degrees and {shift:.2g} units"
        raise UserError(where, problem, "every camera must stand still; give one pose for each")
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = mean, -mean @ center
    return dataclasses.replace(first, T_camera_world=T)


def _alike(a: Matrix | None, b: Matrix | None) -> bool:
    return a is None or b is None or np.allclose(a, b, rtol=1e-3, atol=0.5)
