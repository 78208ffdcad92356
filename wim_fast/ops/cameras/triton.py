"""Corrected cameras and their rays in Triton: one launch each way for each. No atomic sums: a program has its camera."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wim_fast.ops.cameras import reference
from wim_fast.ops.cameras.reference import CorrectedCameras
from wim_fast.ops.launch import given

CAMERAS = 16  # of a program
PIXELS = 128
WARPS = 4
TERMS = tl.constexpr(reference.TERMS)


@triton.jit
def _turn(numbers, v, is_camera):
    """Rotation vector, its square, a and b of ``1 + a K + b K^2``, and twice their derivatives by the square."""
    x = tl.load(numbers + 9 * v, mask=is_camera, other=0.0)
    y = tl.load(numbers + 9 * v + 1, mask=is_camera, other=0.0)
    z = tl.load(numbers + 9 * v + 2, mask=is_camera, other=0.0)
    squared = x * x + y * y + z * z
    a, b, a_slope, b_slope = 1.0, 1.0, 0.0, 0.0  # series: sine and cosine of any angle would spill
    for i in tl.static_range(TERMS):
        k = TERMS - i
        share = 1.0 / (2 * k * (2 * k + 1))
        a_slope = -share * (a + squared * a_slope)
        a = 1.0 - share * squared * a
        share = 1.0 / ((2 * k + 1) * (2 * k + 2))
        b_slope = -share * (b + squared * b_slope)
        b = 1.0 - share * squared * b
    return x, y, z, squared, a, 0.5 * b, 2.0 * a_slope, b_slope


@triton.jit
def _lens(numbers, v, is_camera):
    """Factor of the focal length, shift of the principal point."""
    zoom = 1.0 + tl.load(numbers + 9 * v + 6, mask=is_camera, other=0.0)
    x = tl.load(numbers + 9 * v + 7, mask=is_camera, other=0.0)
    return zoom, x, tl.load(numbers + 9 * v + 8, mask=is_camera, other=0.0)


@triton.jit
def _three(matrices, place, stride: tl.constexpr, mask):
    x = tl.load(matrices + place, mask=mask, other=0.0)
    y = tl.load(matrices + place + stride, mask=mask, other=0.0)
    return x, y, tl.load(matrices + place + 2 * stride, mask=mask, other=0.0)


@triton.jit(do_not_specialize=["cameras"])
def _correct(
    numbers, K, K_inverse, R, center, new_K, new_inverse, new_R, new_center, cameras, CAMERAS: tl.constexpr
):
    v = tl.program_id(0) * CAMERAS + tl.arange(0, CAMERAS)
    is_camera = v < cameras
    x, y, z, squared, a, b, _, _ = _turn(numbers, v, is_camera)
    sx, sy, sz = _three(numbers, 9 * v + 3, 1, is_camera)
    zoom, px, py = _lens(numbers, v, is_camera)
    same = 1.0 - b * squared
    for i in tl.static_range(3):
        r0, r1, r2 = _three(R, 9 * v + 3 * i, 1, is_camera)
        along = b * (r0 * x + r1 * y + r2 * z)
        tl.store(new_R + 9 * v + 3 * i, same * r0 + along * x + a * (r1 * z - r2 * y), mask=is_camera)
        tl.store(new_R + 9 * v + 3 * i + 1, same * r1 + along * y + a * (r2 * x - r0 * z), mask=is_camera)
        tl.store(new_R + 9 * v + 3 * i + 2, same * r2 + along * z + a * (r0 * y - r1 * x), mask=is_camera)
        moved = tl.load(center + 3 * v + i, mask=is_camera, other=0.0) + r0 * sx + r1 * sy + r2 * sz
        tl.store(new_center + 3 * v + i, moved, mask=is_camera)
        k0, k1, k2 = _three(K, 9 * v + 3 * i, 1, is_camera)
        tl.store(new_K + 9 * v + 3 * i, zoom * k0, mask=is_camera)
        tl.store(new_K + 9 * v + 3 * i + 1, zoom * k1, mask=is_camera)
        tl.store(new_K + 9 * v + 3 * i + 2, px * k0 + py * k1 + k2, mask=is_camera)
        k0, k1, k2 = _three(K_inverse, 9 * v + i, 3, is_camera)
        tl.store(new_inverse + 9 * v + i, (k0 - px * k2) / zoom, mask=is_camera)
        tl.store(new_inverse + 9 * v + 3 + i, (k1 - py * k2) / zoom, mask=is_camera)
        tl.store(new_inverse + 9 * v + 6 + i, k2, mask=is_camera)


@triton.jit(do_not_specialize=["cameras"])
def _correct_backward(
    numbers, K_inverse, R, new_inverse, g_inverse, g_R, g_center, g_numbers, cameras, CAMERAS: tl.constexpr
):
    v = tl.program_id(0) * CAMERAS + tl.arange(0, CAMERAS)
    is_camera = v < cameras
    x, y, z, squared, a, b, a_slope, b_slope = _turn(numbers, v, is_camera)
    zoom, _, _ = _lens(numbers, v, is_camera)
    zero = tl.zeros([CAMERAS], tl.float32)
    trace, ox, oy, oz, mx, my, mz = zero, zero, zero, zero, zero, zero, zero
    gx, gy, gz, g_zoom, g_px, g_py = zero, zero, zero, zero, zero, zero
    for i in tl.static_range(3):
        # of the turn's gradient R^T g: its trace, what of it is odd, and its even part times the vector
        r0, r1, r2 = _three(R, 9 * v + 3 * i, 1, is_camera)
        g0, g1, g2 = _three(g_R, 9 * v + 3 * i, 1, is_camera)
        trace += r0 * g0 + r1 * g1 + r2 * g2
        ox += r2 * g1 - r1 * g2
        oy += r0 * g2 - r2 * g0
        oz += r1 * g0 - r0 * g1
        of_r, of_g = r0 * x + r1 * y + r2 * z, g0 * x + g1 * y + g2 * z
        mx += r0 * of_g + g0 * of_r
        my += r1 * of_g + g1 * of_r
        mz += r2 * of_g + g2 * of_r
        g = tl.load(g_center + 3 * v + i, mask=is_camera, other=0.0)
        gx += r0 * g
        gy += r1 * g
        gz += r2 * g
        g0 = tl.load(g_inverse + 9 * v + i, mask=is_camera, other=0.0)
        g1 = tl.load(g_inverse + 9 * v + 3 + i, mask=is_camera, other=0.0)
        k0, k1, _ = _three(new_inverse, 9 * v + i, 3, is_camera)
        k2 = tl.load(K_inverse + 9 * v + 6 + i, mask=is_camera, other=0.0)
        g_zoom -= (g0 * k0 + g1 * k1) / zoom
        g_px -= g0 * k2 / zoom
        g_py -= g1 * k2 / zoom
    of_a = x * ox + y * oy + z * oz
    of_b = 0.5 * (x * mx + y * my + z * mz) - squared * trace
    slope = of_a * a_slope + of_b * b_slope - 2.0 * b * trace
    tl.store(g_numbers + 9 * v, a * ox + b * mx + slope * x, mask=is_camera)
    tl.store(g_numbers + 9 * v + 1, a * oy + b * my + slope * y, mask=is_camera)
    tl.store(g_numbers + 9 * v + 2, a * oz + b * mz + slope * z, mask=is_camera)
    tl.store(g_numbers + 9 * v + 3, gx, mask=is_camera)
    tl.store(g_numbers + 9 * v + 4, gy, mask=is_camera)
    tl.store(g_numbers + 9 * v + 5, gz, mask=is_camera)
    tl.store(g_numbers + 9 * v + 6, g_zoom, mask=is_camera)
    tl.store(g_numbers + 9 * v + 7, g_px, mask=is_camera)
    tl.store(g_numbers + 9 * v + 8, g_py, mask=is_camera)


class _CorrectedCameras(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *tensors):  # type: ignore[override]
        inputs = [x.detach().contiguous() for x in tensors]
        found = [torch.empty_like(x) for x in inputs[1:]]
        cameras = len(inputs[0])
        _correct[(triton.cdiv(cameras, CAMERAS),)](*inputs, *found, cameras, CAMERAS=CAMERAS, num_warps=1)
        ctx.save_for_backward(inputs[0], *inputs[2:4], found[1])
        ctx.mark_non_differentiable(found[0])
        ctx.set_materialize_grads(False)
        return tuple(found)

    @staticmethod
    def backward(ctx, _, *grads):  # type: ignore[override]
        inputs = ctx.saved_tensors
        g_numbers, cameras = torch.empty_like(inputs[0]), len(inputs[0])
        shapes = (cameras, 3, 3), (cameras, 3, 3), (cameras, 3)
        grads = [given(g, g_numbers, *shape) for g, shape in zip(grads, shapes, strict=True)]
        _correct_backward[(triton.cdiv(cameras, CAMERAS),)](
            *inputs, *grads, g_numbers, cameras, CAMERAS=CAMERAS, num_warps=1
        )
        return g_numbers, *([None] * 4)


def corrected_cameras(
    numbers: Tensor, intrinsics: Tensor, inverse_intrinsics: Tensor, rotation: Tensor, center: Tensor
) -> CorrectedCameras:
    """See ``reference.corrected_cameras``: the same result for float32 tensors on a GPU."""
    return CorrectedCameras(
        *_CorrectedCameras.apply(numbers, intrinsics, inverse_intrinsics, rotation, center)
    )


@triton.jit
def _row(rotation, inverse, v, i):
    """Row i of ``rotation @ inverse`` of a camera, and that of the rotation."""
    r0, r1, r2 = (
        tl.load(rotation + 9 * v + 3 * i),
        tl.load(rotation + 9 * v + 3 * i + 1),
        tl.load(rotation + 9 * v + 3 * i + 2),
    )
    at = inverse + 9 * v
    m0 = r0 * tl.load(at) + r1 * tl.load(at + 3) + r2 * tl.load(at + 6)
    m1 = r0 * tl.load(at + 1) + r1 * tl.load(at + 4) + r2 * tl.load(at + 7)
    return m0, m1, r0 * tl.load(at + 2) + r1 * tl.load(at + 5) + r2 * tl.load(at + 8)


@triton.jit
def _through(rotation, inverse, v, px, py):
    """From a camera's centre to pixels, and how long that is."""
    m0, m1, m2 = _row(rotation, inverse, v, 0)
    x = m0 * px + m1 * py + m2
    m0, m1, m2 = _row(rotation, inverse, v, 1)
    y = m0 * px + m1 * py + m2
    m0, m1, m2 = _row(rotation, inverse, v, 2)
    z = m0 * px + m1 * py + m2
    return x, y, z, tl.sqrt(x * x + y * y + z * z)


