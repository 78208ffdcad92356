"""A trained model and what is known about it: what the functions of `runs/` start from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.model.motion import Motion, edges_of, joints_of, learned_motion, posed_at, semi_axes_of
from wim_fast.posing.bodies.sequence import BodySequence, bodies_of_model
from wim_fast.posing.drive import part_poses
from wim_fast.posing.regression import part_points
from wim_fast.recordings.cameras import Cameras
from wim_fast.rendering.image import Image, render_image
from wim_fast.runs.opened_run import OpenedRun


@dataclass(frozen=True, kw_only=True)
class TrainedModel(OpenedRun):
    """A model as a checkpoint holds it, with P parts, trained on T frames. Lengths are in world units.

    Attributes:
        inv_s: sharpness of the surface when it was saved, 1 / world units.
    """

    model: ArticulatedModel
    inv_s: float

    @cached_property
    def motion(self) -> Motion:
        """The learned poses of the T frames."""
        return learned_motion(self.model, self.backend.pose_mlp)

    @cached_property
    def body_sequence(self) -> BodySequence:
        """Its rigid bodies by their number, in the T frames."""
        return bodies_of_model(self.model, self.motion, self.inv_s, self.backend)

    @property
    def semi_axes(self) -> np.ndarray:
        """(P, 3)"""
        return semi_axes_of(self.model)

    @property
    def edges(self) -> np.ndarray:
        """(P-1, 2) the two parts that each joint joins."""
        return edges_of(self.model)

    def joints_in(self, motion: Motion) -> np.ndarray:
        """(T, P-1, 3) the joints in the poses of a motion."""
        return joints_of(self.model, motion)

    def points_in(self, motion: Motion) -> np.ndarray:
        """(T, 7 P, 3) what moves with the object: part centres and joint candidates (A.10)."""
        return part_points(motion.rotation, motion.translation, self.semi_axes)

    def motion_of(self, points: np.ndarray) -> Motion:
        """The poses in which `points_in` are nearest to points (T, 7 P, 3)."""
        return Motion(*part_poses(points, self.semi_axes))

    def extremes(self, motion: Motion) -> np.ndarray:
        """(N, 3) world points that a picture of a motion must hold."""
        return extreme_points(motion, self.semi_axes)

    def posed(self, motion: Motion, frame: int) -> Posed:
        """One frame of a motion (F = 1), to be rendered."""
        return posed_at(self.model, motion, frame)

    def pose_seen(self, frame: int, camera: int) -> Posed:
        """What a camera (id) shows in its picture of a frame (position among those trained on), F = 1.

        A camera that was found to be late shows another moment than the others.
        """
        late = self.found.lateness(camera)
        if late == 0:
            return self.posed(self.motion, frame)
        return self.posed(learned_motion(self.model, self.backend.pose_mlp, [frame + late]), 0)

    def image(self, posed: Posed, cameras: Cameras, index: int) -> Image:
        """What camera number `index` sees of a pose (F = 1)."""
        return render_image(self.model, posed, cameras, index, self.inv_s, self.backend)


def extreme_points(motion: Motion, semi_axes: np.ndarray) -> np.ndarray:
    """The ends of the parts' axes in all frames, (N, 3) world."""
    arms = np.swapaxes(motion.rotation * semi_axes[:, None, :], -1, -2)  # (T, P, axis, 3)
    center = motion.translation[:, :, None]
    return np.concatenate([center + arms, center - arms], axis=2).reshape(-1, 3)
