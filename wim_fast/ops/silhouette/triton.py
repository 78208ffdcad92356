"""The masks' losses and the points that no camera judges, in Triton: a few launches in place of some two hundred.

A tile of a kernel is some parts with all their points; a part's centre is the last of these, so that both losses take one
way. No sum depends on the order in which blocks run.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wim_fast.ops.articulated.triton import INF, load3, to_part
from wim_fast.ops.silhouette import reference
from wim_fast.ops.silhouette.reference import MaskTables, SilhouetteLosses, UnjudgedPoints

POINTS = 128  # in a tile
TARGETS = 16  # mask pixels in a tile
CHUNK = 64  # points that these are compared with at a time
CANDIDATES = 128  # of the points that no camera judges, in a block
WARPS = 4
NOWHERE = tl.constexpr(reference.NOWHERE)
NEAREST_DEPTH = tl.constexpr(reference.NEAREST_DEPTH)
TINY = tl.constexpr(1e-12)


@triton.jit
def _homogeneous(matrix, row, x, y, z):
    """A row of a matrix (3, 4) times points, and the row's first three numbers."""
    a = tl.load(matrix + 4 * row)
    b = tl.load(matrix + 4 * row + 1)
    c = tl.load(matrix + 4 * row + 2)
    return a * x + b * y + c * z + tl.load(matrix + 4 * row + 3), a, b, c


@triton.jit
def _point(
    rotation, translation, semi_axes, direction, b, parts, each, PARTS: tl.constexpr, EACH: tl.constexpr
):
    """A tile of points: their index, whether they are there and a centre, on the unit sphere, semi-axes, in the world."""
    p = (tl.program_id(1) * PARTS + tl.arange(0, PARTS))[:, None]
    n = tl.arange(0, EACH)[None, :]
    is_point = (p < parts) & (n <= each)
    is_center = n == each
    p = tl.where(p < parts, p, 0)
    at = direction + 3 * (p * each + tl.where(n < each, n, 0))
    on_surface = is_point & (n < each)
    dx = tl.load(at, mask=on_surface, other=0.0)
    dy = tl.load(at + 1, mask=on_surface, other=0.0)
    dz = tl.load(at + 2, mask=on_surface, other=0.0)
    scale = 1.0 / tl.maximum(tl.sqrt(dx * dx + dy * dy + dz * dz), TINY)
    dx, dy, dz = dx * scale, dy * scale, dz * scale
    rx, ry, rz = load3(semi_axes, p)
    row = b * parts + p
    x, y, z = _turned(rotation, row, dx * rx, dy * ry, dz * rz)
    tx, ty, tz = load3(translation, row)
    return p, n, is_point, is_center, dx, dy, dz, rx, ry, rz, x + tx, y + ty, z + tz


@triton.jit
def _turned(rotation, row, x, y, z):
    m = rotation + 9 * row
    return (
        tl.load(m) * x + tl.load(m + 1) * y + tl.load(m + 2) * z,
        tl.load(m + 3) * x + tl.load(m + 4) * y + tl.load(m + 5) * z,
        tl.load(m + 6) * x + tl.load(m + 7) * y + tl.load(m + 8) * z,
    )


@triton.jit
def _seen(projection, camera, image_side, x, y, z):
    """Pixels in units of the longer image side, and the depth as it is."""
    matrix = projection + 12 * camera
    w, _, _, _ = _homogeneous(matrix, 2, x, y, z)
    hu, _, _, _ = _homogeneous(matrix, 0, x, y, z)
    hv, _, _, _ = _homogeneous(matrix, 1, x, y, z)
    depth = tl.maximum(w, NEAREST_DEPTH)
    return hu / depth / image_side, hv / depth / image_side, w


@triton.jit
def _off_mask(u, v, is_point, is_center, nearest, image, height, width, side, dead_zone):
    """From the nearest mask pixel to points, and the squared distance; 0 where it does not count."""
    column = tl.minimum(tl.maximum(u * side, 0.0), width - 1.0).to(tl.int32)
    row = tl.minimum(tl.maximum(v * side, 0.0), height - 1.0).to(tl.int32)
    at = nearest + 2 * ((image * height + row) * width + column)
    x = tl.load(at, mask=is_point, other=0)
    y = tl.load(at + 1, mask=is_point, other=0)
    du = u - (x.to(tl.float32) + 0.5) / side
    dv = v - (y.to(tl.float32) + 0.5) / side
    squared = du * du + dv * dv
    limit = tl.where(is_center, 0.0, dead_zone * dead_zone)
    counts = is_point & (x != NOWHERE) & (squared > limit)
    return tl.where(counts, du, 0.0), tl.where(counts, dv, 0.0), tl.where(counts, squared, 0.0)


