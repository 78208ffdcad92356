"""What is exported: a run's surface, rig and texture, each made when a format first asks for it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from wim_fast.errors import SceneWarning, UserError
from wim_fast.export.binding import rigid_motions, skinned
from wim_fast.export.links import LinkModel, link_model
from wim_fast.export.placement import Placement, as_recorded, y_up
from wim_fast.export.rest import rest_frame
from wim_fast.export.rig import Rig, bone_weights, make_rig
from wim_fast.export.surface import FACES, Surface, extract_surface
from wim_fast.export.texture import Atlas, bake
from wim_fast.model.motion import Motion
from wim_fast.posing.skeleton import PartsFound
from wim_fast.runs.trained_model import TrainedModel

Usual = Literal["usual"]

FPS = 30.0
DENSITY = 1000.0  # of water, and about that of animals
TEXTURED_FACES = 20_000  # the texture has the detail, and more faces take longer to cut up


@dataclass(frozen=True)
class Settings:
    """What can be chosen.

    Attributes:
        frame: the rest frame, a position among the frames trained on; None: that whose parts overlap least.
        faces: of the mesh, at most; None: `FACES`, with a texture `TEXTURED_FACES`.
        texture: texels a side; None: colours per vertex.
        baked_light: colours with the light that depends on the normal, as it falls in the rest frame.
        parts_found: so many bodies, a bone, for simulators a link, for each; "auto": as many as explain the motion
            best; None: a bone for each part, links as the joints between parts say; "usual": a bone for each part, a
            link for each body.
        fps: frames of the recording per second.
        sequence: one file per frame trained on, in a folder.
        density: for simulators, kg per cubic unit of the recording.
        collision: for simulators, what of a link collides: its `hull`, or the convex pieces of its `decomposition`.
    """

    frame: int | None = None
    faces: int | None = None
    texture: int | None = None
    baked_light: bool = False
    parts_found: PartsFound | Usual = "usual"
    fps: float = FPS
    sequence: bool = False
    density: float = DENSITY
    collision: str = "hull"


@dataclass(frozen=True)
class Asset:
    """A run and how it is exported. World frame and units, but for what is upright."""

    run: TrainedModel
    settings: Settings

    @property
    def name(self) -> str:
        """Of the object in a file: that of the run's folder."""
        return self.run.path.resolve().name

    @cached_property
    def frame(self) -> int:
        """The rest frame."""
        return rest_frame(self.run, self.settings.frame)

    @cached_property
    def surface(self) -> Surface:
        """The mesh at rest. SceneWarning that names parts which own no vertex."""
        default = FACES if self.settings.texture is None else TEXTURED_FACES
        faces = default if self.settings.faces is None else self.settings.faces
        surface = extract_surface(self.run, self.frame, faces, self.settings.baked_light)
        if empty := surface.parts_without_vertices(len(self.run.semi_axes)):
            parts = ", ".join(map(str, empty))
            text = f"part {parts} owns" if len(empty) == 1 else f"parts {parts} own"
            warnings.warn(SceneWarning(f"{text} no vertex of the mesh; joints are kept"), stacklevel=2)
        return surface

    @cached_property
    def rig(self) -> Rig:
        """The bones."""
        if self.settings.fps <= 0:
            raise UserError(f"fps {self.settings.fps:g}", "is no number of frames", "give a positive number")
        return make_rig(self.run, self.frame, self._parts_found(None), self.settings.fps)

    @cached_property
    def skin(self) -> tuple[np.ndarray, np.ndarray]:
        """Bones (V, 4) and weights (V, 4) of the mesh's vertices, see `rig.bone_weights`."""
        return bone_weights(self.run, self.surface, self._parts_found(None))

    @cached_property
    def atlas(self) -> Atlas | None:
        """The texture, where one is wanted."""
        if self.settings.texture is None:
            return None
        return bake(self.run, self.surface, self.settings.texture, self.settings.baked_light)

    @cached_property
    def upright(self) -> Placement:
        """How the world lies in a file with y up."""
        return y_up(self.run)

    @cached_property
    def upright_surface(self) -> Surface:
        """The mesh at rest, y up, in the recording's units."""
        return self.upright.surface(self.surface)

    @cached_property
    def upright_rig(self) -> Rig:
        """The bones, y up, in the recording's units."""
        return self.upright.rig(self.rig)

    @cached_property
    def links(self) -> LinkModel:
        """Rigid links and joints, z up, in the recording's units."""
        of = self.settings
        found = self._parts_found("auto")
        return link_model(
            self.run, self.surface, self.upright, self.rig.times, of.density, of.collision, found
        )

    def _parts_found(self, usual: PartsFound) -> PartsFound:
        """As was chosen."""
        chosen = self.settings.parts_found
        return usual if chosen == "usual" else chosen

    @cached_property
    def recorded(self) -> Placement:
        """How the world lies in the recording's own frame and units."""
        return as_recorded(self.run)

    def posed_vertices(self, pose: Motion) -> np.ndarray:
        """(V, 3) of the surface in a pose of the parts (T = 1), merged or not; world frame and units."""
        moves = rigid_motions(pose, self.run.motion.at([self.frame]))
        return skinned(self.surface.vertices, self.surface.part_ids, self.surface.part_weights, moves)[0]
