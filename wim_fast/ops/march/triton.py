"""Ray marching in Triton: one warp per ray, its lanes are consecutive steps; parts are culled by true bounds."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wim_fast.ops.articulated import reference as articulated_reference
from wim_fast.ops.articulated.triton import INF, SLOTS, load3, local_coordinates, to_part
from wim_fast.ops.ellipsoid.triton import any_of, distance_bounds, inflated_semi_axes, newton_ellipsoid
from wim_fast.ops.launch import device_scalar
from wim_fast.ops.march import reference
from wim_fast.ops.march.reference import Samples

STEPS = 32  # of a ray at a time
MOST_PARTS = 64  # at a time; the registers of twice as many spill
WARPS = 1
PACK_BLOCK = 256  # samples
PACK_WARPS = 4
MAX_SAMPLES_PER_RAY = tl.constexpr(reference.MAX_SAMPLES_PER_RAY)
FAR = tl.constexpr(1e4)  # farther than anything is, world units
CUTOFF_NATS = tl.constexpr(articulated_reference.CUTOFF_NATS)


@triton.jit
def _interval(
    ox,
    oy,
    oz,
    dx,
    dy,
    dz,
    rotation,
    translation,
    semi_axes,
    row,
    start,
    num_parts,
    reach,
    PARTS: tl.constexpr,
):
    """Where the ray first enters and last leaves the inflated ellipsoids of the parts from `start` on: they are the lanes."""
    p = start + tl.arange(0, PARTS)
    is_part = p < num_parts
    p = tl.where(is_part, p, 0)
    x, y, z = local_coordinates(ox, oy, oz, rotation, translation, row + p)
    ux, uy, uz = to_part(dx, dy, dz, rotation, row + p)
    rx, ry, rz = load3(semi_axes, p)
    rx, ry, rz = inflated_semi_axes(rx, ry, rz, reach)
    # from the ray's point next to the centre: rounding does not grow with the distance of the camera
    middle = -(x * ux + y * uy + z * uz)
    x, y, z = (x + middle * ux) / rx, (y + middle * uy) / ry, (z + middle * uz) / rz
    ux, uy, uz = ux / rx, uy / ry, uz / rz
    qa = ux * ux + uy * uy + uz * uz
    qb = ux * x + uy * y + uz * z
    disc = qb * qb - qa * (x * x + y * y + z * z - 1.0)
    meets = is_part & (disc > 0.0)
    root = tl.sqrt(tl.maximum(disc, 0.0))
    near = tl.min(tl.where(meets, middle - (qb + root) / qa, INF))
    far = tl.max(tl.where(meets, middle - (qb - root) / qa, -INF))
    return near, far


@triton.jit
def _passes_by(ox, oy, oz, dx, dy, dz, tx, ty, tz, radius):
    """Whether the ray's line keeps farther than `radius` from the point t."""
    ax = ox - tx
    ay = oy - ty
    az = oz - tz
    along = ax * dx + ay * dy + az * dz
    return ax * ax + ay * ay + az * az - along * along > radius * radius


