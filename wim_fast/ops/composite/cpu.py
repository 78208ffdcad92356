"""Compositing compiled by numba, one ray after another, with a closed-form backward."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.compiled import arrays, claim, device, kernel
from wim_fast.ops.composite.reference import EVEN, MIN_WEIGHT, Composited

CHUNKS = 16
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_HALF = np.float32(0.5)
_QUARTER = np.float32(0.25)
_EVEN = np.float32(EVEN)
_CLEAR = np.float32(9.0)  # where the sigmoid's argument is above, an interval weighs an eighth of _MIN_WEIGHT
_MOST = np.float32(80.0)  # its exponential is a float32
_MIN_WEIGHT = np.float32(MIN_WEIGHT)


@device
def _odds(x):
    """1 / sigmoid(x), or nearly the most that a float32 can be: what is behind that takes no light."""
    return _ONE + np.float32(math.exp(min(-x, _MOST)))


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
            odds = _odds(inv_s * sdf[start])
        for k in range(start, end - 1):
            next_odds = _odds(inv_s * sdf[k + 1])
            next_keep = keep * min(_ONE, odds / next_odds)
            weight = _HALF * (keep - next_keep)
            r += weight * (rgb[k, 0] + rgb[k + 1, 0])
            g += weight * (rgb[k, 1] + rgb[k + 1, 1])
            b += weight * (rgb[k, 2] + rgb[k + 1, 2])
            depth += weight * (t[k] + t[k + 1])
            keep = next_keep
            odds = next_odds
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
        next_share = _ONE / _odds(-inv_s * sdf[end - 1]) if end > start else _ZERO
        for k in range(end - 2, start - 1, -1):
            weight = _HALF * (transmittance[k] - transmittance[k + 1])
            value = g_opacity[ray] + g_depth[ray] * _HALF * (t[k] + t[k + 1])
            for c in range(3):
                value += g_rgb[ray, c] * _HALF * (rgb[k, c] + rgb[k + 1, c])
                g_color[k, c] += weight * g_rgb[ray, c]
                g_color[k + 1, c] += weight * g_rgb[ray, c]
            suffix += (later - value) * transmittance[k + 1]
            later = value
            share = _ONE / _odds(-inv_s * sdf[k])  # sigmoid(-s sdf)
            if sdf[k + 1] < sdf[k]:  # alpha > 0: d log(1 - alpha) flows to both ends
                g_sdf[k + 1] += suffix * inv_s * next_share
                g_sdf[k] -= suffix * inv_s * share
            next_share = share


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
def _weigh(chunk, sdf, t, offsets, inv_s, step, divisions, keep):
    """Which samples of a chunk of the rays show, and which points between them."""
    n_rays = offsets.shape[0] - 1
    size = (n_rays + CHUNKS - 1) // CHUNKS
    way = np.float32(divisions) * step
    for ray in range(chunk * size, min(n_rays, (chunk + 1) * size)):
        start, end = offsets[ray], offsets[ray + 1]
        for i in range(start * divisions, end * divisions):
            keep[i] = False
        transmittance = _ONE
        odds = _odds(inv_s * sdf[start]) if end > start else _ONE
        near_last, near = False, start + 1 < end and _is_near(t, start, way)
        for k in range(start, end - 1):
            near_next = k + 2 < end and _is_near(t, k + 1, way)
            here, behind = sdf[k], sdf[k + 1]
            bend = _ZERO
            if near_last and near and near_next:
                bend = (here + behind - sdf[k - 1] - sdf[k + 2]) * _QUARTER
            # far from the surface no point between weighs enough: from the sample to the next in one go
            far = inv_s * (min(here, behind) - abs(bend) * _QUARTER) > _CLEAR
            for sub in range(divisions if far else 1, divisions + 1):
                share = np.float32(sub) / np.float32(divisions)
                value = behind if sub == divisions else here
                if near and sub < divisions:
                    value += share * (behind - here) + share * (_ONE - share) * bend
                next_odds = _odds(inv_s * value)
                after = transmittance * min(_ONE, odds / next_odds)
                if transmittance - after >= _MIN_WEIGHT:
                    i = k * divisions + sub
                    keep[i - 1] = True
                    keep[i] = True
                    if i + 1 < end * divisions:
                        keep[i + 1] = True
                transmittance = after
                odds = next_odds
            if transmittance < _MIN_WEIGHT:
                break
            near_last, near = near, near_next


@device
def _is_near(t, k, way):
    """Whether the sample behind the k-th is where it should be."""
    return abs(t[k + 1] - t[k] - way) < _EVEN * way


@kernel
def _visible(sdf, t, offsets, inv_s, step, divisions, keep):
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            _weigh(chunk, sdf, t, offsets, inv_s, step, divisions, keep)
            chunk = claim(turn)


def visible_samples(
    sdf: Tensor, t: Tensor, offsets: Tensor, inv_s: float | Tensor, step: float | Tensor, divisions: int
) -> Tensor:
    """See ``reference.visible_samples``."""
    keep = torch.empty(len(sdf) * divisions, dtype=torch.bool)
    scalars = (np.float32(float(x)) for x in (inv_s, step))
    _visible(*arrays(sdf, t, offsets), *scalars, divisions, keep.numpy())
    keep[int(offsets[-1]) * divisions :] = False
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
