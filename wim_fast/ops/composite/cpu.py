"""Compositing compiled by numba, one ray after another, with a closed-form backward."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.compiled import arrays, claim, device, kernel
from wim_fast.ops.composite.reference import MIN_WEIGHT, Composited

CHUNKS = 16
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_HALF = np.float32(0.5)
_TENTH = np.float32(0.1)
_SIXTEENTH = np.float32(1 / 16)
_MIN_WEIGHT = np.float32(MIN_WEIGHT)


@device
def _logsigmoid(x):
    return min(x, _ZERO) - np.float32(math.log1p(math.exp(-abs(x))))


@device
def _sigmoid(x):
    return _ONE / (_ONE + np.float32(math.exp(-x)))


@device
def _composite_rays(chunk, sdf, rgb, t, offsets, inv_s, transmittance, out_rgb, out_opacity, out_depth):
    """What a chunk of the rays sees."""
    n_rays = offsets.shape[0] - 1
    size = (n_rays + CHUNKS - 1) // CHUNKS
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
def _forward(sdf, rgb, t, offsets, inv_s, transmittance, out_rgb, out_opacity, out_depth):
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _composite_rays(
                chunk, sdf, rgb, t, offsets, inv_s, transmittance, out_rgb, out_opacity, out_depth
            )
            chunk = claim(turn)


@device
def _go_back(chunk, sdf, rgb, t, offsets, inv_s, transmittance, g_rgb, g_opacity, g_depth, g_sdf, g_color):
    """The gradients that a chunk of the rays gives."""
    n_rays = offsets.shape[0] - 1
    size = (n_rays + CHUNKS - 1) // CHUNKS
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
def _backward(sdf, rgb, t, offsets, inv_s, transmittance, g_rgb, g_opacity, g_depth, g_sdf, g_color):
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _go_back(
                chunk, sdf, rgb, t, offsets, inv_s, transmittance, g_rgb, g_opacity, g_depth, g_sdf, g_color
            )
            chunk = claim(turn)


@device
def _weigh(chunk, sdf, offsets, inv_s, keep):
    """Which samples of a chunk of the rays show."""
    n_rays = offsets.shape[0] - 1
    size = (n_rays + CHUNKS - 1) // CHUNKS
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


@kernel
def _visible(sdf, offsets, inv_s, keep):
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _weigh(chunk, sdf, offsets, inv_s, keep)
            chunk = claim(turn)


@functools.partial(kernel, parallel=False)
def _interpolate(knots, values, t, known, out):
    last = values.shape[0] - 1
    left = -1
    for i in range(t.shape[0]):
        if known[i]:
            left += 1
            out[i] = values[min(left, last)]
            continue
        right = min(left + 1, last)
        way = knots[right] - knots[left]
        out[i] = values[left]
        if way > _ZERO:
            out[i] += (t[i] - knots[left]) / way * (values[right] - values[left])
        before, behind = max(left - 1, 0), min(right + 1, last)
        even = _TENTH * way
        if abs(knots[left] - knots[before] - way) < even and abs(knots[behind] - knots[right] - way) < even:
            out[i] += (values[left] + values[right] - values[before] - values[behind]) * _SIXTEENTH


def interpolated(knots: Tensor, values: Tensor, t: Tensor, known: Tensor) -> Tensor:
    """See ``reference.interpolated``: the same result for CPU float32 tensors."""
    out = np.empty(len(t), np.float32)
    _interpolate(*arrays(knots, values, t, known), out)
    return torch.from_numpy(out)


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
        transmittance = np.empty(sdf.shape[0], np.float32)
        ctx.arguments = *arrays(sdf, rgb, t, offsets), np.float32(float(inv_s)), transmittance
        out = [np.empty(size, np.float32) for size in ((num_rays, 3), num_rays, num_rays)]
        _forward(*ctx.arguments, *out)
        transmittance[offsets[-1] :] = 0
        light = torch.from_numpy(transmittance)
        ctx.mark_non_differentiable(light)
        return *(torch.from_numpy(x) for x in out), light

    @staticmethod
    def backward(ctx, *grads):  # type: ignore[override]
        sdf, rgb, _, offsets = ctx.arguments[:4]
        g_sdf, g_color = np.empty_like(sdf), np.empty_like(rgb)
        _backward(*ctx.arguments, *arrays(*grads[:3]), g_sdf, g_color)
        g_sdf[offsets[-1] :], g_color[offsets[-1] :] = 0, 0
        return torch.from_numpy(g_sdf), torch.from_numpy(g_color), None, None, None


def composite(sdf: Tensor, rgb: Tensor, t: Tensor, offsets: Tensor, inv_s: float | Tensor) -> Composited:
    """See ``reference.composite``: the same result for CPU float32 tensors."""
    return Composited(*_Composite.apply(sdf, rgb, t, offsets, inv_s))
