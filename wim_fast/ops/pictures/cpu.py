"""Where pictures take their samples, and what is made of these, compiled by numba.

Rays are dealt out to threads. Where new samples come, each is walked along twice: they are counted, then placed.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.compiled import arrays, claim, device, kernel
from wim_fast.ops.march.reference import Samples
from wim_fast.ops.pictures import reference
from wim_fast.ops.pictures.reference import FinerSamples

CHUNKS = 32  # of rays
_ZERO = np.float32(0.0)
_HALF = np.float32(0.5)
_SURFACE = np.float32(reference.SURFACE_SIGMOIDS)
_DARK = np.float32(math.log(reference.LEAST_TRANSMITTANCE))
_CLEAR = np.float32(reference.CLEAR_SIGMOIDS)


@device
def _log_sigmoid(x):
    if abs(x) > _CLEAR:
        return min(x, _ZERO)
    return min(x, _ZERO) - np.float32(math.log1p(math.exp(-abs(x))))


@device
def _mark_visible(t, sdf, first, end, spread, inv_s, longest, wanted):
    """Of the samples first:end of a ray, whether the surface can be seen between each and the one before it."""
    log_light = _ZERO
    log_phi = _ZERO
    for i in range(first, end):
        wanted[i] = False
        if log_light < _DARK:
            continue
        slack = spread * t[i]
        last_log_phi = log_phi
        log_phi = _log_sigmoid(inv_s * (sdf[i] + slack))
        length = t[i] - t[i - 1] if i > first else _ZERO
        if length > _ZERO:
            least = _HALF * (sdf[i] + sdf[i - 1] - length) - slack
            wanted[i] = length < longest and inv_s * least < _SURFACE
            log_light += min(log_phi - last_log_phi, _ZERO)


@device
def _pieces(length, step):
    """Into how many an interval is divided."""
    return max(np.int64(length / step + _HALF), 1)


@device
def _number_near(t, sdf, first, end, spread, inv_s, longest, step, wanted):
    """How many samples the rays near a guide have; `wanted` is of the guide's own."""
    _mark_visible(t, sdf, first, end, spread, inv_s, longest, wanted)
    count = 0
    for i in range(first, end):
        if wanted[i]:
            count += _pieces(t[i] - t[i - 1], step) + (not wanted[i - 1])
    return count


@kernel
def _count_near(t, sdf, offsets, guides, spread, inv_s, longest, step, wanted, counts):
    size = (len(guides) + CHUNKS - 1) // CHUNKS
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            for g in range(chunk * size, min(len(guides), (chunk + 1) * size)):
                first, end = offsets[guides[g]], offsets[guides[g] + 1]
                counts[g] = _number_near(t, sdf, first, end, spread, inv_s, longest, step, wanted)
            chunk = claim(turn)


@device
def _divide(t, first, end, step, wanted, t_out, at):
    """The samples of a ray near a guide whose own are first:end, from place `at` on."""
    for i in range(first, end):
        if not wanted[i]:
            continue
        if not wanted[i - 1]:
            t_out[at] = t[i - 1]
            at += 1
        pieces = _pieces(t[i] - t[i - 1], step)
        apart = (t[i] - t[i - 1]) / np.float32(pieces)
        for k in range(pieces - 1, -1, -1):
            t_out[at] = t[i] - np.float32(k) * apart
            at += 1


