"""Where a recording's world is put: the object at the origin, 1.2 units long, z up. Found from its visual hull."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wim_fast.importing.upright import tilts, upright_axis
from wim_fast.recordings.cameras import Array, Cameras, up_axis
from wim_fast.scene.load import OBJECT_EXTENT
from wim_fast.scene.visual_hull import look_at, visual_hull

UPS = ("auto", "x", "y", "z", "-x", "-y", "-z")
LEVEL = 10.0  # degrees: cameras that are tilted more against each other do not say what is up alone
GIVEN, KNOWN, BY_CAMERAS, BY_OBJECT = (
    "--up",
    "the recording",
    "the cameras",
    "the cameras and the standing object",
)  # what said what is up

Masks = NDArray[np.uint8]


@dataclass(frozen=True)
class Placement:
    """The similarity from the calibration's world to the scene's: x -> scale * rotation @ x + translation.

    Attributes:
        up: (3,) unit, calibration's world.
        tilt: degrees, how far cameras are from level under that up (root mean square).
        up_from: what said so, `GIVEN`, `KNOWN`, `BY_CAMERAS` or `BY_OBJECT`.
        left_out: id of the camera without which alone the masks meet, if there is one.
        meets: whether the masks meet at all; if not, the cameras' axes say where the object is.
    """

    scale: float
    rotation: Array  # (3, 3)
    translation: Array  # (3,)
    up: Array
    tilt: float
    up_from: str
    left_out: int | None = None
    meets: bool = True

    def moved(self, cameras: Cameras) -> Cameras:
        """The same cameras in the scene's world."""
        T = cameras.T_camera_world.copy()
        T[:, :3, :3] = T[:, :3, :3] @ self.rotation.T
        T[:, :3, 3] = self.scale * T[:, :3, 3] - T[:, :3, :3] @ self.translation
        return dataclasses.replace(cameras, T_camera_world=T, up=(0.0, 0.0, 1.0))

    @property
    def matrix(self) -> Array:
        """The similarity as (4, 4)."""
        M = np.eye(4)
        M[:3, :3], M[:3, 3] = self.scale * self.rotation, self.translation
        return M


def place(cameras: Cameras, masks: Sequence[Masks], up: str = "auto") -> Placement:
    """The placement by the masks (V, H, W), with three values, of several frames; see `UPS` for what `up` may be."""
    if up != "auto":
        return _placed(cameras, masks, _named_axis(up), GIVEN)
    if cameras.up is not None:
        return _placed(cameras, masks, np.array(cameras.up), KNOWN)
    axis = upright_axis(cameras, [visual_hull(cameras, frame) for frame in masks])
    if axis is not None:
        return _placed(cameras, masks, axis, BY_OBJECT)
    return _placed(cameras, masks, up_axis(cameras), BY_CAMERAS)


def _placed(cameras: Cameras, masks: Sequence[Masks], axis: Array, up_from: str) -> Placement:
    """With this up axis (3,); where and how large the object is says its hull, in most frames."""
    tilt = float(np.degrees(np.arcsin(np.sqrt(np.mean(np.sin(np.radians(tilts(cameras, axis))) ** 2)))))
    R = rotation_to_z(axis)
    turned = dataclasses.replace(
        cameras,
        T_camera_world=cameras.T_camera_world
        @ np.block([[R.T, np.zeros((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]]),
    )
    for left_out in [None, *range(len(cameras))] if len(cameras) > 3 else [None]:
        use = [v for v in range(len(cameras)) if v != left_out]
        hulls = [visual_hull(turned.select(use), frame[use]) for frame in masks]
        boxes = np.array([[h.min(axis=0), h.max(axis=0)] for h in hulls if len(h)])
        if 2 * len(boxes) > len(masks) or (len(boxes) and left_out is None):
            extent = float(np.median(np.ptp(boxes, axis=1).max(axis=-1)))
            middle = 0.5 * (boxes[:, 0].min(axis=0) + boxes[:, 1].max(axis=0))
            scale = OBJECT_EXTENT / max(extent, 1e-12)
            camera = None if left_out is None else cameras.ids[left_out]
            return Placement(scale, R, -scale * middle, axis, tilt, up_from, camera)
    middle = look_at(turned, np.zeros((len(cameras), 1, 1), dtype=np.uint8))
    distance = float(np.linalg.norm(turned.centers - middle, axis=1).mean()) or 1.0
    scale = 4.0 / distance
    return Placement(scale, R, -scale * middle, axis, tilt, up_from, meets=False)


def _named_axis(up: str) -> Array:
    axis = np.zeros(3)
    axis["xyz".index(up[-1])] = -1.0 if up.startswith("-") else 1.0
    return axis


def rotation_to_z(axis: Array) -> Array:
    """The least rotation (3, 3) that takes a unit vector (3,) to +z."""
    x, y, z = axis
    if z < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    cross = np.array([[0, 0, -x], [0, 0, -y], [x, y, 0.0]])  # of (axis x z)
    return np.eye(3) + cross + cross @ cross / (1 + z)
