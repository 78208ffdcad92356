"""From world frame and units to those of a file: the recording's units, and y up where a format wants it."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from wim_fast.errors import SceneWarning, UserError
from wim_fast.export.rig import Rig
from wim_fast.export.surface import Surface
from wim_fast.model.motion import Motion
from wim_fast.recordings.cameras import up_axis
from wim_fast.runs.trained_model import TrainedModel

LEVEL = np.cos(np.radians(10.0))  # an up direction so near to an axis of the world is that axis
Z_UP = np.array([0.0, 0.0, 1.0])


@dataclasses.dataclass(frozen=True)
class Placement:
    """x_file = scale * rotation @ x_world."""

    rotation: np.ndarray  # (3, 3)
    scale: float

    def points(self, x: np.ndarray) -> np.ndarray:
        """Points (..., 3)."""
        return self.scale * x @ self.rotation.T

    def surface(self, surface: Surface) -> Surface:
        """A surface in the file's frame and units."""
        normals = surface.normals @ self.rotation.T
        return dataclasses.replace(surface, vertices=self.points(surface.vertices), normals=normals)

    def rig(self, rig: Rig) -> Rig:
        """A rig in the file's frame and units."""
        turned = self.rotation @ rig.moves.rotation @ self.rotation.T
        return dataclasses.replace(
            rig,
            heads=self.points(rig.heads),
            tips={bone: self.points(tip) for bone, tip in rig.tips.items()},
            moves=Motion(turned, self.points(rig.moves.translation)),
        )


def as_recorded(run: TrainedModel) -> Placement:
    """The frame and units of the recording's files."""
    return Placement(np.eye(3), run.coordinate_scale)


def y_up(run: TrainedModel) -> Placement:
    """The units of the recording's files, turned such that up is y; the world's x stays x where it is level."""
    up = _up(run)
    level = np.eye(3)[0] if abs(up[0]) < 0.9 else np.eye(3)[1]
    x = level - (level @ up) * up
    x /= np.linalg.norm(x)
    return Placement(np.stack([x, up, np.cross(x, up)]), run.coordinate_scale)


def _up(run: TrainedModel) -> np.ndarray:
    """The world's up (3,), as the recording says or its cameras are held; z, with a warning, where it is gone."""
    try:
        up = up_axis(run.recorded_cameras(run.camera_ids))
    except UserError as error:
        warnings.warn(SceneWarning(f"z is taken to be up: {error}"), stacklevel=2)
        return Z_UP
    axis = int(np.abs(up).argmax())
    if abs(up[axis]) > LEVEL:
        return np.sign(up[axis]) * np.eye(3)[axis]
    return up