@triton.jit(do_not_specialize=["count"])
def _cast(inverse, rotation, center, camera, pixels, origins, directions, count, PIXELS: tl.constexpr):
    image = tl.program_id(0)
    n = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
    is_pixel, row = n < count, image * count + n
    v = tl.load(camera + image)
    px = tl.load(pixels + 2 * row, mask=is_pixel, other=0.0)
    py = tl.load(pixels + 2 * row + 1, mask=is_pixel, other=0.0)
    x, y, z, length = _through(rotation, inverse, v, px, py)
    tl.store(directions + 3 * row, x / length, mask=is_pixel)
    tl.store(directions + 3 * row + 1, y / length, mask=is_pixel)
    tl.store(directions + 3 * row + 2, z / length, mask=is_pixel)
    for k in tl.static_range(3):
        tl.store(origins + 3 * row + k, tl.load(center + 3 * v + k) + 0.0 * px, mask=is_pixel)


@triton.jit
def _store_row(out, matrix, x, y, z):
    """(x, y, z) times the transposed matrix."""
    for j in tl.static_range(3):
        row = x * tl.load(matrix + 3 * j) + y * tl.load(matrix + 3 * j + 1) + z * tl.load(matrix + 3 * j + 2)
        tl.store(out + j, row)


@triton.jit
def _store_column(out, matrix, x, y, z):
    """The transposed matrix times (x, y, z)."""
    for i in tl.static_range(3):
        column = x * tl.load(matrix + i) + y * tl.load(matrix + 3 + i) + z * tl.load(matrix + 6 + i)
        tl.store(out + 3 * i, column)