@kernel
def _place_near(t, offsets, guides, each, step, wanted, first_of_ray, t_out, ray_ids):
    size = (each * len(guides) + CHUNKS - 1) // CHUNKS
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            for ray in range(chunk * size, min(each * len(guides), (chunk + 1) * size)):
                guide = guides[ray // each]
                _divide(t, offsets[guide], offsets[guide + 1], step, wanted, t_out, first_of_ray[ray])
                ray_ids[first_of_ray[ray] : first_of_ray[ray + 1]] = ray
            chunk = claim(turn)


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
    """See ``reference.near_samples``: the same result for CPU float32 tensors."""
    t_, sdf_, offsets_ = arrays(t, sdf, offsets)
    guides_ = np.arange(len(offsets_) - 1) if guides is None else guides.numpy()
    wanted, counts = np.empty(len(t_), np.bool_), np.empty(len(guides_), np.int64)
    _count_near(t_, sdf_, offsets_, guides_, *map(np.float32, (spread, inv_s, longest, step)), wanted, counts)
    first = _starts(np.repeat(counts, rays_per_guide))
    t_out, ray_ids = np.empty(first[-1], np.float32), np.empty(first[-1], np.int64)
    _place_near(t_, offsets_, guides_, rays_per_guide, np.float32(step), wanted, first, t_out, ray_ids)
    return _samples(t_out, ray_ids, first)


def _starts(counts: np.ndarray) -> np.ndarray:
    """(R + 1,) int64: where the samples of each ray begin, and where the last end."""
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def _samples(t: np.ndarray, ray_ids: np.ndarray, offsets: np.ndarray) -> Samples:
    return Samples.packed(torch.from_numpy(t), torch.from_numpy(ray_ids), torch.from_numpy(offsets), None)


@device
def _number_finer(t, sdf, first, end, spread, inv_s, longest, shortest, ahead, wanted):
    """How many samples a ray gets; in front of those that are wanted."""
    if ahead > _ZERO:
        wanted[first:end] = False
        if first < end and sdf[first] < ahead + _SURFACE / inv_s + spread * t[first]:
            wanted[first] = True
    else:
        _mark_visible(t, sdf, first, end, spread, inv_s, longest, wanted)
    count = 0
    for i in range(first, end):
        wanted[i] = wanted[i] and (i == first or t[i] - t[i - 1] > shortest)
        count += wanted[i]
    return count


@kernel
def _count_finer(t, sdf, offsets, spread, inv_s, longest, shortest, ahead, wanted, counts):
    size = (len(counts) + CHUNKS - 1) // CHUNKS
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            for ray in range(chunk * size, min(len(counts), (chunk + 1) * size)):
                first, end = offsets[ray], offsets[ray + 1]
                counts[ray] = _number_finer(
                    t, sdf, first, end, spread, inv_s, longest, shortest, ahead, wanted
                )
            chunk = claim(turn)


@device
def _insert(ray, t, first, end, ahead, wanted, new, t_out, rows, new_t, new_ids):
    """The new samples of a ray, from place `new` on among the new ones, and with its own."""
    for i in range(first, end):
        if wanted[i]:
            back = ahead if ahead > _ZERO else _HALF * (t[i] - t[i - 1])
            new_t[new] = t[i] - back
            new_ids[new] = ray
            rows[i + new] = len(t) + new
            t_out[i + new] = new_t[new]
            new += 1
        rows[i + new] = i
        t_out[i + new] = t[i]


@kernel
def _place_finer(t, offsets, ahead, wanted, more, t_out, rows, new_t, new_ids):
    rays = len(offsets) - 1
    size = (rays + CHUNKS - 1) // CHUNKS
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            for ray in range(chunk * size, min(rays, (chunk + 1) * size)):
                first, end = offsets[ray], offsets[ray + 1]
                _insert(ray, t, first, end, ahead, wanted, more[ray], t_out, rows, new_t, new_ids)
            chunk = claim(turn)


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
    """See ``reference.finer_samples``: the same result for CPU float32 tensors."""
    t_, sdf_, offsets_ = arrays(t, sdf, offsets)
    numbers = [np.float32(x) for x in (spread, inv_s, longest, shortest, ahead)]
    wanted, counts = np.empty(len(t_), np.bool_), np.empty(len(offsets_) - 1, np.int64)
    _count_finer(t_, sdf_, offsets_, *numbers, wanted, counts)
    more = _starts(counts)
    both, rows = (np.empty(len(t_) + more[-1], dtype) for dtype in (np.float32, np.int64))
    new_t, new_ids = (np.empty(more[-1], dtype) for dtype in (np.float32, np.int64))
    _place_finer(t_, offsets_, numbers[-1], wanted, more, both, rows, new_t, new_ids)
    new, of_both = _samples(new_t, new_ids, more), torch.from_numpy(offsets_ + more)
    return FinerSamples(torch.from_numpy(both), of_both, torch.from_numpy(rows), new)


@device
def _close_ray(t, sdf, first, end, longest, clear, closed):
    for i in range(first, end):
        ends = i + 1 == end or t[i + 1] - t[i] > longest
        if i == first or t[i] - t[i - 1] > longest:
            closed[i] = clear
        else:
            closed[i] = -clear if ends and sdf[i] < _ZERO else sdf[i]


@kernel
def _close(t, sdf, offsets, longest, clear, closed):
    rays = len(offsets) - 1
    size = (rays + CHUNKS - 1) // CHUNKS
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            for ray in range(chunk * size, min(rays, (chunk + 1) * size)):
                _close_ray(t, sdf, offsets[ray], offsets[ray + 1], longest, clear, closed)
            chunk = claim(turn)


def closed_runs(t: Tensor, sdf: Tensor, offsets: Tensor, longest: float, inv_s: float) -> Tensor:
    """See ``reference.closed_runs``: the same result for CPU float32 tensors."""
    closed = torch.empty_like(sdf)
    _close(*arrays(t, sdf, offsets), np.float32(longest), _CLEAR / np.float32(inv_s), closed.numpy())
    return closed


@device
def _part_at(depth, t, first, end, nearest_part):
    part = np.int32(-1)
    least = np.float32(np.inf)
    for i in range(first, end):
        distance = abs(t[i] - depth)
        if distance < least:
            least = distance
            part = nearest_part[i]
    return part


@kernel
def _find_parts(t, offsets, nearest_part, depth, part):
    size = (len(part) + CHUNKS - 1) // CHUNKS
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        chunk = claim(turn)
        while chunk < CHUNKS:
            for ray in range(chunk * size, min(len(part), (chunk + 1) * size)):
                part[ray] = _part_at(depth[ray], t, offsets[ray], offsets[ray + 1], nearest_part)
            chunk = claim(turn)


def part_seen(t: Tensor, offsets: Tensor, nearest_part: Tensor, depth: Tensor) -> Tensor:
    """See ``reference.part_seen``: the same result for CPU float32 tensors."""
    part = torch.empty(len(depth), dtype=torch.int32)
    _find_parts(*arrays(t, offsets, nearest_part, depth), part.numpy())
    return part


@device
def _edges_of_row(y, color, contrast, low, high, edges):
    """By the least and the greatest of three rows in each column, (W, C): `low` and `high` are for these."""
    height, width, channels = color.shape
    above, below = max(y - 1, 0), min(y + 1, height - 1)
    for x in range(width):
        for c in range(channels):
            low[x, c] = min(color[above, x, c], color[y, x, c], color[below, x, c])
            high[x, c] = max(color[above, x, c], color[y, x, c], color[below, x, c])
    for x in range(width):
        left, right = max(x - 1, 0), min(x + 1, width - 1)
        edges[y, x] = False
        for c in range(channels):
            least = min(low[left, c], low[x, c], low[right, c])
            most = max(high[left, c], high[x, c], high[right, c])
            edges[y, x] |= most - least > contrast


@kernel
def _find_edges(color, contrast, edges):
    height, width, channels = color.shape
    turn = np.zeros(1, np.int64)
    for _ in prange(CHUNKS):
        low, high = np.empty((width, channels), np.float32), np.empty((width, channels), np.float32)
        y = claim(turn)
        while y < height:
            _edges_of_row(y, color, contrast, low, high, edges)
            y = claim(turn)


def edge_pixels(color: Tensor, contrast: float) -> Tensor:
    """See ``reference.edge_pixels``: the same result for CPU float32 tensors."""
    edges = torch.empty(color.shape[:2], dtype=torch.bool)
    _find_edges(*arrays(color), np.float32(contrast), edges.numpy())
    return edges
