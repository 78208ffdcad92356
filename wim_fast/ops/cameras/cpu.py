"""Corrected cameras and their rays compiled by numba: nine numbers of a few cameras, and three of each ray."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from wim_fast.ops.cameras.reference import TERMS, CorrectedCameras
from wim_fast.ops.compiled import arrays, device, kernel

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)


@device
def _rodrigues(squared):
    """a and b of ``1 + a K + b K^2`` by the angle's square, and twice their derivatives by it: series, see `TERMS`."""
    a, b, a_slope, b_slope = _ONE, _ONE, _ZERO, _ZERO
    for k in range(TERMS, 0, -1):
        share = _ONE / np.float32(2 * k * (2 * k + 1))
        a_slope = -share * (a + squared * a_slope)
        a = _ONE - share * squared * a
        share = _ONE / np.float32((2 * k + 1) * (2 * k + 2))
        b_slope = -share * (b + squared * b_slope)
        b = _ONE - share * squared * b
    return a, b / _TWO, _TWO * a_slope, b_slope


@functools.partial(kernel, parallel=False)
def _correct(numbers, K, K_inverse, R, center, new_K, new_inverse, new_R, new_center):
    turn = np.empty((3, 3), np.float32)
    for v in range(numbers.shape[0]):
        w = numbers[v]
        squared = w[0] * w[0] + w[1] * w[1] + w[2] * w[2]
        a, b, _, _ = _rodrigues(squared)
        for i in range(3):
            for j in range(3):
                turn[i, j] = b * w[i] * w[j]
            turn[i, i] += _ONE - b * squared
        for k in range(3):
            i, j = (k + 1) % 3, (k + 2) % 3
            turn[j, i] += a * w[k]
            turn[i, j] -= a * w[k]
        zoom = _ONE + w[6]
        for i in range(3):
            new_center[v, i] = center[v, i]
            for k in range(3):
                new_center[v, i] += R[v, i, k] * w[3 + k]
                new_R[v, i, k] = R[v, i, 0] * turn[0, k] + R[v, i, 1] * turn[1, k] + R[v, i, 2] * turn[2, k]
            new_K[v, i, 0] = zoom * K[v, i, 0]
            new_K[v, i, 1] = zoom * K[v, i, 1]
            new_K[v, i, 2] = w[7] * K[v, i, 0] + w[8] * K[v, i, 1] + K[v, i, 2]
            new_inverse[v, 0, i] = (K_inverse[v, 0, i] - w[7] * K_inverse[v, 2, i]) / zoom
            new_inverse[v, 1, i] = (K_inverse[v, 1, i] - w[8] * K_inverse[v, 2, i]) / zoom
            new_inverse[v, 2, i] = K_inverse[v, 2, i]


@functools.partial(kernel, parallel=False)
def _correct_backward(numbers, K_inverse, R, new_inverse, g_inverse, g_R, g_center, g_numbers):
    g = np.empty((3, 3), np.float32)  # of the turn
    for v in range(numbers.shape[0]):
        w, out = numbers[v], g_numbers[v]
        for k in range(3):
            out[3 + k] = (
                R[v, 0, k] * g_center[v, 0] + R[v, 1, k] * g_center[v, 1] + R[v, 2, k] * g_center[v, 2]
            )
            for j in range(3):
                g[k, j] = R[v, 0, k] * g_R[v, 0, j] + R[v, 1, k] * g_R[v, 1, j] + R[v, 2, k] * g_R[v, 2, j]
        squared = w[0] * w[0] + w[1] * w[1] + w[2] * w[2]
        a, b, a_slope, b_slope = _rodrigues(squared)
        trace = g[0, 0] + g[1, 1] + g[2, 2]
        of_a = _ZERO
        of_b = -squared * trace
        for k in range(3):
            i, j = (k + 1) % 3, (k + 2) % 3
            of_a += w[k] * (g[j, i] - g[i, j])
            out[k] = a * (g[j, i] - g[i, j]) - _TWO * b * trace * w[k]
            for m in range(3):
                of_b += g[k, m] * w[k] * w[m]
                out[k] += b * (g[k, m] + g[m, k]) * w[m]
        for k in range(3):
            out[k] += (of_a * a_slope + of_b * b_slope) * w[k]
        share = _ONE / (_ONE + w[6])
        out[6] = _ZERO
        out[7] = _ZERO
        out[8] = _ZERO
        for k in range(3):
            out[6] -= share * (
                g_inverse[v, 0, k] * new_inverse[v, 0, k] + g_inverse[v, 1, k] * new_inverse[v, 1, k]
            )
            out[7] -= share * g_inverse[v, 0, k] * K_inverse[v, 2, k]
            out[8] -= share * g_inverse[v, 1, k] * K_inverse[v, 2, k]