@triton.jit
def _add_outer(of_x, of_y, of_z, gx, gy, gz, factor):
    return of_x + gx * factor, of_y + gy * factor, of_z + gz * factor


@triton.jit(do_not_specialize=["images", "count"])
def _cast_backward(
    inverse, rotation, camera, pixels, g_origins, g_directions, g_inverse, g_rotation, g_center, images, count,
    PIXELS: tl.constexpr,
):  # fmt: skip
    v = tl.program_id(0)
    zero = tl.zeros([PIXELS], tl.float32)
    ox, oy, oz = zero, zero, zero  # sums over the camera's pixels, each place by itself until the end
    x0, y0, z0, x1, y1, z1, x2, y2, z2 = zero, zero, zero, zero, zero, zero, zero, zero, zero
    for image in range(images):
        if tl.load(camera + image) == v:
            for start in range(0, count, PIXELS):
                n = start + tl.arange(0, PIXELS)
                is_pixel, row = n < count, image * count + n
                px = tl.load(pixels + 2 * row, mask=is_pixel, other=0.0)
                py = tl.load(pixels + 2 * row + 1, mask=is_pixel, other=0.0)
                x, y, z, length = _through(rotation, inverse, v, px, py)
                gx, gy, gz = _three(g_origins, 3 * row, 1, is_pixel)
                ox, oy, oz = ox + gx, oy + gy, oz + gz
                gx, gy, gz = _three(g_directions, 3 * row, 1, is_pixel)
                x, y, z = x / length, y / length, z / length
                along = x * gx + y * gy + z * gz
                gx, gy, gz = (gx - along * x) / length, (gy - along * y) / length, (gz - along * z) / length
                x0, y0, z0 = _add_outer(x0, y0, z0, gx, gy, gz, px)
                x1, y1, z1 = _add_outer(x1, y1, z1, gx, gy, gz, py)
                x2, y2, z2 = x2 + gx, y2 + gy, z2 + gz
    tl.store(g_center + 3 * v, tl.sum(ox))
    tl.store(g_center + 3 * v + 1, tl.sum(oy))
    tl.store(g_center + 3 * v + 2, tl.sum(oz))
    matrix, out = inverse + 9 * v, g_rotation + 9 * v
    _store_row(out, matrix, tl.sum(x0), tl.sum(x1), tl.sum(x2))
    _store_row(out + 3, matrix, tl.sum(y0), tl.sum(y1), tl.sum(y2))
    _store_row(out + 6, matrix, tl.sum(z0), tl.sum(z1), tl.sum(z2))
    matrix, out = rotation + 9 * v, g_inverse + 9 * v
    _store_column(out, matrix, tl.sum(x0), tl.sum(y0), tl.sum(z0))
    _store_column(out + 1, matrix, tl.sum(x1), tl.sum(y1), tl.sum(z1))
    _store_column(out + 2, matrix, tl.sum(x2), tl.sum(y2), tl.sum(z2))


