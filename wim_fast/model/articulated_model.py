"""The whole model: pose trajectory, ellipsoid parts, part field and joint structure."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wim_fast.config import ModelConfig
from wim_fast.model.joint_structure import JointStructure
from wim_fast.model.part_field import PartField
from wim_fast.model.pose_trajectory import PoseTrajectory
from wim_fast.ops.backend import Backend
from wim_fast.profiling import stage

DEFAULT_FINEST_CELL = 0.0125  # world units, where the configuration leaves it open


class Posed(NamedTuple):
    """The parts in F poses: all that rendering needs to know of geometry."""

    rotation: Tensor  # (F, P, 3, 3) part-to-world
    translation: Tensor  # (F, P, 3) part centres
    semi_axes: Tensor  # (P, 3)
    union_sharpness: Tensor  # scalar b
    weight_sharpness: Tensor  # scalar a


class FieldValues(NamedTuple):
    """The model at N points."""

    sdf: Tensor  # (N,) signed distance, world units: union of the parts plus residual
    rgb: Tensor  # (N, 3)
    nearest_part: Tensor  # (N,) int32
    union: Tensor  # (N,) signed distance of the parts' ellipsoids alone, world units


def inverse_softplus(y: float) -> float:
    return y + math.log(-math.expm1(-y))


class ArticulatedModel(nn.Module):
    """Parameters and joint state of one object; T frames, P parts.

    The semi-axes are ``minimum_semi_axis + exp(log_semi_axes)``; the sharpnesses ``b = softplus(10 u)`` and
    ``a = softplus(v)`` (paper section 3.3); u and v are the parameters `union_sharpness_logit` and
    `weight_sharpness_logit`.
    """

    def __init__(self, config: ModelConfig, num_frames: int) -> None:
        super().__init__()
        parts = config.num_parts
        self.minimum_semi_axis = config.minimum_semi_axis
        self.top_parts = config.top_parts
        self.candidate_share = config.candidate_share
        self.trajectory = PoseTrajectory(
            parts, num_frames, config.pose_frequencies, config.pose_width, config.pose_layers
        )
        self.log_semi_axes = nn.Parameter(torch.full((parts, 3), math.log(0.05)))
        self.union_sharpness_logit = nn.Parameter(
            torch.tensor(inverse_softplus(config.initial_union_sharpness) / 10)
        )
        self.weight_sharpness_logit = nn.Parameter(
            torch.tensor(inverse_softplus(config.initial_weight_sharpness))
        )
        self.field = PartField(
            parts,
            config.hash_log2_entries,
            config.hash_coarsest_cell,
            config.hash_finest_cell or DEFAULT_FINEST_CELL,
            config.decoder_width,
            config.decoder_layers,
            config.residual_max,
            config.part_half_extent,
            config.lighting,
        )
        self.joints = JointStructure(parts)

    @property
    def semi_axes(self) -> Tensor:
        """(P, 3), world units."""
        return self.minimum_semi_axis + self.log_semi_axes.exp()

    def start_at(self, rotation: Tensor, translation: Tensor, semi_axes: Tensor) -> None:
        """Begin with these parts: rotation (P, 3, 3), translation (P, 3), semi_axes (P, 3)."""
        self.trajectory.start_at(rotation, translation)
        with torch.no_grad():
            self.log_semi_axes.copy_((semi_axes - self.minimum_semi_axis).clamp_min(1e-3).log())

    @stage("pose")
    def pose(self, frames: Tensor, backend: Backend) -> Posed:
        """The learned poses of `frames` (F,)."""
        return self.posed(*self.trajectory(frames, backend.pose_mlp, backend.part_poses))

    def posed(self, rotation: Tensor, translation: Tensor) -> Posed:
        """The parts in any poses: rotation (F, P, 3, 3), translation (F, P, 3)."""
        softplus = nn.functional.softplus
        return Posed(
            rotation,
            translation,
            self.semi_axes,
            softplus(10 * self.union_sharpness_logit),
            softplus(self.weight_sharpness_logit),
        )

    def evaluate(
        self, points: Tensor, pose_ids: Tensor, posed: Posed, backend: Backend, lit: bool = True
    ) -> FieldValues:
        """The field at world `points` (N, 3) in poses `pose_ids` (N,).

        ``sdf = s_union + d_max tanh(residual)`` (paper section 3.3). `lit`: see `PartField.forward`.
        """
        lookup = backend.articulated_lookup(points, pose_ids, *posed, self.top_parts)
        sdf, rgb = self.field(lookup, backend, lit)
        return FieldValues(sdf, rgb, lookup.part_ids[:, 0], lookup.union)

    def signed_distance(self, points: Tensor, pose_ids: Tensor, posed: Posed, backend: Backend) -> Tensor:
        """The first of `evaluate` alone, (N,), world units."""
        lookup = backend.articulated_lookup(points, pose_ids, *posed, self.top_parts)
        return self.field.signed_distance(lookup, backend)
