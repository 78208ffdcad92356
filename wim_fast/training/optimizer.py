"""The kinds of parameters, their learning rates and the clipping of their gradients (supplement A.7)."""

from __future__ import annotations

import functools
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from wim_fast.config import CamerasConfig, Config
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.camera_corrections import CameraCorrections
from wim_fast.training.adamw import AdamW
from wim_fast.training.schedule import ScheduleValues


def make_optimizer(
    model: ArticulatedModel, config: Config, corrections: CameraCorrections | None = None
) -> AdamW:
    """AdamW with a group for each kind of parameter.

    The weights of networks decay, and by `grid_decay` the features that no ray holds up: a rest pose or an ellipsoid has
    no reason to be near zero. Groups of one `clip` name are clipped together (`clip_gradients`), those without one not
    at all.
    """
    rates, decay = config.optimizer, config.optimizer.weight_decay
    sharpnesses = [model.union_sharpness_logit, model.weight_sharpness_logit]
    kinds = [
        ([model.trajectory.rest], rates.lr_pose, 0.0, "pose"),
        (model.trajectory.layers.parameters(), rates.lr_pose, decay, "pose"),
        ([model.log_semi_axes, *sharpnesses], rates.lr_semi_axes, 0.0, "semi_axes"),
        ([model.field.table], rates.lr_grid, rates.grid_decay, None),
        (model.field.decoder.parameters(), rates.lr_decoder, decay, None),
        ([] if model.field.lighting is None else [model.field.lighting], rates.lr_decoder, 0.0, None),
    ]
    groups = [
        {
            "params": list(parameters),
            "lr": lr,
            "base_lr": lr,
            "weight_decay": weight_decay,
            "clip": "all" if rates.clip_all else clip,
            "follows": "learning_rate_share",
        }
        for parameters, lr, weight_decay, clip in kinds
    ]
    groups = [group for group in groups if group["params"]]
    if corrections is not None:
        groups += _camera_groups(corrections, config.cameras)
    betas = rates.adam_beta1, rates.adam_beta2
    optimizer = AdamW(groups, betas=betas, eps=1e-12)
    move_learning_rates(optimizer, model.log_semi_axes.device)
    return optimizer


def _camera_groups(corrections: CameraCorrections, config: CamerasConfig) -> list[dict[str, Any]]:
    """Their gradients are small beside their noise: the mean runs over more steps than that of the others."""
    rates = (
        (corrections.calibration, config.lr_calibration),
        (corrections.lateness, config.lr_lateness),
        (corrections.color, config.lr_color),
    )
    return [
        {
            "params": [parameter],
            "lr": rate,
            "base_lr": rate,
            "weight_decay": 0.0,
            "clip": None,
            "follows": "camera_share",
            "betas": (config.camera_beta1, 0.999),
        }
        for parameter, rate in rates
    ]


def move_learning_rates(optimizer: AdamW, device: torch.device) -> None:
    """Put learning rates where a step reads them: on a GPU as tensors, so that a recorded step sees them change."""
    on_gpu = device.type == "cuda"
    for group in optimizer.param_groups:
        rate = float(group["lr"])
        group["lr"] = torch.tensor(rate, device=device) if on_gpu else rate


def set_learning_rates(optimizer: AdamW, now: ScheduleValues) -> None:
    """Every group's rate: the share of its base that it follows."""
    groups = optimizer.param_groups
    shares = [getattr(now, group["follows"]) for group in groups]
    if isinstance(groups[0]["lr"], Tensor):  # two launches for all of them
        rates = [group["lr"] for group in groups]
        torch._foreach_copy_(rates, shares)
        torch._foreach_mul_(rates, [group["base_lr"] for group in groups])
    else:
        for group, share in zip(groups, shares, strict=True):
            group["lr"] = share.item() * group["base_lr"]


def clip_gradients(optimizer: AdamW, norm: float) -> None:
    """Let the next step shorten the gradients of each set of groups with one `clip` name to `norm` at most."""
    together: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for group in optimizer.param_groups:
        if group["clip"]:
            together[group["clip"]].append(group)
    sets = [
        [p.grad for group in groups for p in group["params"] if p.grad is not None]
        for groups in together.values()
    ]
    if not any(sets):
        return
    lengths = torch.stack(torch._foreach_norm([gradient for gradients in sets for gradient in gradients]))
    shares = lengths * _of_sets(tuple(map(len, sets)), norm, lengths.device)
    for groups, excess in zip(together.values(), shares.norm(dim=1).clamp_min(1), strict=True):
        for group in groups:
            group["grad_scale"] = excess


@functools.cache
def _of_sets(sizes: tuple[int, ...], norm: float, device: torch.device) -> Tensor:
    """(S, n) for the n members of S sets of these sizes: 1 / `norm` where a set has the member, 0 elsewhere."""
    return torch.block_diag(*(torch.ones(1, size) for size in sizes)).to(device) / norm