class _CameraRays(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *tensors):  # type: ignore[override]
        inputs = [x.detach().contiguous() for x in tensors]
        inverse, rotation, _, camera, pixels = inputs
        images, count = pixels.shape[:2]
        origins, directions = (pixels.new_empty(images, count, 3) for _ in range(2))
        _cast[(images, triton.cdiv(count, PIXELS))](
            *inputs, origins, directions, count, PIXELS=PIXELS, num_warps=WARPS
        )
        ctx.save_for_backward(inverse, rotation, camera, pixels)
        return origins, directions

    @staticmethod
    def backward(ctx, *grads):  # type: ignore[override]
        inverse, rotation, _, pixels = ctx.saved_tensors
        found = torch.empty_like(inverse), torch.empty_like(rotation), inverse.new_empty(len(inverse), 3)
        _cast_backward[(len(inverse),)](
            *ctx.saved_tensors,
            *(g.contiguous() for g in grads),
            *found,
            *pixels.shape[:2],
            PIXELS=PIXELS,
            num_warps=WARPS,
        )
        return *found, None, None


def camera_rays(
    inverse_intrinsics: Tensor, rotation: Tensor, center: Tensor, camera: Tensor, pixels: Tensor
) -> tuple[Tensor, Tensor]:
    """See ``reference.camera_rays``: the same result for float32 tensors on a GPU."""
    return _CameraRays.apply(inverse_intrinsics, rotation, center, camera, pixels)
