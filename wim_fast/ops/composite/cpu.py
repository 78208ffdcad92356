"""Compositing compiled by numba, one ray after another, with a closed-form backward."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.compiled import device, kernel
from wim_fast.ops.composite.reference import MIN_WEIGHT, Composited

CHUNKS = 16
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_HALF = np.float32(0.5)
_MIN_WEIGHT = np.float32(MIN_WEIGHT)


@device
def _logsigmoid(x):
    return min(x, _ZERO) - np.float32(math.log1p(math.exp(-abs(x))))


@device
def _sigmoid(x):
    return _ONE / (_ONE + np.float32(math.exp(-x)))


@kernel
def _forward(sdf, rgb, t, offsets, inv_s, transmittance, out_rgb, out_opacity, out_depth):
    n_rays = offsets.shape[0] - 1
    size = (n_rays + CHUNKS - 1) // CHUNKS
    for chunk in prange(CHUNKS):
        for ray in range(chunk * size, min(n_rays, (chunk + 1) * size)):
            start, end = offsets[ray], offsets[ray + 1]
            keep = _ONE
            r = _ZERO
            g = _ZERO
            b = _ZERO
            depth = _ZERO
            if end > start:
                transmittance[start] = keep
                log_phi = _logsigmoid(inv_s * sdf[start])
            for k in range(start, end - 1):
                next_log_phi = _logsigmoid(inv_s * sdf[k + 1])
                next_keep = keep * np.float32(math.exp(min(_ZERO, next_log_phi - log_phi)))
                weight = _HALF * (keep - next_keep)
                r += weight * (rgb[k, 0] + rgb[k + 1, 0])
                g += weight * (rgb[k, 1] + rgb[k + 1, 1])
                b += weight * (rgb[k, 2] + rgb[k + 1, 2])
                depth += weight * (t[k] + t[k + 1])
                keep = next_keep
                log_phi = next_log_phi
                transmittance[k + 1] = keep
            out_rgb[ray, 0] = r
            out_rgb[ray, 1] = g
            out_rgb[ray, 2] = b
            out_opacity[ray] = _ONE - keep
            out_depth[ray] = depth


@kernel
def _backward(sdf, rgb, t, offsets, inv_s, transmittance, g_rgb, g_opacity, g_depth, g_sdf, g_color):
    n_rays = offsets.shape[0] - 1
    size = (n_rays + CHUNKS - 1) // CHUNKS
    for chunk in prange(CHUNKS):
        for ray in range(chunk * size, min(n_rays, (chunk + 1) * size)):
            start, end = offsets[ray], offsets[ray + 1]
            for k in range(start, end):
                g_sdf[k] = _ZERO
                for c in range(3):
                    g_color[k, c] = _ZERO
            # L = sum_k v_k (T_k - T_{k+1}); going back, `suffix` is the sum of (v_m - v_{m-1}) T_m over m > k
            suffix = _ZERO
            later = _ZERO  # v_{k+1}, zero behind the last interval
            for k in range(end - 2, start - 1, -1):
                weight = _HALF * (transmittance[k] - transmittance[k + 1])
                value = g_opacity[ray] + g_depth[ray] * _HALF * (t[k] + t[k + 1])
                for c in range(3):
                    value += g_rgb[ray, c] * _HALF * (rgb[k, c] + rgb[k + 1, c])
                    g_color[k, c] += weight * g_rgb[ray, c]
                    g_color[k + 1, c] += weight * g_rgb[ray, c]
                suffix += (later - value) * transmittance[k + 1]
                later = value
                if sdf[k + 1] < sdf[k]:  # alpha > 0: d log(1 - alpha) flows to both ends
                    g_sdf[k + 1] += suffix * inv_s * _sigmoid(-inv_s * sdf[k + 1])
                    g_sdf[k] -= suffix * inv_s * _sigmoid(-inv_s * sdf[k])


@kernel
def _visible(sdf, offsets, inv_s, keep):
    n_rays = offsets.shape[0] - 1
    size = (n_rays + CHUNKS - 1) // CHUNKS
    for chunk in prange(CHUNKS):
        for ray in range(chunk * size, min(n_rays, (chunk + 1) * size)):
            start, end = offsets[ray], offsets[ray + 1]
            transmittance = _ONE
            if end > start:
                keep[start] = False
                log_phi = _logsigmoid(inv_s * sdf[start])
            for k in range(start, end - 1):
                next_log_phi = _logsigmoid(inv_s * sdf[k + 1])
                after = transmittance * np.float32(math.exp(min(_ZERO, next_log_phi - log_phi)))
                heavy = transmittance - after >= _MIN_WEIGHT
                keep[k] |= heavy
                keep[k + 1] = heavy
                transmittance = after
                log_phi = next_log_phi


def visible_samples(sdf: Tensor, offsets: Tensor, inv_s: float | Tensor) -> Tensor:
    """See ``reference.visible_samples``."""
    keep = torch.empty(len(sdf), dtype=torch.bool)
    _visible(sdf.detach().contiguous().numpy(), offsets.numpy(), np.float32(float(inv_s)), keep.numpy())
    keep[int(offsets[-1]) :] = False
    return keep


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, sdf, rgb, t, offsets, inv_s):  # type: ignore[override]
        num_rays = offsets.shape[0] - 1
        arguments = (
            sdf.detach().contiguous().numpy(),
            rgb.detach().contiguous().numpy(),
            t.contiguous().numpy(),
            offsets.numpy(),
            np.float32(float(inv_s)),
            np.empty(sdf.shape[0], np.float32),
        )
        out = torch.empty(num_rays, 3), torch.empty(num_rays), torch.empty(num_rays)
        _forward(*arguments, *(x.numpy() for x in out))
        ctx.arguments = arguments
        return out

    @staticmethod
    def backward(ctx, *grads):  # type: ignore[override]
        g_sdf, g_color = torch.empty(ctx.arguments[0].shape), torch.empty(ctx.arguments[1].shape)
        _backward(*ctx.arguments, *(g.contiguous().numpy() for g in grads), g_sdf.numpy(), g_color.numpy())
        end = int(ctx.arguments[3][-1])
        g_sdf[end:], g_color[end:] = 0, 0
        return g_sdf, g_color, None, None, None


def composite(sdf: Tensor, rgb: Tensor, t: Tensor, offsets: Tensor, inv_s: float | Tensor) -> Composited:
    """See ``reference.composite``: the same result for CPU float32 tensors."""
    return Composited(*_Composite.apply(sdf, rgb, t, offsets, inv_s))
