"""Occupancy grids compiled by numba: the bounds that the march steps by, in the centre of every cell."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.articulated.cpu import local_coordinates, pose_rows
from wim_fast.ops.compiled import arrays, device, kernel
from wim_fast.ops.ellipsoid.cpu import LOWER, PITCH, ROWS, RX, distance_bounds, ellipsoid_shapes
from wim_fast.ops.occupancy.reference import RESOLUTION, ROUNDING, occupancy_boxes

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_HALF = np.float32(0.5)


@device
def _union_is_within(limit, w, n_parts, b):
    """Whether the smooth union of the bounds in row LOWER is at most `limit`: whether sum exp(-b (bound - limit)) >= 1."""
    least = w[LOWER]
    for p in range(1, n_parts):
        least = min(least, w[LOWER + p])
    if least <= limit:
        return True
    if np.float32(n_parts) * math.exp(-b * (least - limit)) < _ONE:
        return False
    total = _ZERO
    for p in range(n_parts):
        total += np.float32(math.exp(-b * (w[LOWER + p] - limit)))
    return total >= _ONE


@kernel
def _fill(poses, shapes, n_parts, b, limits, boxes, cells):
    resolution = cells.shape[1]
    for layer in prange(cells.shape[0] * resolution):
        pose, i = layer // resolution, layer % resolution
        w = np.ones(ROWS * PITCH, np.float32)
        for k in range(shapes.shape[0]):
            w[RX + k] = shapes[k]
        box = boxes[pose]
        sides = (box[3:] - box[:3]) / np.float32(resolution)
        x = box[0] + (np.float32(i) + _HALF) * sides[0]
        for j in range(resolution):
            y = box[1] + (np.float32(j) + _HALF) * sides[1]
            for k in range(resolution):
                z = box[2] + (np.float32(k) + _HALF) * sides[2]
                local_coordinates(x, y, z, poses[pose], w, n_parts)
                distance_bounds(w, n_parts)
                cells[pose, i, j, k] = _union_is_within(limits[pose], w, n_parts, b)


def occupancy_grids(
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    union_sharpness: Tensor,
    reach: float | Tensor,
    resolution: int = RESOLUTION,
) -> tuple[Tensor, Tensor]:
    """See ``reference.occupancy_grids``: the same on the CPU, but for single cells that rounding decides."""
    with torch.no_grad():
        boxes = occupancy_boxes(translation, semi_axes, union_sharpness, reach)
        half_diagonal = (boxes[:, 3:] - boxes[:, :3]).norm(dim=-1) / (2 * resolution)
        limits = half_diagonal + reach + ROUNDING
        cells = torch.empty(len(boxes), *3 * [resolution], dtype=torch.bool)
        poses, shapes = pose_rows(*arrays(rotation, translation)), ellipsoid_shapes(*arrays(semi_axes))
        b = np.float32(union_sharpness.item())
        _fill(poses, shapes, len(semi_axes), b, *arrays(limits, boxes, cells))
        return cells, boxes
