"""Rays through pixels, and the points along them that are worth decoding."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.ops.backend import Backend
from wim_fast.ops.cameras import reference
from wim_fast.ops.march.reference import Samples
from wim_fast.ops.samples.reference import RaySamples

BAND_SIGMOIDS = 3.0  # the band round the surface ends where the sigmoid is within exp(-3) of 0 or 1
STEP_SIGMOIDS = 3.0  # a marching step changes the sigmoid's argument by this much, at most
EVERY_STEP = 20.0  # sharpness at which limbs are so bent that every step would count


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
        rotation = T[:, :3, :3].transpose(1, 2).contiguous()
        center = -(rotation @ T[:, :3, 3:]).squeeze(-1)
        return cls(*(x.float().contiguous() for x in (K, torch.linalg.inv(K), rotation, center)))

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
        matrix = self.intrinsics @ self.rotation.mT
        center = self.center[..., None]
        return torch.cat([matrix, torch.baddbmm(center, matrix, center, beta=0, alpha=-1)], dim=-1)

    def rays(
        self, camera: Tensor, pixels: Tensor, camera_rays: Callable = reference.camera_rays
    ) -> tuple[Tensor, Tensor]:
        """Origins and unit directions (B, N, 3) through `pixels` (B, N, 2) of cameras `camera` (B,); centres at +0.5."""
        return camera_rays(*self[1:], camera, pixels)


@functools.cache
def image_ids(images: int, each: int, device: torch.device) -> Tensor:
    """(images * each,) int32: 0 of the first `each` rays or points, 1 of the next, and so on."""
    return torch.arange(images, dtype=torch.int32, device=device).repeat_interleave(each)


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
    return backend.samples_along(*rays, samples)


def sample_divisions(inv_s: float) -> int:
    """How many steps apart samples may be that tell where the surface shows between them.

    Their distances are wrong in between by as much as the surface is bent, times the square of how far apart they are:
    a share of the surface's softness that is the same for all sharpnesses if the number grows with the root of s.
    """
    return max(2, round(math.sqrt(inv_s / EVERY_STEP)))


@functools.cache
def _constant(value: float, device: torch.device) -> Tensor:
    """() float32. A number by a tensor takes two launches, a tensor by a tensor one."""
    return torch.tensor(value, device=device)


def shown_samples(
    model: ArticulatedModel,
    posed: Posed,
    rays: Rays,
    jitter: Tensor,
    inv_s: float | Tensor,
    divisions: int,
    backend: Backend,
    marched_room: int | None = None,
    room: int | None = None,
) -> tuple[RaySamples, Samples]:
    """The samples of rays that show, and those which told so: `divisions` steps apart, and decoded without a gradient.

    Args:
        jitter, inv_s: as those of `march_rays`.
        divisions: see `sample_divisions`.
        marched_room, room: rows of the samples that tell, and of those that show; None for as many as there are.
    """
    step = _constant(STEP_SIGMOIDS, jitter.device) / inv_s
    with torch.no_grad():
        # what the surface needs, and half of what lies between samples, for it may be there
        steps = BAND_SIGMOIDS / STEP_SIGMOIDS + 0.5 * (divisions - 1)
        band = torch.add(_constant(model.field.residual_max, jitter.device), step, alpha=steps)
        marched = backend.march(*rays, *posed, jitter, band, divisions * step, marched_room)
        some = backend.samples_along(*rays, marched)
        sdf = model.signed_distance(some.points, some.pose_ids, posed, backend)
        keep = backend.visible_samples(sdf, marched.t, marched.offsets, inv_s, step, divisions)
    return backend.samples_along(*rays, marched, keep, step, divisions, room), marched
