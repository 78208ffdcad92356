"""Motions: the poses of all parts over time, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.posing.tree import joint_positions


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
