"""Rays through pixels, and the points along them that are worth decoding."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.ops.backend import Backend
from wim_fast.ops.cameras import reference
from wim_fast.ops.march.reference import Samples

BAND_SIGMOIDS = 3.0  # the band round the surface ends where the sigmoid is within exp(-3) of 0 or 1
STEP_SIGMOIDS = 3.0  # a marching step changes the sigmoid's argument by this much, at most


class Rays(NamedTuple):
    """R rays in the world; `pose_ids` says which of the F poses each one sees."""

    origins: Tensor  # (R, 3)
    directions: Tensor  # (R, 3) unit
    pose_ids: Tensor  # (R,) int32


class RayCameras(NamedTuple):
    """Calibration of V cameras as tensors, to make rays from."""

    intrinsics: Tensor  # (V, 3, 3)
    inverse_intrinsics: Tensor  # (V, 3, 3)
    rotation: Tensor  # (V, 3, 3) camera-to-world
    center: Tensor  # (V, 3) world

    @classmethod
    def from_matrices(cls, intrinsics: np.ndarray, T_camera_world: np.ndarray) -> RayCameras:
        """From arrays (V, 3, 3) and (V, 4, 4), inverted in float64."""
        K = torch.as_tensor(intrinsics, dtype=torch.float64)
        T = torch.as_tensor(T_camera_world, dtype=torch.float64)
        rotation = T[:, :3, :3].transpose(1, 2)
        center = -(rotation @ T[:, :3, 3:]).squeeze(-1)
        return cls(K.float(), torch.linalg.inv(K).float(), rotation.float(), center.float())

    def to(self, device: torch.device) -> RayCameras:
        return RayCameras(*(x.to(device) for x in self))

    def corrected(
        self, numbers: Tensor, corrected_cameras: Callable = reference.corrected_cameras
    ) -> RayCameras:
        """The same cameras with a correction of each, `numbers` (V, 9); its gradients flow through rays and pixels."""
        return RayCameras(*corrected_cameras(numbers, *self))

    @torch.no_grad()
    def projection(self) -> Tensor:
        """(V, 3, 4) world points to homogeneous pixels."""
        to_camera = self.rotation.transpose(1, 2)
        return self.intrinsics @ torch.cat([to_camera, -to_camera @ self.center[..., None]], dim=-1)

    def rays(
        self, camera: Tensor, pixels: Tensor, camera_rays: Callable = reference.camera_rays
    ) -> tuple[Tensor, Tensor]:
        """Origins and unit directions (B, N, 3) through `pixels` (B, N, 2) of cameras `camera` (B,); centres at +0.5."""
        return camera_rays(*self[1:], camera, pixels)


@functools.cache
def image_ids(images: int, each: int, device: torch.device) -> Tensor:
    """(images * each,) int32: 0 of the first `each` rays or points, 1 of the next, and so on."""
    return torch.arange(images, dtype=torch.int32, device=device).repeat_interleave(each)


class RaySamples(NamedTuple):
    """N packed samples of R rays, and where they are; behind them padding, where the capacity is fixed."""

    points: Tensor  # (N, 3) world; padding 0
    pose_ids: Tensor  # (N,) padding -1
    t: Tensor  # (N,) distance along the ray; padding 0
    offsets: Tensor  # (R + 1,) ray r has the samples offsets[r]:offsets[r + 1]
    overflow: Tensor = torch.tensor(0)  # () how many samples were dropped for want of capacity

    @classmethod
    def along(cls, rays: Rays, samples: Samples, padded: bool) -> RaySamples:
        """Samples of these rays; `padded`: there may be padding. Gradients of the rays flow through the points."""
        ray_ids = samples.ray_ids
        if padded:
            is_real, ray_ids = ray_ids >= 0, ray_ids.clamp_min(0)
        pose_ids = rays.pose_ids[ray_ids]
        points = rays.origins[ray_ids] + samples.t[:, None] * rays.directions[ray_ids]
        if padded:
            pose_ids, points = torch.where(is_real, pose_ids, -1), torch.where(is_real[:, None], points, 0)
        return cls(points, pose_ids, samples.t, samples.offsets, samples.overflow)


def march_rays(
    posed: Posed,
    rays: Rays,
    jitter: Tensor,
    residual_max: float,
    inv_s: float | Tensor,
    backend: Backend,
    capacity: int | None = None,
    stride: int = 1,
    margin: float = 0.0,
) -> Samples:
    """The samples of rays where the surface can be, without a gradient.

    Args:
        jitter: (R,) in [0, 1), shifts each ray's samples by a share of a step.
        residual_max: how far the decoder can move the surface, world units.
        inv_s: sharpness s of the surface, 1 / world units; the band and the step follow it.
        capacity: the number of rows to return, whatever the number of samples; None for exactly as many as there are.
        stride: how many steps apart the samples are.
        margin: how much wider than the surface needs the band is, world units.
    """
    band, step = residual_max + BAND_SIGMOIDS / inv_s + margin, stride * STEP_SIGMOIDS / inv_s
    return backend.march(*(x.detach() for x in rays), *posed, jitter, band, step, capacity)


def sample_rays(
    posed: Posed,
    rays: Rays,
    jitter: Tensor,
    residual_max: float,
    inv_s: float | Tensor,
    backend: Backend,
    capacity: int | None = None,
) -> RaySamples:
    """The points of what `march_rays` finds."""
    samples = march_rays(posed, rays, jitter, residual_max, inv_s, backend, capacity)
    return RaySamples.along(rays, samples, capacity is not None)


@torch.no_grad()
def visible(
    model: ArticulatedModel,
    posed: Posed,
    rays: Rays,
    samples: Samples,
    inv_s: float | Tensor,
    backend: Backend,
) -> Tensor:
    """Which of N samples of some rays show, (N,) bool, as `Backend.visible_samples` says of their signed distances.

    Only every other one is decoded, and the first and last of each ray; between them the distance is interpolated.
    """
    t, _, offsets, _ = samples
    last = len(t) - 1
    if last < 0:
        return backend.visible_samples(t, offsets, inv_s)
    decoded = torch.arange(len(t), device=t.device) % 2 == 0
    ends = torch.cat([offsets.clamp_max(last), (offsets - 1).clamp_min(0)])
    decoded.index_fill_(0, ends, True)  # unlike an assignment, this does not wait for a GPU
    room = len(t) // 2 + 2 * len(offsets) if backend.needs_capacity else None
    some = RaySamples.along(rays, samples.select(decoded, room), backend.needs_capacity)
    sdf = model.signed_distance(some.points, some.pose_ids, posed, backend)
    return backend.visible_samples(backend.interpolated(some.t, sdf, t, decoded), offsets, inv_s)
