"""Occupancy grids in Triton: a program for each block of cells, all poses in one launch, written as nerfacc reads them."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wim_fast.ops.articulated.triton import INF, load3, local_coordinates
from wim_fast.ops.launch import device_scalar
from wim_fast.ops.occupancy import reference
from wim_fast.ops.occupancy.reference import RESOLUTION, occupancy_boxes

BLOCK = 256  # cells
WARPS = 4
ROUNDING = tl.constexpr(reference.ROUNDING)


@triton.jit(do_not_specialize=["num_parts"])
def _occupied(
    rotation, translation, semi_axes, union_sharpness, reach_pointer, boxes, out, num_parts,
    RESOLUTION: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    pose = tl.program_id(1)
    cell = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    lx, ly, lz = load3(boxes, 2 * pose)
    hx, hy, hz = load3(boxes, 2 * pose + 1)
    sx = (hx - lx) / RESOLUTION
    sy = (hy - ly) / RESOLUTION
    sz = (hz - lz) / RESOLUTION
    px = lx + sx * ((cell // (RESOLUTION * RESOLUTION)).to(tl.float32) + 0.5)
    py = ly + sy * ((cell // RESOLUTION % RESOLUTION).to(tl.float32) + 0.5)
    pz = lz + sz * ((cell % RESOLUTION).to(tl.float32) + 0.5)
    b = tl.load(union_sharpness)
    nearest = tl.full([BLOCK], INF, tl.float32)  # lower bound of the distances so far
    total = tl.zeros([BLOCK], tl.float32)  # sum of exp(-b (bound - nearest))
    for p in range(num_parts):
        x, y, z = local_coordinates(px, py, pz, rotation, translation, pose * num_parts + p)
        rx, ry, rz = load3(semi_axes, p)
        bound = tl.sqrt(x * x + y * y + z * z) - tl.maximum(rx, tl.maximum(ry, rz))
        x, y, z = x / rx, y / ry, z / rz
        scaled = tl.sqrt(x * x + y * y + z * z)
        x, y, z = x / rx, y / ry, z / rz
        steep = tl.sqrt(x * x + y * y + z * z)
        plane = scaled * (scaled - 1.0) / tl.maximum(steep, 1e-6)
        bound = tl.where(scaled > 1.0, tl.maximum(bound, plane), bound)
        nearer = tl.minimum(nearest, bound)
        total = total * tl.exp(-b * (nearest - nearer)) + tl.exp(-b * (bound - nearer))
        nearest = nearer
    limit = tl.load(reach_pointer) + 0.5 * tl.sqrt(sx * sx + sy * sy + sz * sz) + ROUNDING
    cells = RESOLUTION * RESOLUTION * RESOLUTION
    tl.store(out + pose * cells + cell, nearest - tl.log(total) / b <= limit, mask=cell < cells)


def occupancy_grids(
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    union_sharpness: Tensor,
    reach: float | Tensor,
    resolution: int = RESOLUTION,
) -> tuple[Tensor, Tensor]:
    """See ``reference.occupancy_grids``: the same for float32 tensors on a GPU, but for single cells that rounding decides."""
    with torch.no_grad():
        boxes = occupancy_boxes(translation, semi_axes, union_sharpness, reach)
        inputs = [x.detach().contiguous() for x in (rotation, translation, semi_axes, union_sharpness)]
        cells = boxes.new_empty(len(boxes), *3 * [resolution], dtype=torch.bool)
        grid = triton.cdiv(resolution**3, BLOCK), len(boxes)
        _occupied[grid](
            *inputs, device_scalar(reach, boxes.device), boxes, cells, len(semi_axes),
            RESOLUTION=resolution, BLOCK=BLOCK, num_warps=WARPS,
        )  # fmt: skip
        return cells, boxes