@triton.jit
def _image(camera, frame, first_of_image, b, frames):
    """The image's camera and number, and where its mask's pixels are."""
    c = tl.load(camera + b)
    image = c * frames + tl.load(frame + b)
    first = tl.load(first_of_image + image)
    return c, image, first, tl.load(first_of_image + image + 1) - first


@triton.jit(do_not_specialize=["images", "parts", "each", "frames", "height", "width", "row_length"])
def _to_mask(
    rotation, translation, semi_axes, direction, camera, frame, projection, nearest, first_of_image, pixels, shares,
    image_side, side, dead_zone, images, parts, each, frames, height, width, row_length, PARTS: tl.constexpr,
    EACH: tl.constexpr,
):  # fmt: skip
    """Every point's pixel, and this tile's share of both losses in the direction from points to the mask."""
    b = tl.program_id(0)
    c, image, _, in_mask = _image(camera, frame, first_of_image, b, frames)
    p, n, is_point, is_center, _, _, _, _, _, _, x, y, z = _point(
        rotation, translation, semi_axes, direction, b, parts, each, PARTS, EACH
    )
    u, v, _ = _seen(projection, c, image_side, x, y, z)
    at = pixels + 2 * ((b * parts + p) * (each + 1) + n)
    tl.store(at, u, mask=is_point)
    tl.store(at + 1, v, mask=is_point)
    _, _, squared = _off_mask(u, v, is_point, is_center, nearest, image, height, width, side, dead_zone)
    share = tl.where(in_mask > 0, 1.0, 0.0) / (images * parts)
    place = shares + b * row_length + tl.program_id(1)
    tl.store(place, share / each * tl.sum(tl.where(is_center, 0.0, squared)))
    tl.store(place + images * row_length, share * tl.sum(tl.where(is_center, squared, 0.0)))


