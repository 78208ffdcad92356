"""What changes while training, as pure functions of the share of iterations done (supplement A.5, A.6)."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from wim_fast.config import Config, RenderConfig, ScheduleConfig
from wim_fast.profiling import stage

CAMERA_RAMP = 0.05  # share of the iterations in which the correction of cameras sets in


TERMS = (
    "photo", "mask", "eikonal", "volume", "fit", "void", "hull", "silhouette", "part_center", "cameras", "joint", "separation",
    "merge", "motion",
)  # fmt: skip
"""All that can be in the loss."""


class ScheduleValues(NamedTuple):
    """What a step takes from the schedule, float32 tensors, most of them 0-dim: a recorded step (CUDA graph) sees them change."""

    active_frames: Tensor
    newest_share: Tensor
    inv_s: Tensor
    level: Tensor
    doubt: Tensor
    learning_rate_share: Tensor
    camera_share: Tensor
    weights: Tensor  # of `TERMS`

    @classmethod
    def of(cls, values: Tensor) -> ScheduleValues:
        """From a tensor of the numbers that `values_at` lists."""
        count = len(values) - len(TERMS)
        return cls._make([*values[:count].unbind(), values[count:]])

    def weights_of(self, names: tuple[str, ...]) -> Tensor:
        """Of some of the terms."""
        return self.weights[_places(names, self.weights.device)]


@functools.cache
def _places(names: tuple[str, ...], device: torch.device) -> Tensor:
    """Of terms among all of them."""
    return torch.tensor([TERMS.index(name) for name in names], device=device)


class Phase(NamedTuple):
    """What a step consists of."""

    growing: bool = False  # frames are still to be added: the motion loss counts
    merging: bool = False  # the merge loss counts
    learning_cameras: bool = False
    divisions: int = 2  # see ``rays.sample_divisions``


class Sharpness(NamedTuple):
    """Of the surface, s, 1 / world units."""

    final: float
    of_pixels: float  # what suits those of the images as they are; poses may not allow for it


def values_at(
    step: int, progress: float, num_frames: int, sharpness: Sharpness, config: Config
) -> list[float]:
    """The fields of `ScheduleValues` at a step, those of its weights at the end."""
    schedule = config.schedule
    now = inv_s(progress, sharpness.final, config.render)
    growing = schedule.growth_start < progress < config.for_masks().growth_end
    return [
        active_frames(progress, num_frames, config),
        schedule.newest_share if growing else 0.0,
        now,
        level(now, sharpness.of_pixels),
        doubt(progress, config),
        learning_rate_share(step, progress, config),
        camera_share(step, progress, config),
        *loss_weights(progress, config).values(),
    ]


def loss_weights(progress: float, config: Config) -> dict[str, float]:
    """By the names of `TERMS`, in their order."""
    weights, share = config.loss, silhouette_share(progress, config)
    changing = {
        "silhouette": weights.silhouette_weight * share,
        "part_center": weights.part_center_weight * share,
        "cameras": config.cameras.camera_prior_weight,
        "joint": joint_weight(progress, config),
    }
    return {
        name: changing[name] if name in changing else getattr(weights, f"{name}_weight") for name in TERMS
    }


def active_frames(progress: float, num_frames: int, config: Config) -> int:
    """Frames in use: the first T_0, from tau_0 linearly more, all at tau_1."""
    schedule = config.schedule
    grown = ramp(progress, schedule.growth_start, config.for_masks().growth_end)
    first = min(schedule.initial_frames, num_frames)
    return first + math.floor((num_frames - first) * grown + 1e-9)


@stage("data")
def draw_frames(
    count: int, values: ScheduleValues, schedule: ScheduleConfig, generator: torch.Generator
) -> Tensor:
    """Positions (count,) of the frames of one step; while frames are added, the newest are drawn more often."""
    uniform = torch.rand(3, count, generator=generator, device=generator.device)
    active = values.active_frames
    newest = active.clamp_max(schedule.newest_frames)
    frames = torch.where(
        uniform[0] < values.newest_share,
        torch.addcmul(active - newest, uniform[1], newest),
        uniform[2] * active,
    )
    return torch.minimum(frames, active - 1).long()


def joint_weight(progress: float, config: Config) -> float:
    """Grows linearly until tau_0."""
    start, end = config.loss.joint_weight_start, config.loss.joint_weight_end
    return start + (end - start) * ramp(progress, 0.0, config.schedule.growth_start)


def silhouette_share(progress: float, config: Config) -> float:
    """Share of their weights that the silhouette losses keep: all while frames are added, little afterwards.

    They lead the parts to where the object is. To the end they would bias them: ellipsoids are not the shape.
    """
    end = config.for_masks().growth_end
    faded = ramp(progress, end, min(end + config.schedule.silhouette_decay, 1.0))
    return 1 - (1 - config.loss.silhouette_final_share) * faded


def doubt(progress: float, config: Config) -> float:
    """How much masks are doubted: not before the model has seen enough to know better, then more and more to the end."""
    return config.loss.doubt * ramp(progress, config.schedule.doubt_start, 1.0)


def inv_s(progress: float, final: float, render: RenderConfig) -> float:
    """Sharpness of the surface, 1 / world units: geometrically from its first value to its final one."""
    first = min(render.initial_inv_s, final)
    return first * (final / first) ** ramp(progress, 0.0, render.sharpening_end)


def level(inv_s: float, of_pixels: float) -> float:
    """How often images are halved until the sharpness of the surface suits their pixels: 0 where they are too coarse."""
    return max(0.0, math.log2(of_pixels / inv_s))


def learning_rate_share(step: int, progress: float, config: Config) -> float:
    """Linear warm-up, then a cosine decay to `final_lr_share`."""
    warm = min(1.0, (step + 1) / max(config.optimizer.warmup_steps, 1))
    final = config.for_masks().final_lr_share
    return warm * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)))


def camera_share(step: int, progress: float, config: Config) -> float:
    """Share of their learning rates at which cameras are corrected: from when the coarse shape stands."""
    start = config.cameras.camera_start
    return learning_rate_share(step, progress, config) * ramp(progress, start, start + CAMERA_RAMP)


def ramp(progress: float, start: float, end: float) -> float:
    """0 until start, 1 from end on, linear between."""
    if progress >= end:
        return 1.0
    return max(0.0, (progress - start) / (end - start)) if end > start else 0.0
