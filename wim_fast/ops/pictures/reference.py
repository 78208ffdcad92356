"""Where pictures take their samples, and what is made of these, in plain torch: there are no gradients.

Refinement along rays: samples far apart tell where the surface can be seen, and finer ones are taken there. The signed
distance changes by about as much as one moves, at most. Two samples bound it between them, and where it stays well
above zero, or what is in front hides it, no sample between them would show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from wim_fast.ops.march.reference import Samples

SURFACE_SIGMOIDS = 3.0  # where the sigmoid's argument stays above, nothing is to be seen
LEAST_TRANSMITTANCE = 0.01  # of the light that comes from behind
CLEAR_SIGMOIDS = 20.0  # so far from the surface nothing of it is to be seen


class FinerSamples(NamedTuple):
    """N samples of R rays and M more, ray after ray."""

    t: Tensor  # (N + M,) distance along the ray, ascending within a ray
    offsets: Tensor  # (R + 1,) int64: ray r has the samples offsets[r]:offsets[r + 1]
    rows: Tensor  # (N + M,) int64 which of the N before and, behind them, the M new ones each is
    new: Samples  # the new ones alone


def near_samples(
    t: Tensor,
    sdf: Tensor,
    offsets: Tensor,
    guides: Tensor | None,
    rays_per_guide: int,
    spread: float,
    inv_s: float,
    longest: float,
    step: float,
) -> Samples:
    """Samples for rays near others, their guides, which cover the intervals of these where the surface can be seen.

    Args:
        t: (N,) distances along R rays, ascending within a ray. sdf: (N,) signed distance there, world units.
        offsets: (R + 1,) int64: ray r has the samples ``offsets[r]:offsets[r + 1]``.
        guides: (G,) int64 which of these are guides, each of them once; None: all.
        rays_per_guide: k; all k rays near a guide get the same samples.
        spread: distance from a guide to the rays near it, at distance 1.
        inv_s: sharpness s of the surface, 1 / world units.
        longest: between samples that lie farther apart there is nothing, world units.
        step: distance of the samples, at most about, world units.

    Returns:
        Those of the G * k rays, guide after guide.
    """
    rays = len(offsets) - 1 if guides is None else len(guides)
    if guides is not None:
        first, count = offsets[guides], offsets.diff()[guides]
        rows = torch.repeat_interleave(first - count.cumsum(0) + count, count)
        rows = rows + torch.arange(len(rows), device=t.device)
        t, sdf, offsets = t[rows], sdf[rows], pad(count.cumsum(0), (1, 0))
    ray_ids = _ray_ids(offsets)
    wanted = _visible(t, sdf, ray_ids, offsets, spread, inv_s, longest)
    is_start = ~wanted & wanted.roll(-1) & (ray_ids == ray_ids.roll(-1))
    length = _lengths(t, ray_ids)
    count = torch.where(wanted, (length / step).round().long().clamp_min(1), is_start.long())
    row = torch.repeat_interleave(count)
    to_end = count.cumsum(0)[row] - 1 - torch.arange(len(row), device=t.device)
    t = t[row] - to_end * (length / count.clamp_min(1))[row]
    # the same ones for each of a guide's rays
    count = torch.bincount(ray_ids[row], minlength=rays)
    first = (count.cumsum(0) - count).repeat_interleave(rays_per_guide)
    offsets = pad(count.repeat_interleave(rays_per_guide).cumsum(0), (1, 0))
    ray_ids = _ray_ids(offsets)
    row = torch.arange(len(ray_ids), device=t.device) + (first - offsets[:-1])[ray_ids]
    return Samples(t[row], ray_ids, offsets, torch.zeros_like(offsets[0]))


def finer_samples(
    t: Tensor,
    sdf: Tensor,
    offsets: Tensor,
    spread: float,
    inv_s: float,
    longest: float,
    shortest: float,
    ahead: float = 0.0,
) -> FinerSamples:
    """One more sample in the middle of each interval where the surface can be seen, unless it is short already.

    Args:
        t, sdf, offsets, inv_s, longest: as those of `near_samples`.
        spread: distance, at distance 1, to other rays of which this must hold too.
        shortest: intervals that are not longer stay as they are, world units.
        ahead: 0, or the length of the interval in front of a ray's first sample, which begins where nothing is to be seen.
            Then only these are looked at: where the surface can be seen there, there is a new sample at the beginning.
    """
    ray_ids = _ray_ids(offsets)
    length = _lengths(t, ray_ids)
    if ahead > 0:
        wanted = (length == 0) & (sdf < ahead + SURFACE_SIGMOIDS / inv_s + spread * t)
        back: float | Tensor = ahead
    else:
        wanted = _visible(t, sdf, ray_ids, offsets, spread, inv_s, longest) & (length > shortest)
        back = 0.5 * length[wanted]
    before = wanted.nonzero().squeeze(1)
    new_t, new_ids = t[before] - back, ray_ids[before]
    place = torch.arange(len(t), device=t.device) + wanted.cumsum(0)  # of the old ones
    rows = torch.empty(len(t) + len(before), dtype=torch.int64, device=t.device)
    rows[place] = torch.arange(len(t), device=t.device)
    rows[place[before] - 1] = len(t) + torch.arange(len(before), device=t.device)
    more = pad(torch.bincount(new_ids, minlength=len(offsets) - 1).cumsum(0), (1, 0))
    new = Samples(new_t, new_ids, more, torch.zeros_like(more[0]))
    return FinerSamples(torch.cat([t, new_t])[rows], offsets + more, rows, new)


def closed_runs(t: Tensor, sdf: Tensor, offsets: Tensor, longest: float, inv_s: float) -> Tensor:
    """Distances (N,) by which rays come from where nothing is to runs of samples, and end in those that end inside.

    Args:
        t, sdf, offsets, inv_s: as those of `near_samples`.
        longest: a run ends where the next sample is farther away, world units.
    """
    length = _lengths(t, _ray_ids(offsets))
    begins = (length == 0) | (length > longest)
    clear = CLEAR_SIGMOIDS / inv_s
    sdf = torch.where(begins.roll(-1) & (sdf < 0), -clear, sdf)
    return torch.where(begins, clear, sdf)


def part_seen(t: Tensor, offsets: Tensor, nearest_part: Tensor, depth: Tensor) -> Tensor:
    """The nearest part (R,) int32 at each ray's sample closest to the depth (R,) that is seen; -1 without samples.

    Args:
        t, offsets: as those of `near_samples`. nearest_part: (N,) int32.
    """
    ray_ids = _ray_ids(offsets)
    distance = (t - depth[ray_ids]).abs()
    least = distance.new_full((len(depth),), torch.inf).scatter_reduce(0, ray_ids, distance, "amin")
    closest = (distance == least[ray_ids]).nonzero().squeeze(1)
    part = torch.full((len(depth),), -1, dtype=torch.int32, device=t.device)
    part[ray_ids[closest]] = nearest_part[closest]
    return part


def edge_pixels(color: Tensor, contrast: float) -> Tensor:
    """(H, W) bool: where a colour (H, W, C) varies by more than `contrast` in the 3 x 3 neighbourhood."""
    spread = _among_neighbours(color, torch.maximum) - _among_neighbours(color, torch.minimum)
    return (spread > contrast).any(-1)


def _ray_ids(offsets: Tensor) -> Tensor:
    """(N,) int64 the ray of each sample."""
    return torch.repeat_interleave(offsets.diff())


def _lengths(t: Tensor, ray_ids: Tensor) -> Tensor:
    """(N,) distance of each sample from the one before it on its ray; 0 for the first of a ray."""
    same_ray = ray_ids == ray_ids.roll(1)
    return torch.where(same_ray, t - t.roll(1), 0.0).clamp_min(0)


def _visible(
    t: Tensor, sdf: Tensor, ray_ids: Tensor, offsets: Tensor, spread: float, inv_s: float, longest: float
) -> Tensor:
    """(N,) bool: whether the surface can be seen between the sample before this one on its ray, and this one.

    With ``h`` their distance, the signed distance between them is at least ``(sdf_k + sdf_{k-1} - h) / 2``, if it changes
    by no more than one moves; near the ray, by `spread`, it may be less.
    """
    length, slack = _lengths(t, ray_ids), spread * t
    is_interval = (length > 0) & (length < longest)
    least = 0.5 * (sdf + sdf.roll(1) - length) - slack
    log_phi = logsigmoid(inv_s * (sdf + slack))
    log_keep = torch.where(length > 0, (log_phi - log_phi.roll(1)).clamp_max(0.0), 0.0)
    before = log_keep.double().cumsum(0) - log_keep  # along all rays
    hidden = (before - before[offsets[ray_ids]]).exp() < LEAST_TRANSMITTANCE
    return is_interval & (inv_s * least < SURFACE_SIGMOIDS) & ~hidden


def _among_neighbours(pixels: Tensor, extreme: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """(H, W, C) the greatest or least value in the 3 x 3 neighbourhood: `extreme` is the greater or lesser of two."""
    for axis in (0, 1):
        found, last = pixels.clone(), pixels.shape[axis] - 1
        for here, other in ((0, 1), (1, 0)):
            side = found.narrow(axis, here, last)
            side.copy_(extreme(side, pixels.narrow(axis, other, last)))
        pixels = found
    return pixels
