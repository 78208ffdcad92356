"""NeuS-like compositing of packed samples along rays, in plain torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

MIN_WEIGHT = 1e-3  # intervals that weigh less are not decoded with gradients
EVEN = 0.1  # samples are as far apart as they should be if they are so to within this share


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
    before = pad(log_keep.double().cumsum(0), (1, 0))[:count]
    first = offsets[ray_ids].clamp_max(max(count - 1, 0))
    transmittance = (before - before[first]).to(sdf.dtype).exp() * (ray_ids < offsets.shape[0] - 1)
    return rays, transmittance[:-1] * -torch.expm1(log_keep), transmittance


def divided(sdf: Tensor, t: Tensor, offsets: Tensor, step: float | Tensor, divisions: int) -> Tensor:
    """Distances (N * divisions,) at N samples of rays and 1 to ``divisions - 1`` steps behind each of them.

    Where the next sample of the ray is `divisions` steps away, they are those of a cubic through the two nearest on either
    side, if these are as far apart, else of a straight line: along a ray that grazes a part the distance is bent. Elsewhere
    that of the sample is held.

    Args:
        sdf, t, offsets: as those of `composite`. step: world units.
    """
    index = torch.arange(len(sdf), device=sdf.device)
    ray_ids = torch.searchsorted(offsets, index, right=True) - 1
    way = divisions * step
    near = (t.diff() - way).abs() < EVEN * way
    near = pad(near & (ray_ids[1:] == ray_ids[:-1]), (0, 1))  # whether the next sample is where it should be
    even = near & near.roll(1) & near.roll(-1)
    share = torch.arange(divisions, device=sdf.device) / divisions
    behind = torch.where(near, sdf.roll(-1), sdf)
    line = sdf[:, None] + share * (behind - sdf)[:, None]
    bend = torch.where(even, sdf + behind - sdf.roll(1) - sdf.roll(-2), 0.0) / 4
    return (line + share * (1 - share) * bend[:, None]).reshape(-1)


def visible_samples(
    sdf: Tensor, t: Tensor, offsets: Tensor, inv_s: float | Tensor, step: float | Tensor, divisions: int
) -> Tensor:
    """(N * divisions,) bool: of N samples and the points between them, as `divided` orders them, those that show.

    They are the ends of intervals that weigh at least `MIN_WEIGHT` by the distances of `divided`, and the point behind each:
    these distances may say that a ray ends there, and be wrong. The others are empty space, hidden or padding: neither they
    nor their gradients would show.
    """
    with torch.no_grad():
        fine = divided(sdf, t, offsets, step, divisions)
        heavy = _intervals(fine, divisions * offsets, inv_s)[1] >= MIN_WEIGHT
        ray_ids = torch.searchsorted(
            divisions * offsets, torch.arange(len(fine), device=sdf.device), right=True
        )
        keep = torch.zeros(len(fine), dtype=torch.bool, device=sdf.device)
        keep[:-1] |= heavy
        keep[1:] |= heavy
        keep[2:] |= heavy[:-1] & (ray_ids[2:] == ray_ids[:-2])
        return keep