class _CorrectedCameras(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *tensors):  # type: ignore[override]
        inputs = arrays(*tensors)
        found = [np.empty_like(x) for x in inputs[1:]]
        _correct(*inputs, *found)
        numbers, _, inverse, rotation, _ = inputs
        ctx.inputs = numbers, inverse, rotation, found[1]
        intrinsics, *others = (torch.from_numpy(x) for x in found)
        ctx.mark_non_differentiable(intrinsics)
        return intrinsics, *others

    @staticmethod
    def backward(ctx, _, *grads):  # type: ignore[override]
        g_numbers = np.empty_like(ctx.inputs[0])
        _correct_backward(*ctx.inputs, *arrays(*grads), g_numbers)
        return torch.from_numpy(g_numbers), *([None] * 4)


def corrected_cameras(
    numbers: Tensor, intrinsics: Tensor, inverse_intrinsics: Tensor, rotation: Tensor, center: Tensor
) -> CorrectedCameras:
    """See ``reference.corrected_cameras``: the same result for CPU float32 tensors."""
    return CorrectedCameras(
        *_CorrectedCameras.apply(numbers, intrinsics, inverse_intrinsics, rotation, center)
    )


@device
def _to_world(R, K_inverse, matrix):
    for i in range(3):
        for j in range(3):
            matrix[i, j] = R[i, 0] * K_inverse[0, j] + R[i, 1] * K_inverse[1, j] + R[i, 2] * K_inverse[2, j]


@functools.partial(kernel, parallel=False)
def _rays(inverse, rotation, center, camera, pixels, origins, directions):
    matrix = np.empty((3, 3), np.float32)
    for b in range(pixels.shape[0]):
        v = camera[b]
        _to_world(rotation[v], inverse[v], matrix)
        for n in range(pixels.shape[1]):
            squared = _ZERO
            for i in range(3):
                directions[b, n, i] = (
                    matrix[i, 0] * pixels[b, n, 0] + matrix[i, 1] * pixels[b, n, 1] + matrix[i, 2]
                )
                squared += directions[b, n, i] * directions[b, n, i]
                origins[b, n, i] = center[v, i]
            length = np.float32(math.sqrt(squared))
            for i in range(3):
                directions[b, n, i] /= length


@functools.partial(kernel, parallel=False)
def _rays_backward(
    inverse, rotation, camera, pixels, directions, g_origins, g_directions, g_inverse, g_rotation, g_center
):
    matrix = np.empty((3, 3), np.float32)
    g = np.empty((3, 3), np.float32)  # of the matrix
    for b in range(pixels.shape[0]):
        v = camera[b]
        _to_world(rotation[v], inverse[v], matrix)
        g[:] = _ZERO
        for n in range(pixels.shape[1]):
            x, y = pixels[b, n, 0], pixels[b, n, 1]
            d = directions[b, n]
            depth = _ZERO  # of the pixel: the direction's length before it was one
            along = _ZERO
            for i in range(3):
                depth += d[i] * (matrix[i, 0] * x + matrix[i, 1] * y + matrix[i, 2])
                along += d[i] * g_directions[b, n, i]
                g_center[v, i] += g_origins[b, n, i]
            for i in range(3):
                across = (g_directions[b, n, i] - along * d[i]) / depth
                g[i, 0] += across * x
                g[i, 1] += across * y
                g[i, 2] += across
        for i in range(3):
            for j in range(3):
                for k in range(3):
                    g_rotation[v, i, j] += g[i, k] * inverse[v, j, k]
                    g_inverse[v, i, j] += rotation[v, k, i] * g[k, j]


class _CameraRays(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *tensors):  # type: ignore[override]
        inputs = arrays(*tensors)
        inverse, rotation, _, camera, pixels = inputs
        origins, directions = (np.empty((*pixels.shape[:2], 3), np.float32) for _ in range(2))
        _rays(*inputs, origins, directions)
        ctx.inputs = inverse, rotation, camera, pixels, directions
        return torch.from_numpy(origins), torch.from_numpy(directions)

    @staticmethod
    def backward(ctx, *grads):  # type: ignore[override]
        inverse, rotation = ctx.inputs[:2]
        found = np.zeros_like(inverse), np.zeros_like(rotation), np.zeros(inverse.shape[:2], np.float32)
        _rays_backward(*ctx.inputs, *arrays(*grads), *found)
        return *(torch.from_numpy(g) for g in found), None, None


def camera_rays(
    inverse_intrinsics: Tensor, rotation: Tensor, center: Tensor, camera: Tensor, pixels: Tensor
) -> tuple[Tensor, Tensor]:
    """See ``reference.camera_rays``: the same result for CPU float32 tensors."""
    return _CameraRays.apply(inverse_intrinsics, rotation, center, camera, pixels)
