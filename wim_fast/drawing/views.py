"""How a model is shown: as the object looks, as coloured parts, with joints drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wim_fast.compositing import over_uint8
from wim_fast.drawing.annotate import draw_joints, part_palette
from wim_fast.drawing.images import enlarge
from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.model.motion import Motion, edges_of, joints_of, posed_at
from wim_fast.ops.backend import Backend
from wim_fast.recordings.cameras import Cameras, project
from wim_fast.rendering.image import Image, render_image
from wim_fast.rendering.part_map import render_parts

DRAWING_SIZE = 384  # joints are drawn on pictures of at least this many pixels a side


@dataclass(frozen=True)
class View:
    """How pictures of a model are made.

    Attributes:
        inv_s: sharpness of the surface as it was trained, 1 / world units.
        background: grey in [0, 1] where joints are drawn; pictures without drawings are transparent.
        parts: show parts in their colours rather than the object's own.
        joints: draw part centres and joints.
        color: (3, 3) a camera's, for its exposure and white balance; None: the object's own.
    """

    model: ArticulatedModel
    backend: Backend
    inv_s: float
    background: float
    parts: bool = False
    joints: bool = False
    color: np.ndarray | None = None

    def picture(self, motion: Motion, frame: int, cameras: Cameras, index: int) -> np.ndarray:
        """What camera number `index` sees of a frame.

        Returns:
            (H, W, 4) uint8, straight alpha; with joints (h, w, 3), at least `DRAWING_SIZE` pixels a side.
        """
        posed = posed_at(self.model, motion, frame)
        if self.parts:
            parts = render_parts(self.model, posed, cameras, index, self.inv_s, self.backend)
            picture = parts.paint(part_palette(self.model.trajectory.parts))
        else:
            picture = self.image(posed, cameras, index).rgba()
        return self.with_joints(picture, motion.at([frame]), cameras, index) if self.joints else picture

    def image(self, posed: Posed, cameras: Cameras, index: int) -> Image:
        """The object as it looks."""
        image = render_image(self.model, posed, cameras, index, self.inv_s, self.backend)
        return image if self.color is None else image.tinted(self.color)

    def with_joints(self, picture: np.ndarray, pose: Motion, cameras: Cameras, index: int) -> np.ndarray:
        """A picture of a pose (T = 1) with part centres and joints drawn."""
        canvas = enlarge(over_uint8(picture, self.background), DRAWING_SIZE, smooth=True)
        camera = cameras.select([index]).resized(canvas.shape[1], canvas.shape[0])
        joints, centers = (
            projected(camera, joints_of(self.model, pose)[0]),
            projected(camera, pose.translation[0]),
        )
        return draw_joints(canvas, joints, centers, edges_of(self.model))


def projected(camera: Cameras, points: np.ndarray) -> np.ndarray:
    """World points (N, 3) in the picture of one camera (V = 1), (N, 2); NaN behind it."""
    seen, depth = project(camera, points)
    return np.where(depth[0, :, None] > 0, seen[0], np.nan)
