"""NeuS-like compositing of packed samples along rays, in plain torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

MIN_WEIGHT = 1e-3  # intervals that weigh less are not decoded with gradients


class Composited(NamedTuple):
    """What R rays see, before any background."""

    rgb: Tensor  # (R, 3) premultiplied by the opacity
    opacity: Tensor  # (R,)
    depth: Tensor  # (R,) distance along the ray, premultiplied by the opacity
    transmittance: Tensor  # (N,) share of the light that reaches each sample, no gradient; padding 0


def composite(sdf: Tensor, rgb: Tensor, t: Tensor, offsets: Tensor, inv_s: float | Tensor) -> Composited:
    """Opacity, colour and depth of rays whose samples lie one after another in the packed arrays.

    ``alpha_k = max((Phi_k - Phi_{k+1}) / Phi_k, 0)`` between consecutive samples, ``Phi = sigmoid(s sdf)`` (paper section
    3.4, after NeuS), in log space: ``log(1 - alpha_k) = min(0, logsigmoid(s sdf_{k+1}) - logsigmoid(s sdf_k))``, so that the
    gradient is right at alpha = 1 too. An interval has the mean colour and distance of its two ends.

    Args:
        sdf: (N,) world units. rgb: (N, 3). t: (N,) distances along the rays, no gradient.
        offsets: (R + 1,) ray r has the samples ``offsets[r]:offsets[r + 1]``; a ray may have none. Rows behind the last ray's
            are padding.
        inv_s: s, 1 / world units; a number or a 0-dim tensor.
    """
    num_rays = offsets.shape[0] - 1
    ray_ids, weights, transmittance = _intervals(sdf, offsets, inv_s)
    middle_rgb, middle_t = 0.5 * (rgb[1:] + rgb[:-1]), 0.5 * (t[1:] + t[:-1])
    out = rgb.new_zeros(num_rays + 1, 3).index_add(0, ray_ids, weights[:, None] * middle_rgb)
    opacity = sdf.new_zeros(num_rays + 1).index_add(0, ray_ids, weights)
    depth = sdf.new_zeros(num_rays + 1).index_add(0, ray_ids, weights * middle_t)
    return Composited(out[:-1], opacity[:-1], depth[:-1], transmittance.detach())


def _intervals(sdf: Tensor, offsets: Tensor, inv_s: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ray and weight (N - 1,) of the interval between each sample and the next; no weight where they share no ray.

    And the transmittance (N,) at each sample. Padding has the ray R.
    """
    count = sdf.shape[0]
    index = torch.arange(count, device=sdf.device)
    ray_ids = torch.searchsorted(offsets, index, right=True) - 1
    rays = ray_ids[:-1]
    is_interval = (ray_ids[1:] == rays) & (rays < offsets.shape[0] - 1)
    log_phi = logsigmoid(inv_s * sdf)
    log_keep = torch.where(is_interval, (log_phi[1:] - log_phi[:-1]).clamp_max(0.0), 0.0)
    # the sum of log_keep before each sample
    before = torch.nn.functional.pad(log_keep.double().cumsum(0), (1, 0))[:count]
    first = offsets[ray_ids].clamp_max(max(count - 1, 0))
    transmittance = (before - before[first]).to(sdf.dtype).exp() * (ray_ids < offsets.shape[0] - 1)
    return rays, transmittance[:-1] * -torch.expm1(log_keep), transmittance


def interpolated(knots: Tensor, values: Tensor, t: Tensor, known: Tensor) -> Tensor:
    """Values (N,) at samples `t` (N,) of rays, from those (K,) at `knots` (K,), the samples where `known` (N,) is true.

    The first and last of each ray must be known. A cubic through the two nearest on either side, where they are as far
    apart as the nearest, else a straight line: along a ray that grazes a part the distance is bent. No gradient.
    """
    last = len(values) - 1
    left = (known.cumsum(0) - 1).clamp_max(last)
    right = (left + ~known).clamp_max(last)
    before, behind = (left - 1).clamp_min(0), (right + 1).clamp_max(last)
    way = knots[right] - knots[left]
    even = 0.1 * way
    is_even = (knots[left] - knots[before] - way).abs() < even
    is_even &= (knots[behind] - knots[right] - way).abs() < even
    share = torch.where(way > 0, (t - knots[left]) / way, 0.0)
    line = torch.lerp(values[left], values[right], share)
    bend = (values[left] + values[right] - values[before] - values[behind]) / 16  # of the cubic, half way
    return torch.where(is_even, line + bend, line)


def visible_samples(sdf: Tensor, offsets: Tensor, inv_s: float | Tensor) -> Tensor:
    """(N,) bool: the samples at the ends of intervals that weigh at least `MIN_WEIGHT`; the arguments are `composite`'s.

    The others are empty space, hidden or padding: neither they nor their gradients would show.
    """
    with torch.no_grad():
        heavy = _intervals(sdf, offsets, inv_s)[1] >= MIN_WEIGHT
        keep = torch.zeros(sdf.shape[0], dtype=torch.bool, device=sdf.device)
        keep[:-1] |= heavy
        keep[1:] |= heavy
        return keep
