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


def composite(sdf: Tensor, rgb: Tensor, t: Tensor, offsets: Tensor, inv_s: float) -> Composited:
    """Opacity, colour and depth of rays whose samples lie one after another in the packed arrays.

    ``alpha_k = max((Phi_k - Phi_{k+1}) / Phi_k, 0)`` between consecutive samples, ``Phi = sigmoid(s sdf)`` (paper section
    3.4, after NeuS), in log space: ``log(1 - alpha_k) = min(0, logsigmoid(s sdf_{k+1}) - logsigmoid(s sdf_k))``, so that the
    gradient is right at alpha = 1 too. An interval has the mean colour and distance of its two ends.

    Args:
        sdf: (N,) world units. rgb: (N, 3). t: (N,) distances along the rays, no gradient.
        offsets: (R + 1,) ray r has the samples ``offsets[r]:offsets[r + 1]``; a ray may have none.
        inv_s: s, 1 / world units.
    """
    num_rays = offsets.shape[0] - 1
    counts = offsets[1:] - offsets[:-1]
    ray_ids = torch.repeat_interleave(torch.arange(num_rays, device=sdf.device), counts)
    if sdf.shape[0] < 2:
        zero = sdf.sum() * 0 + rgb.sum() * 0
        return Composited(
            zero + rgb.new_zeros(num_rays, 3), zero + sdf.new_zeros(num_rays), sdf.new_zeros(num_rays)
        )
    same_ray = ray_ids[1:] == ray_ids[:-1]  # (N - 1,) intervals
    log_phi = logsigmoid(inv_s * sdf)
    log_keep = torch.where(same_ray, (log_phi[1:] - log_phi[:-1]).clamp_max(0.0), 0.0)
    before = torch.cat(
        [log_keep.new_zeros(1), log_keep.double().cumsum(0)]
    )  # sum of log_keep before interval k
    first = offsets[:-1][ray_ids[:-1]]
    log_transmittance = (before[:-1] - before[first]).to(sdf.dtype)
    weights = log_transmittance.exp() * -torch.expm1(log_keep)
    rays = ray_ids[:-1]
    middle_rgb, middle_t = 0.5 * (rgb[1:] + rgb[:-1]), 0.5 * (t[1:] + t[:-1])
    out = rgb.new_zeros(num_rays, 3).index_add(0, rays, weights[:, None] * middle_rgb)
    opacity = sdf.new_zeros(num_rays).index_add(0, rays, weights)
    depth = sdf.new_zeros(num_rays).index_add(0, rays, weights * middle_t)
    return Composited(out, opacity, depth)


def visible_samples(sdf: Tensor, offsets: Tensor, inv_s: float) -> Tensor:
    """(N,) bool: the samples at the ends of intervals that weigh at least `MIN_WEIGHT`; the arguments are `composite`'s.

    The others are empty space or hidden: neither they nor their gradients would show.
    """
    with torch.no_grad():
        keep = torch.zeros(len(sdf), dtype=torch.bool, device=sdf.device)
        for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            if end - start > 1:
                log_phi = logsigmoid(inv_s * sdf[start:end])
                transmittance = (log_phi[1:] - log_phi[:-1]).clamp_max(0.0).cumsum(0).exp()
                before = torch.cat([transmittance.new_ones(1), transmittance[:-1]])
                heavy = before - transmittance >= MIN_WEIGHT
                keep[start : end - 1] |= heavy
                keep[start + 1 : end] |= heavy
        return keep