@triton.jit(do_not_specialize=["num_parts"])
def _march(
    origins, directions, pose_ids, rotation, translation, semi_axes, union_sharpness, jitter, band_pointer,
    step_pointer, out, counts, num_parts, PARTS: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    ray = tl.program_id(0)
    ox, oy, oz = load3(origins, ray)
    dx, dy, dz = load3(directions, ray)
    row = tl.load(pose_ids + ray).to(tl.int32) * num_parts
    b = tl.load(union_sharpness)
    shift = tl.load(jitter + ray)
    band = tl.load(band_pointer)
    step = tl.load(step_pointer)
    cut = CUTOFF_NATS / b
    # as `union_reach`: how near the nearest part is where the union is in the band
    reach = band + tl.log(tl.minimum(num_parts, SLOTS).to(tl.float32)) / b
    near, far = INF, -INF
    for start in range(0, num_parts, PARTS):
        enters, leaves = _interval(
            ox, oy, oz, dx, dy, dz, rotation, translation, semi_axes, row, start, num_parts, reach, PARTS
        )
        near, far = tl.minimum(near, enters), tl.maximum(far, leaves)

    meets = far > 0.0
    k = tl.ceil(tl.where(meets, tl.maximum(near, 0.0), 0.0) / step - shift).to(tl.int32)
    last = tl.where(meets, tl.floor(tl.where(meets, far, 0.0) / step - shift).to(tl.int32), k - 1)
    lane = tl.arange(0, STEPS)
    count = 0
    while (k <= last) & (count < MAX_SAMPLES_PER_RAY):
        t = ((k + lane).to(tl.float32) + shift) * step
        px = ox + t * dx
        py = oy + t * dy
        pz = oz + t * dz
        floor = tl.full([STEPS], INF, tl.float32)  # the nearest part is not nearer than this
        limit = tl.full([STEPS], INF, tl.float32)  # and not farther than this
        for p in range(num_parts):
            rx, ry, rz = load3(semi_axes, p)
            tx, ty, tz = load3(translation, row + p)
            radius = tl.maximum(rx, tl.maximum(ry, rz)) + reach + cut
            if not _passes_by(ox, oy, oz, dx, dy, dz, tx, ty, tz, radius):
                x, y, z = to_part(px - tx, py - ty, pz - tz, rotation, row + p)
                lower, upper = distance_bounds(x, y, z, rx, ry, rz)
                floor = tl.minimum(floor, lower)
                limit = tl.minimum(limit, upper)
        open_ = (floor <= reach) & (k + lane <= last)
        if any_of(open_):
            nearest = tl.full([STEPS], FAR, tl.float32)
            total = tl.zeros([STEPS], tl.float32)  # sum of exp(-b (sdf - nearest))
            found = tl.zeros([STEPS], tl.int32)
            for p in range(num_parts):
                rx, ry, rz = load3(semi_axes, p)
                tx, ty, tz = load3(translation, row + p)
                radius = tl.maximum(rx, tl.maximum(ry, rz)) + reach + cut
                if not _passes_by(ox, oy, oz, dx, dy, dz, tx, ty, tz, radius):
                    x, y, z = to_part(px - tx, py - ty, pz - tz, rotation, row + p)
                    lower, _ = distance_bounds(x, y, z, rx, ry, rz)
                    wanted = open_ & (lower <= limit + cut)
                    if any_of(wanted):
                        sdf, _ = newton_ellipsoid(x, y, z, rx, ry, rz, wanted)
                        limit = tl.where(wanted, tl.minimum(limit, sdf), limit)
                        wanted = wanted & (sdf <= limit + cut)
                        nearer = tl.where(wanted, tl.minimum(nearest, sdf), nearest)
                        total *= tl.exp(-b * (nearest - nearer))
                        total += tl.where(wanted, tl.exp(-b * tl.maximum(sdf - nearer, 0.0)), 0.0)
                        nearest = nearer
                        found += wanted.to(tl.int32)
            union = nearest - tl.log(tl.maximum(total, 1.0)) / b
            # beyond MAX_CANDIDATES the union here is below the one that is decoded
            deep = open_ & (tl.where(found <= SLOTS, union, nearest) < -band)
            first_deep = tl.min(tl.where(deep, lane, STEPS))
            keep = (open_ & (union <= band) & (lane <= first_deep)).to(tl.int32)
            slot = count + tl.cumsum(keep, axis=0) - keep
            tl.store(
                out + ray * MAX_SAMPLES_PER_RAY + slot, t, mask=(keep > 0) & (slot < MAX_SAMPLES_PER_RAY)
            )
            count += tl.sum(keep)
            last = tl.where(first_deep < STEPS, k, last)  # what lies behind is hidden
        # how far the next part is from the last lane, at least: that much is empty
        clear = tl.max(tl.where(lane == STEPS - 1, tl.minimum(floor, FAR), -FAR)) - reach
        k += STEPS + tl.maximum(clear / step, 0.0).to(tl.int32)
    tl.store(counts + ray, tl.minimum(count, MAX_SAMPLES_PER_RAY))


@triton.jit(do_not_specialize=["num_rays", "capacity"])
def _pack(buffer, offsets, t, ray_ids, num_rays, capacity, HALVINGS: tl.constexpr, BLOCK: tl.constexpr):
    """Each row finds its ray in `offsets` (R + 1,) by bisection; rows behind the last ray's samples are padding."""
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    low = tl.zeros([BLOCK], tl.int32)  # the ray is in [low, high)
    high = tl.zeros([BLOCK], tl.int32) + num_rays
    for _ in range(HALVINGS):
        middle = (low + high) // 2
        is_behind = tl.load(offsets + middle) <= row
        low = tl.where(is_behind, middle, low)
        high = tl.where(is_behind, high, middle)
    real = row < tl.minimum(tl.load(offsets + num_rays), capacity)
    rank = row - tl.load(offsets + low).to(tl.int32)
    sample = tl.load(buffer + low * MAX_SAMPLES_PER_RAY + rank, mask=real, other=0.0)
    tl.store(t + row, sample, mask=row < capacity)
    tl.store(ray_ids + row, tl.where(real, low, -1).to(tl.int64), mask=row < capacity)


def march(
    origins: Tensor,
    directions: Tensor,
    pose_ids: Tensor,
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    union_sharpness: Tensor,
    weight_sharpness: Tensor,
    jitter: Tensor,
    band: float | Tensor,
    step: float | Tensor,
    capacity: int | None = None,
) -> Samples:
    """See ``reference.march``: the same samples for float32 tensors on a GPU. `capacity` has to be given: nothing here waits
    to learn how many samples there are.
    """
    if capacity is None:
        raise ValueError("marching on a GPU needs a capacity: how many samples to return at most")
    num_rays, num_parts = len(origins), len(semi_axes)
    inputs = [
        x.detach().contiguous()
        for x in (origins, directions, pose_ids, rotation, translation, semi_axes, union_sharpness, jitter)
    ]
    scalars = [device_scalar(x, origins.device) for x in (band, step)]
    buffer = origins.new_empty(num_rays, reference.MAX_SAMPLES_PER_RAY)
    offsets = origins.new_zeros(num_rays + 1, dtype=torch.int64)
    if num_rays:
        counts = origins.new_empty(num_rays, dtype=torch.int32)
        _march[(num_rays,)](
            *inputs, *scalars, buffer, counts, num_parts,
            PARTS=min(triton.next_power_of_2(max(num_parts, 32)), MOST_PARTS), STEPS=STEPS, num_warps=WARPS,
        )  # fmt: skip
        torch.cumsum(counts, 0, out=offsets[1:])
    t, ray_ids = origins.new_empty(capacity), origins.new_empty(capacity, dtype=torch.int64)
    if capacity:
        _pack[(triton.cdiv(capacity, PACK_BLOCK),)](
            buffer, offsets, t, ray_ids, num_rays, capacity,
            HALVINGS=num_rays.bit_length(), BLOCK=PACK_BLOCK, num_warps=PACK_WARPS,
        )  # fmt: skip
    kept = offsets.clamp_max(capacity)
    return Samples(t, ray_ids, kept, offsets[-1] - kept[-1])
