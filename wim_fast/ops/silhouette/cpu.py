"""The masks' losses and the points that no camera judges, compiled by numba.

The losses are scalars, so the kernel that computes them finds their gradients on the way, and going backward only scales
these. Images are independent of each other until their sums are added in order, so that results do not depend on the
number of threads.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from wim_fast.ops.compiled import arrays, claim, device, kernel
from wim_fast.ops.silhouette.reference import (
    NEAREST_DEPTH,
    NOWHERE,
    MaskTables,
    SilhouetteLosses,
    UnjudgedPoints,
)

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)
_HALF = np.float32(0.5)
_THIRD = np.float32(1 / 3)
_TINY = np.float32(1e-12)
_NEAREST_DEPTH = np.float32(NEAREST_DEPTH)


@device
def _homogeneous(x, y, z, matrix, row):
    return matrix[row, 0] * x + matrix[row, 1] * y + matrix[row, 2] * z + matrix[row, 3]


@device
def _chamfer(points, matrix, image_side, targets, nearest, side, dead_zone, pixels, g_pixels, g_points):
    """Chamfer of world points (N, 3) that `matrix` (3, 4) projects; its gradient comes into g_points (N, 3)."""
    count = points.shape[0]
    height, width = nearest.shape[:2]
    limit = dead_zone * dead_zone
    each = _ONE / np.float32(count)
    to_mask = _ZERO
    for i in range(count):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        depth = max(_homogeneous(x, y, z, matrix, 2), _NEAREST_DEPTH)
        u = _homogeneous(x, y, z, matrix, 0) / depth / image_side
        v = _homogeneous(x, y, z, matrix, 1) / depth / image_side
        pixels[0, i] = u
        pixels[1, i] = v
        g_pixels[0, i] = _ZERO
        g_pixels[1, i] = _ZERO
        column = min(max(np.int64(u * side), 0), width - 1)
        row = min(max(np.int64(v * side), 0), height - 1)
        if nearest[row, column, 0] != NOWHERE:
            du = u - (np.float32(nearest[row, column, 0]) + _HALF) / side
            dv = v - (np.float32(nearest[row, column, 1]) + _HALF) / side
            squared = du * du + dv * dv
            if squared > limit:
                to_mask += squared
                g_pixels[0, i] = _TWO * each * du
                g_pixels[1, i] = _TWO * each * dv
    each_target = _ONE / np.float32(targets.shape[0])
    to_points = _ZERO
    for k in range(targets.shape[0]):
        u, v = targets[k, 0], targets[k, 1]
        least = np.float32(np.inf)
        best = 0
        for i in range(count):
            du = pixels[0, i] - u
            dv = pixels[1, i] - v
            squared = du * du + dv * dv
            if squared < least:
                least = squared
                best = i
        if least > limit:
            to_points += least
            g_pixels[0, best] += _TWO * each_target * (pixels[0, best] - u)
            g_pixels[1, best] += _TWO * each_target * (pixels[1, best] - v)
    for i in range(count):
        depth = _homogeneous(points[i, 0], points[i, 1], points[i, 2], matrix, 2)
        inverse = _ONE / max(depth, _NEAREST_DEPTH)
        gu = g_pixels[0, i] * inverse
        gv = g_pixels[1, i] * inverse
        g_depth = gu * pixels[0, i] + gv * pixels[1, i] if depth >= _NEAREST_DEPTH else _ZERO
        for axis in range(3):
            sideways = gu * matrix[0, axis] + gv * matrix[1, axis]
            g_points[i, axis] = sideways / image_side - g_depth * matrix[2, axis]
    return to_mask * each + to_points * each_target


@device
def _image_losses(b, rotation, translation, semi_axes, direction, uniform, camera, frame, projection, nearest,
                  mask_pixels, first_of_image, image_side, side, dead_zone, of_image, g_rotation, g_translation, g_axes,
                  g_center):  # fmt: skip
    """Both losses of image `b`, and their gradients."""
    images, parts = translation.shape[:2]
    each = direction.shape[1]
    image = camera[b] * nearest.shape[1] + frame[b]
    first = first_of_image[image]
    in_mask = first_of_image[image + 1] - first
    if in_mask == 0:
        return
    matrix = projection[camera[b]]
    table = nearest[camera[b], frame[b]]
    targets = np.empty((uniform.shape[1], 2), np.float32)
    for k in range(uniform.shape[1]):
        pick = min(first + np.int64(uniform[b, k] * np.float32(in_mask)), mask_pixels.shape[0] - 1)
        targets[k, 0] = (np.float32(mask_pixels[pick, 0]) + _HALF) / side
        targets[k, 1] = (np.float32(mask_pixels[pick, 1]) + _HALF) / side
    on_sphere = np.empty((parts * each, 3), np.float32)
    surface = np.empty((parts * each, 3), np.float32)
    for p in range(parts):
        for n in range(each):
            i = p * each + n
            x, y, z = direction[p, n, 0], direction[p, n, 1], direction[p, n, 2]
            length = max(np.float32(math.sqrt(x * x + y * y + z * z)), _TINY)
            on_sphere[i, 0] = x / length
            on_sphere[i, 1] = y / length
            on_sphere[i, 2] = z / length
            x = on_sphere[i, 0] * semi_axes[p, 0]
            y = on_sphere[i, 1] * semi_axes[p, 1]
            z = on_sphere[i, 2] * semi_axes[p, 2]
            for axis in range(3):
                turned = rotation[b, p, axis, 0] * x + rotation[b, p, axis, 1] * y
                turned += rotation[b, p, axis, 2] * z
                surface[i, axis] = turned + translation[b, p, axis]
    pixels = np.empty((2, parts * each), np.float32)
    g_pixels = np.empty((2, parts * each), np.float32)
    g_surface = np.empty((parts * each, 3), np.float32)
    of_image[b, 0] = _chamfer(
        surface, matrix, image_side, targets, table, side, dead_zone, pixels, g_pixels, g_surface
    )
    of_image[b, 1] = _chamfer(
        translation[b], matrix, image_side, targets, table, side, _ZERO, pixels, g_pixels, g_center[b]
    )
    share = _ONE / np.float32(images)
    for p in range(parts):
        for axis in range(3):
            g_center[b, p, axis] *= share
        for n in range(each):
            i = p * each + n
            for axis in range(3):
                g = share * g_surface[i, axis]
                g_translation[b, p, axis] += g
                for k in range(3):
                    g_rotation[b, p, axis, k] += g * on_sphere[i, k] * semi_axes[p, k]
                    g_axes[b, p, k] += g * rotation[b, p, axis, k] * on_sphere[i, k]


@kernel
def _losses(rotation, translation, semi_axes, direction, uniform, camera, frame, projection, nearest, mask_pixels,
            first_of_image, image_side, side, dead_zone, of_image, g_rotation, g_translation, g_axes, g_center):  # fmt: skip
    turn = np.zeros(1, np.int64)
    for _ in prange(translation.shape[0]):
        b = claim(turn)
        while b < translation.shape[0]:
            _image_losses(b, rotation, translation, semi_axes, direction, uniform, camera, frame, projection,
                          nearest, mask_pixels, first_of_image, image_side, side, dead_zone, of_image, g_rotation,
                          g_translation, g_axes, g_center)  # fmt: skip
            b = claim(turn)


class _SilhouetteLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rotation, translation, semi_axes, *others):  # type: ignore[override]
        posed = arrays(rotation, translation, semi_axes)
        images, parts = translation.shape[:2]
        sizes = (images, 2), rotation.shape, translation.shape, (images, parts, 3), translation.shape
        of_image, g_rotation, g_translation, g_axes, g_center = (np.zeros(size, np.float32) for size in sizes)
        _losses(*posed, *others, of_image, g_rotation, g_translation, g_axes, g_center)
        ctx.gradients = g_rotation, g_translation, g_axes.sum(0), g_center
        return torch.from_numpy(of_image.mean(0)).unbind()

    @staticmethod
    def backward(ctx, *grads):  # type: ignore[override]
        g_silhouette, g_part_center = (np.float32(g.item()) for g in grads)
        rotation, translation, axes, center = ctx.gradients
        found = (
            g_silhouette * rotation,
            g_silhouette * translation + g_part_center * center,
            g_silhouette * axes,
        )
        return *(torch.from_numpy(g) for g in found), *([None] * 11)


def silhouette_losses(
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    direction: Tensor,
    uniform: Tensor,
    camera: Tensor,
    frame: Tensor,
    projection: Tensor,
    masks: MaskTables,
    dead_zone: float,
) -> SilhouetteLosses:
    """See ``reference.silhouette_losses``: the same result for CPU float32 tensors."""
    tables = masks.nearest, masks.pixels, masks.first_of_image
    others = arrays(direction, uniform, camera, frame, projection, *tables)
    numbers = (np.float32(x) for x in (masks.image_side, masks.side, dead_zone))
    return SilhouetteLosses(*_SilhouetteLosses.apply(rotation, translation, semi_axes, *others, *numbers))


@device
def _is_judged(x, y, z, f, projection, reliable, scale):
    """Whether a world point falls on a reliable pixel of any camera in frame `f`."""
    height, width = reliable.shape[2:]
    found = False
    for camera in range(projection.shape[0]):
        matrix = projection[camera]
        depth = _homogeneous(x, y, z, matrix, 2)
        if depth > _ZERO:
            depth = max(depth, _NEAREST_DEPTH)
            column = math.floor(_homogeneous(x, y, z, matrix, 0) / depth * scale)
            row = math.floor(_homogeneous(x, y, z, matrix, 1) / depth * scale)
            if (0 <= column < width and 0 <= row < height) and reliable[camera, f, row, column]:
                found = True
                break
    return found


@functools.partial(kernel, parallel=False)
def _judge(rotation, translation, semi_axes, margin, direction, uniform, frame, projection, reliable, scale, points,
           unjudged):  # fmt: skip
    """All points (N, 3), image by image, and which of them no camera judges."""
    frames, parts, each = direction.shape[:3]
    i = 0
    for f in range(frames):
        for p in range(parts):
            for n in range(each):
                x, y, z = direction[f, p, n, 0], direction[f, p, n, 1], direction[f, p, n, 2]
                length = max(np.float32(math.sqrt(x * x + y * y + z * z)), _TINY)
                out = uniform[0, f, p, n] ** _THIRD / length
                x *= out * (semi_axes[p, 0] + margin)
                y *= out * (semi_axes[p, 1] + margin)
                z *= out * (semi_axes[p, 2] + margin)
                for axis in range(3):
                    turned = rotation[f, p, axis, 0] * x + rotation[f, p, axis, 1] * y
                    turned += rotation[f, p, axis, 2] * z
                    points[i, axis] = turned + translation[f, p, axis]
                x, y, z = points[i, 0], points[i, 1], points[i, 2]
                unjudged[i] = not _is_judged(x, y, z, frame[f], projection, reliable, scale)
                i += 1


def unjudged_points(
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    margin: float,
    direction: Tensor,
    uniform: Tensor,
    frame: Tensor,
    projection: Tensor,
    masks: MaskTables,
    count: int,
) -> UnjudgedPoints:
    """See ``reference.unjudged_points``: the same result for CPU float32 tensors."""
    tensors = rotation, translation, semi_axes, direction, uniform, frame, projection, masks.reliable
    rotation_, translation_, semi_axes_, *others = arrays(*tensors)
    scale = np.float32(masks.side / masks.image_side)
    ranks = others[1][1].ravel()
    points, unjudged = np.empty((len(ranks), 3), np.float32), np.empty(len(ranks), np.bool_)
    _judge(rotation_, translation_, semi_axes_, np.float32(margin), *others, scale, points, unjudged)
    first = np.argsort(-(ranks + unjudged), kind="stable")[:count]
    pose_ids = (first // direction.shape[1:3].numel()).astype(np.int32)
    return UnjudgedPoints(*(torch.from_numpy(x) for x in (points[first], pose_ids, unjudged[first])))
