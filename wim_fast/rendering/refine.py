"""Refinement along rays: samples far apart tell where the surface can be seen, and finer ones are taken there.

The signed distance changes by about as much as one moves, at most. Two samples bound it between them, and where it
stays well above zero, or what is in front hides it, no sample between them would show.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

SURFACE_SIGMOIDS = 3.0  # where the sigmoid's argument stays above, nothing is to be seen
LEAST_TRANSMITTANCE = 0.01  # of the light that comes from behind


class RayDistances(NamedTuple):
    """The signed distance at N samples of R rays, ray after ray."""

    t: Tensor  # (N,) distance along the ray, ascending within a ray
    ray_ids: Tensor  # (N,) int64, ascending
    sdf: Tensor  # (N,)

    def of_rays(self, rays: Tensor, num_rays: int) -> RayDistances:
        """Those of the rays `rays` (E,), ascending, of all R; their ids are then their places in `rays`."""
        place = torch.full((num_rays,), -1, device=rays.device)
        place[rays] = torch.arange(len(rays), device=rays.device)
        ray_ids = place[self.ray_ids]
        rows = (ray_ids >= 0).nonzero().squeeze(1)
        return RayDistances(*(x.index_select(0, rows) for x in self._replace(ray_ids=ray_ids)))


def ray_offsets(ray_ids: Tensor, num_rays: int) -> Tensor:
    """(R + 1,) int64: ray r has the samples offsets[r]:offsets[r + 1]."""
    return pad(torch.bincount(ray_ids, minlength=num_rays).cumsum(0), (1, 0))


def interval_lengths(found: RayDistances) -> Tensor:
    """(N,) distance of each sample from the one before it on its ray; 0 for the first of a ray."""
    same_ray = found.ray_ids == found.ray_ids.roll(1)
    return torch.where(same_ray, found.t - found.t.roll(1), 0.0).clamp_min(0)


def visible_intervals(
    found: RayDistances, offsets: Tensor, longest: float, inv_s: float, slack: Tensor | float = 0.0
) -> Tensor:
    """(N,) bool: whether the surface can be seen between the sample before this one on its ray, and this one.

    With ``h`` their distance, the signed distance between them is at least ``(sdf_k + sdf_{k-1} - h) / 2``, if it changes
    by no more than one moves.

    Args:
        offsets: (R + 1,) as `ray_offsets` gives them.
        longest: between samples that lie farther apart there is nothing, world units.
        inv_s: sharpness s of the surface, 1 / world units.
        slack: how much the distances may differ from `found.sdf`, world units; a number or (N,).
    """
    sdf, length = found.sdf, interval_lengths(found)
    is_interval = (length > 0) & (length < longest)
    least = 0.5 * (sdf + sdf.roll(1) - length) - slack
    log_phi = logsigmoid(inv_s * (sdf + slack))
    log_keep = torch.where(length > 0, (log_phi - log_phi.roll(1)).clamp_max(0.0), 0.0)
    total = log_keep.double().cumsum(0)
    before = total - log_keep  # along all rays
    hidden = (
        before - before.index_select(0, offsets.index_select(0, found.ray_ids))
    ).exp() < LEAST_TRANSMITTANCE
    return is_interval & (inv_s * least < SURFACE_SIGMOIDS) & ~hidden


def inserted(found: RayDistances, before: Tensor, new: RayDistances) -> RayDistances:
    """The samples and M more: the k-th of `new` in front of the k-th row of `before` (M,), ascending."""
    is_before = torch.zeros_like(found.ray_ids).index_fill_(0, before, 1)
    rows = torch.arange(len(is_before), device=before.device) + is_before.cumsum(0)
    new_rows = rows[before] - 1

    def both(old: Tensor, more: Tensor) -> Tensor:
        out = old.new_empty(len(old) + len(more), *old.shape[1:])
        return out.index_copy_(0, rows, old).index_copy_(0, new_rows, more)

    return RayDistances(*(both(old, more) for old, more in zip(found, new, strict=True)))


def divided(found: RayDistances, wanted: Tensor, step: float) -> tuple[Tensor, Tensor]:
    """Samples at most about `step` apart that cover the wanted intervals, `wanted` as from `visible_intervals`.

    Returns:
        t (M,) ascending within a ray, and ray_ids (M,) int64.
    """
    length = interval_lengths(found)
    is_start = ~wanted & wanted.roll(-1) & (found.ray_ids == found.ray_ids.roll(-1))
    count = torch.where(wanted, (length / step).round().long().clamp_min(1), is_start.long())
    end = count.cumsum(0)
    row = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
    t, ray_ids, end, apart = (
        x.index_select(0, row) for x in (found.t, found.ray_ids, end, length / count.clamp_min(1))
    )
    return t - (end - 1 - torch.arange(len(row), device=row.device)) * apart, ray_ids
