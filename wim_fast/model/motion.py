"""Motions: the poses of all parts over time, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.model.structure import CANDIDATE_SHARE
from wim_fast.ops.mlp import reference
from wim_fast.ops.structure.reference import joint_candidates, joint_ends


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
def learned_motion(
    model: ArticulatedModel, mlp: Callable = reference.mlp, moments: Sequence[float] | None = None
) -> Motion:
    """The poses at some moments (in frames trained on, perhaps between two), or in all these frames; float64.

    `mlp`: what computes the pose network. That of the backend gives the poses as training saw them: tcnn's has half
    precision.
    """
    if moments is None:
        moments = range(model.trajectory.num_frames)
    frames = torch.tensor(moments, dtype=torch.float32, device=model.log_semi_axes.device)
    rotation, translation = model.trajectory(frames, mlp)
    return Motion(rotation.double().cpu().numpy(), translation.double().cpu().numpy())


def semi_axes_of(model: ArticulatedModel) -> np.ndarray:
    """(P, 3) float64, world units."""
    return model.semi_axes.detach().double().cpu().numpy()


def edges_of(model: ArticulatedModel) -> np.ndarray:
    """The parts joined by each joint of the model's tree, (P-1, 2)."""
    return model.joints.edges.cpu().numpy()


def joint_positions(
    motion: Motion,
    semi_axes: np.ndarray,
    edges: np.ndarray,
    edge_candidates: np.ndarray,
    share: float = CANDIDATE_SHARE,
) -> np.ndarray:
    """Joint of every edge: the midpoint of its two candidates (supplement A.8, eq. 11); (T, P-1, 3) world, float64.

    semi_axes (P, 3), edges and edge_candidates (P-1, 2); `share`: where candidates lie on the semi-axes.
    """
    rotation, translation, axes = (
        torch.tensor(np.asarray(x, float)) for x in (motion.rotation, motion.translation, semi_axes)
    )
    candidates = joint_candidates(rotation, translation, axes, share)
    chosen = (torch.tensor(np.asarray(x, np.int64)) for x in (edges, edge_candidates))
    first, second = joint_ends(candidates, *chosen)
    return (0.5 * (first + second)).numpy()


def joints_of(model: ArticulatedModel, motion: Motion) -> np.ndarray:
    """The joint of every edge of the model's tree, (T, P-1, 3), world units."""
    chosen = model.joints.edge_candidates.cpu().numpy()
    return joint_positions(motion, semi_axes_of(model), edges_of(model), chosen, model.candidate_share)


@torch.no_grad()
def posed_at(model: ArticulatedModel, motion: Motion, frame: int) -> Posed:
    """One frame of a motion (F = 1), to be rendered."""
    return posed_in(model, motion.at([frame]))


def posed_in(model: ArticulatedModel, motion: Motion) -> Posed:
    """All frames of a motion, to be rendered."""
    device = model.log_semi_axes.device
    rotation, translation = (
        torch.from_numpy(x).float().to(device) for x in (motion.rotation, motion.translation)
    )
    return model.posed(rotation, translation)
