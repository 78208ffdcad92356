"""Motions of the parts, and how they are shown: as the object looks, as coloured parts, with joints drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wim_fast.drawing.figures import draw_joints, enlarge, part_palette
from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.ops.backend import Backend
from wim_fast.posing.tree import joint_positions
from wim_fast.recordings.cameras import Cameras, project
from wim_fast.rendering.image import Image, render_image
from wim_fast.rendering.part_map import render_parts

DRAWING_SIZE = 384  # joints are drawn on pictures of at least this many pixels a side


@dataclass(frozen=True)
class Motion:
    """Poses of all parts in T frames, part to world."""

    rotation: np.ndarray  # (T, P, 3, 3)
    translation: np.ndarray  # (T, P, 3) world units

    def __len__(self) -> int:
        return len(self.translation)

    def at(self, frames: slice | Sequence[int]) -> Motion:
        """The motion at these positions."""
        return Motion(self.rotation[frames], self.translation[frames])


@torch.no_grad()
def learned_motion(model: ArticulatedModel) -> Motion:
    """The poses of all frames that the model was trained on, float64."""
    frames = torch.arange(model.trajectory.num_frames, device=model.log_semi_axes.device)
    rotation, translation = model.trajectory(frames)
    return Motion(rotation.double().cpu().numpy(), translation.double().cpu().numpy())


def semi_axes_of(model: ArticulatedModel) -> np.ndarray:
    """(P, 3) float64, world units."""
    return model.semi_axes.detach().double().cpu().numpy()


def edges_of(model: ArticulatedModel) -> np.ndarray:
    """The parts joined by each joint of the model's tree, (P-1, 2)."""
    return model.joints.edges.cpu().numpy()


def joints_of(model: ArticulatedModel, motion: Motion) -> np.ndarray:
    """The joint of every edge of the model's tree, (T, P-1, 3), world units (supplement A.8, eq. 11)."""
    edges, candidates = edges_of(model), model.joints.edge_candidates.cpu().numpy()
    return joint_positions(motion.rotation, motion.translation, semi_axes_of(model), edges, candidates)


@torch.no_grad()
def posed_at(model: ArticulatedModel, motion: Motion, frame: int) -> Posed:
    """One frame of a motion (F = 1), to be rendered."""
    pose = motion.at([frame])
    device = model.log_semi_axes.device
    rotation, translation = (
        torch.from_numpy(x).float().to(device) for x in (pose.rotation, pose.translation)
    )
    return model.posed(rotation, translation)


@dataclass(frozen=True)
class View:
    """How pictures of a model are made.

    Attributes:
        inv_s: sharpness of the surface as it was trained, 1 / world units.
        background: grey in [0, 1] where joints are drawn; pictures without drawings are transparent.
        parts: show parts in their colours rather than the object's own.
        joints: draw part centres and joints.
    """

    model: ArticulatedModel
    backend: Backend
    inv_s: float
    background: float
    parts: bool = False
    joints: bool = False

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
        return render_image(self.model, posed, cameras, index, self.inv_s, self.backend)

    def with_joints(self, picture: np.ndarray, pose: Motion, cameras: Cameras, index: int) -> np.ndarray:
        """A picture of a pose (T = 1) with part centres and joints drawn."""
        canvas = enlarge(on_background(picture, self.background), DRAWING_SIZE, smooth=True)
        camera = cameras.select([index]).resized(canvas.shape[1], canvas.shape[0])
        joints, centers = pixels(camera, joints_of(self.model, pose)[0]), pixels(camera, pose.translation[0])
        return draw_joints(canvas, joints, centers, edges_of(self.model))


def pixels(camera: Cameras, points: np.ndarray) -> np.ndarray:
    """World points (N, 3) in the picture of one camera (V = 1), (N, 2); NaN behind it."""
    seen, depth = project(camera, points)
    return np.where(depth[0, :, None] > 0, seen[0], np.nan)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """[0, 1] -> uint8."""
    return np.round(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)


def on_background(picture: np.ndarray, background: float) -> np.ndarray:
    """(H, W, 4) uint8 straight alpha -> (H, W, 3) uint8 over a grey in [0, 1]; (H, W, 3) stays."""
    if picture.shape[-1] == 3:
        return picture
    alpha = picture[..., 3:] / 255.0
    return to_uint8(alpha * picture[..., :3] / 255.0 + (1.0 - alpha) * background)