@triton.jit(
    do_not_specialize=[
        "images",
        "parts",
        "each",
        "frames",
        "num_targets",
        "num_mask_pixels",
        "row_length",
        "first_place",
    ]
)
def _to_points(
    uniform, camera, frame, mask_pixels, first_of_image, pixels, targets, best, shares, side, dead_zone, images, parts, each,
    frames, num_targets, num_mask_pixels, row_length, first_place, TARGETS: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """The nearest surface point and centre of some pixels of the mask, -1 where it does not count; their share of the losses."""
    b = tl.program_id(0)
    k = tl.program_id(1) * TARGETS + tl.arange(0, TARGETS)
    is_target = k < num_targets
    _, _, first, in_mask = _image(camera, frame, first_of_image, b, frames)
    drawn = (tl.load(uniform + b * num_targets + k, mask=is_target, other=0.0) * in_mask.to(tl.float32)).to(
        tl.int64
    )
    pick = tl.minimum(first + drawn, num_mask_pixels - 1)
    is_target = k < num_targets * tl.minimum(in_mask, 1)  # an empty mask has none
    u = (tl.load(mask_pixels + 2 * pick, mask=is_target, other=0).to(tl.float32) + 0.5) / side
    v = (tl.load(mask_pixels + 2 * pick + 1, mask=is_target, other=0).to(tl.float32) + 0.5) / side
    at = b * num_targets + k
    tl.store(targets + 2 * at, u, mask=k < num_targets)
    tl.store(targets + 2 * at + 1, v, mask=k < num_targets)
    least = tl.full([TARGETS], INF, tl.float32)  # to the surface
    least_center = tl.full([TARGETS], INF, tl.float32)
    nearest = tl.zeros([TARGETS], tl.int32)
    nearest_center = tl.zeros([TARGETS], tl.int32)
    count = parts * (each + 1)
    for start in range(0, count, CHUNK):
        i = start + tl.arange(0, CHUNK)
        is_point = i < count
        is_center = i % (each + 1) == each
        pu = tl.load(pixels + 2 * (b * count + i), mask=is_point, other=0.0)
        pv = tl.load(pixels + 2 * (b * count + i) + 1, mask=is_point, other=0.0)
        du = pu[None, :] - u[:, None]
        dv = pv[None, :] - v[:, None]
        squared = du * du + dv * dv
        on_surface = tl.where((is_point & (is_center == 0))[None, :], squared, INF)
        at_center = tl.where((is_point & is_center)[None, :], squared, INF)
        low, where = tl.min(on_surface, axis=1, return_indices=True)
        nearest = tl.where(low < least, start + where, nearest)
        least = tl.minimum(low, least)
        low, where = tl.min(at_center, axis=1, return_indices=True)
        nearest_center = tl.where(low < least_center, start + where, nearest_center)
        least_center = tl.minimum(low, least_center)
    counts = is_target & (least > dead_zone * dead_zone)
    counts_center = is_target & (least_center > 0.0)
    tl.store(best + at, tl.where(counts, nearest, -1), mask=k < num_targets)
    tl.store(
        best + images * num_targets + at, tl.where(counts_center, nearest_center, -1), mask=k < num_targets
    )
    place = shares + b * row_length + first_place + tl.program_id(1)
    tl.store(place, tl.sum(tl.where(counts, least, 0.0)) / (images * num_targets))
    tl.store(
        place + images * row_length,
        tl.sum(tl.where(counts_center, least_center, 0.0)) / (images * num_targets),
    )


@triton.jit
def _drawn_to(targets, best, b, images, num_targets, index, is_center, u, v, PARTS: tl.constexpr, EACH: tl.constexpr,
              TARGETS: tl.constexpr):  # fmt: skip
    """Sum of the differences (PARTS, EACH) of points to the mask pixels that they are nearest to."""
    gu = tl.zeros([PARTS, EACH], tl.float32)
    gv = tl.zeros([PARTS, EACH], tl.float32)
    for start in range(0, num_targets, TARGETS):
        k = start + tl.arange(0, TARGETS)
        at = b * num_targets + k
        tu = tl.load(targets + 2 * at, mask=k < num_targets, other=0.0)
        tv = tl.load(targets + 2 * at + 1, mask=k < num_targets, other=0.0)
        surface = tl.load(best + at, mask=k < num_targets, other=-1)
        center = tl.load(best + images * num_targets + at, mask=k < num_targets, other=-1)
        chosen = tl.where(is_center[:, :, None], center[None, None, :], surface[None, None, :])
        mine = chosen == index[:, :, None]
        gu += tl.sum(tl.where(mine, u[:, :, None] - tu[None, None, :], 0.0), axis=2)
        gv += tl.sum(tl.where(mine, v[:, :, None] - tv[None, None, :], 0.0), axis=2)
    return gu, gv


@triton.jit(do_not_specialize=["images", "parts", "each", "frames", "height", "width", "num_targets"])
def _backward(
    rotation, translation, semi_axes, direction, camera, frame, projection, nearest, first_of_image, targets, best,
    g_silhouette, g_center, g_rotation, g_translation, g_axes, image_side, side, dead_zone, images, parts, each, frames,
    height, width, num_targets, PARTS: tl.constexpr, EACH: tl.constexpr, TARGETS: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0)
    c, image, _, in_mask = _image(camera, frame, first_of_image, b, frames)
    p, n, is_point, is_center, dx, dy, dz, rx, ry, rz, x, y, z = _point(
        rotation, translation, semi_axes, direction, b, parts, each, PARTS, EACH
    )
    is_center = is_center & is_point
    u, v, w = _seen(projection, c, image_side, x, y, z)
    du, dv, _ = _off_mask(u, v, is_point, is_center, nearest, image, height, width, side, dead_zone)
    index = tl.where(is_point, p * (each + 1) + n, -2)
    tu, tv = _drawn_to(targets, best, b, images, num_targets, index, is_center, u, v, PARTS, EACH, TARGETS)
    outer = 2.0 * tl.where(is_center, tl.load(g_center), tl.load(g_silhouette))
    outer = tl.where(is_point & (in_mask > 0), outer / images, 0.0)
    share = outer / tl.where(is_center, parts, parts * each)
    inverse = 1.0 / tl.maximum(w, NEAREST_DEPTH)
    gu = (share * du + outer / num_targets * tu) * inverse
    gv = (share * dv + outer / num_targets * tv) * inverse
    g_depth = tl.where(w >= NEAREST_DEPTH, gu * u + gv * v, 0.0)
    matrix = projection + 12 * c
    _, ux, uy, uz = _homogeneous(matrix, 0, 0.0, 0.0, 0.0)
    _, vx, vy, vz = _homogeneous(matrix, 1, 0.0, 0.0, 0.0)
    _, wx, wy, wz = _homogeneous(matrix, 2, 0.0, 0.0, 0.0)
    gx = (gu * ux + gv * vx) / image_side - g_depth * wx
    gy = (gu * uy + gv * vy) / image_side - g_depth * wy
    gz = (gu * uz + gv * vz) / image_side - g_depth * wz
    part = tl.program_id(1) * PARTS + tl.arange(0, PARTS)
    is_part = part < parts
    row = b * parts + part
    x, y, z = dx * rx, dy * ry, dz * rz
    _store_sums(g_rotation + 9 * row, gx * x, gx * y, gx * z, is_part)
    _store_sums(g_rotation + 9 * row + 3, gy * x, gy * y, gy * z, is_part)
    _store_sums(g_rotation + 9 * row + 6, gz * x, gz * y, gz * z, is_part)
    _store_sums(g_translation + 3 * row, gx, gy, gz, is_part)
    lx, ly, lz = to_part(gx, gy, gz, rotation, b * parts + p)
    _store_sums(g_axes + 3 * row, lx * dx, ly * dy, lz * dz, is_part)


@triton.jit
def _store_sums(at, x, y, z, is_part):
    """Three numbers in a row for each part, sums over its points."""
    tl.store(at, tl.sum(x, axis=1), mask=is_part)
    tl.store(at + 1, tl.sum(y, axis=1), mask=is_part)
    tl.store(at + 2, tl.sum(z, axis=1), mask=is_part)


class _SilhouetteLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, rotation, translation, semi_axes, direction, uniform, camera, frame, projection, masks, dead_zone
    ):  # type: ignore[override]
        posed = [x.detach().contiguous() for x in (rotation, translation, semi_axes, direction)]
        uniform, *images = (x.contiguous() for x in (uniform, camera, frame, projection))
        (num_images, parts), each, num_targets = translation.shape[:2], direction.shape[1], uniform.shape[1]
        frames, height, width = masks.nearest.shape[1:4]
        points = triton.next_power_of_2(each + 1)
        tile = max(1, POINTS // points)
        part_blocks, target_blocks = triton.cdiv(parts, tile), triton.cdiv(num_targets, TARGETS)
        length = part_blocks + target_blocks
        pixels = translation.new_empty(num_images, parts, each + 1, 2)
        targets = translation.new_empty(num_images, num_targets, 2)
        best = translation.new_empty(2, num_images, num_targets, dtype=torch.int32)
        shares = translation.new_empty(2, num_images * length)
        tables = masks.nearest, masks.first_of_image
        _to_mask[(num_images, part_blocks)](
            *posed, *images, *tables, pixels, shares, masks.image_side, masks.side, dead_zone, num_images, parts, each, frames,
            height, width, length, PARTS=tile, EACH=points, num_warps=WARPS,
        )  # fmt: skip
        _to_points[(num_images, target_blocks)](
            uniform, *images[:2], masks.pixels, masks.first_of_image, pixels, targets, best, shares, masks.side, dead_zone,
            num_images, parts, each, frames, num_targets, len(masks.pixels), length, part_blocks, TARGETS=TARGETS, CHUNK=CHUNK,
            num_warps=WARPS,
        )  # fmt: skip
        ctx.save_for_backward(*posed, *images, *tables, targets, best)
        ctx.numbers = (
            masks.image_side,
            masks.side,
            dead_zone,
            num_images,
            parts,
            each,
            frames,
            height,
            width,
            num_targets,
        )
        ctx.grid, ctx.tile = (num_images, part_blocks), {"PARTS": tile, "EACH": points}
        return tuple(shares.sum(1).unbind())

    @staticmethod
    def backward(ctx, g_silhouette, g_center):  # type: ignore[override]
        saved = ctx.saved_tensors
        rotation, translation = saved[:2]
        grads = torch.empty_like(rotation), torch.empty_like(translation), torch.empty_like(translation)
        _backward[ctx.grid](
            *saved, g_silhouette.contiguous(), g_center.contiguous(), *grads, *ctx.numbers, **ctx.tile,
            TARGETS=TARGETS // 2, num_warps=WARPS,  # more of them spill with Triton 3.3.1
        )  # fmt: skip
        return grads[0], grads[1], grads[2].sum(0), *([None] * 7)


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
    """See ``reference.silhouette_losses``: the same result for float32 tensors on a GPU, in three launches and two back."""
    return SilhouetteLosses(
        *_SilhouetteLosses.apply(
            rotation, translation, semi_axes, direction, uniform, camera, frame, projection, masks, dead_zone
        )
    )


@triton.jit(do_not_specialize=["count", "parts", "each", "cameras", "frames", "height", "width"])
def _candidates(
    rotation, translation, semi_axes, direction, uniform, frame, projection, reliable, world, rank, margin, scale, count,
    parts, each, cameras, frames, height, width, BLOCK: tl.constexpr,
):  # fmt: skip
    """Candidates in the world, and who goes first: those that no camera judges have 1 more than their random number."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_one = i < count
    i = tl.where(is_one, i, 0)
    row = i // each  # the pose and the part
    dx, dy, dz = load3(direction, i)
    out = tl.load(uniform + i)
    out = tl.where(out > 0.0, tl.exp(tl.log(tl.maximum(out, 1e-30)) / 3.0), 0.0)
    out /= tl.maximum(tl.sqrt(dx * dx + dy * dy + dz * dz), TINY)
    rx, ry, rz = load3(semi_axes, row % parts)
    x, y, z = _turned(
        rotation, row, out * dx * (rx + margin), out * dy * (ry + margin), out * dz * (rz + margin)
    )
    tx, ty, tz = load3(translation, row)
    x, y, z = x + tx, y + ty, z + tz
    tl.store(world + 3 * i, x, mask=is_one)
    tl.store(world + 3 * i + 1, y, mask=is_one)
    tl.store(world + 3 * i + 2, z, mask=is_one)
    f = tl.load(frame + row // parts)
    judged = tl.zeros([BLOCK], tl.int32)
    for c in range(cameras):
        hu, _, _, _ = _homogeneous(projection + 12 * c, 0, x, y, z)
        hv, _, _, _ = _homogeneous(projection + 12 * c, 1, x, y, z)
        w, _, _, _ = _homogeneous(projection + 12 * c, 2, x, y, z)
        depth = tl.maximum(w, NEAREST_DEPTH)
        u = tl.floor(hu / depth * scale)
        v = tl.floor(hv / depth * scale)
        inside = is_one & (w > 0.0) & (u >= 0.0) & (v >= 0.0) & (u < width) & (v < height)
        at = ((c * frames + f) * height + tl.where(inside, v, 0.0).to(tl.int32)) * width
        found = tl.load(reliable + at + tl.where(inside, u, 0.0).to(tl.int32), mask=inside, other=0)
        judged = tl.maximum(judged, found.to(tl.int32))
    tl.store(rank + i, tl.load(uniform + count + i) + (1.0 - judged.to(tl.float32)), mask=is_one)


@torch.no_grad()
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
    """See ``reference.unjudged_points``: the same result for float32 tensors on a GPU."""
    poses, parts, each = uniform.shape[1:]
    cameras, frames, height, width = masks.reliable.shape
    total = poses * parts * each
    inputs = [
        x.contiguous() for x in (rotation, translation, semi_axes, direction, uniform, frame, projection)
    ]
    world, rank = rotation.new_empty(total, 3), rotation.new_empty(total)
    _candidates[(triton.cdiv(total, CANDIDATES),)](
        *inputs, masks.reliable.view(torch.uint8), world, rank, margin, masks.side / masks.image_side, total, parts, each,
        cameras, frames, height, width, BLOCK=CANDIDATES, num_warps=WARPS,
    )  # fmt: skip
    found, pick = rank.topk(count)
    pose_ids = torch.floor_divide(pick, parts * each, out=pick.new_empty(count, dtype=torch.int32))
    return UnjudgedPoints(world[pick], pose_ids, found >= 1)
