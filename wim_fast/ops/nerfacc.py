"""nerfacc (0.5.3) behind our signatures: marching through occupancy grids of the posed ellipsoids, and compositing.

Each pose of the batch has its own grid and each ray sees one of them. nerfacc takes the intersections of rays and grids
as arguments, so one traversal serves all poses: a ray hits the grid of its own pose and no other.

The traversal and the packed rendering run on CUDA only. The sizes of what they return depend on the data, so the host
waits for the device; Triton's march does not wait.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from wim_fast.errors import UserError
from wim_fast.ops.composite.reference import Composited
from wim_fast.ops.march.reference import MAX_SAMPLES_PER_RAY, Samples

INSTALL = "pip install nerfacc==0.5.3"


def nerfacc() -> Any:
    """The module `nerfacc`; a UserError that says how to install it where it cannot be imported."""
    try:
        import nerfacc
    except ImportError as error:
        raise UserError("nerfacc", f"nerfacc is not installed ({error})", INSTALL) from error
    return nerfacc


def grid_intersections(
    origins: Tensor, directions: Tensor, pose_ids: Tensor, aabbs: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Where rays are in the box of their own pose, as nerfacc's ``traverse_grids`` takes it.

    Returns:
        t_sorted (R, 2 F) and t_indices (R, 2 F) int64: entry and exit of the ray's own grid (indices g and F + g), then
        empty intervals at infinity. hits (R, F) bool: true only for the ray's own grid, if it meets it.
    """
    num_grids = len(aabbs)
    own = pose_ids.long()
    safe = torch.where(directions.abs() < 1e-12, 1e-12, directions)
    first, second = ((aabbs[own][:, 3 * k : 3 * k + 3] - origins) / safe for k in range(2))
    near = torch.minimum(first, second).amax(-1).clamp_min(0)
    far = torch.maximum(first, second).amin(-1)
    hit = far > near
    t_sorted = torch.full((len(origins), 2 * num_grids), torch.inf, device=origins.device)
    t_sorted[:, 0] = torch.where(hit, near, torch.inf)
    t_sorted[:, 1] = torch.where(hit, far, torch.inf)
    t_indices = own[:, None].repeat(1, 2 * num_grids)
    t_indices[:, 1] += num_grids
    hits = hit[:, None] & (torch.arange(num_grids, device=own.device) == own[:, None])
    return t_sorted, t_indices, hits


def keep_visible(
    union: Tensor, ray_ids: Tensor, num_rays: int, band: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Which of N samples, in order along their rays, ``march`` keeps, (N,) bool, and the offsets (R + 1,) of those kept."""
    deep = (union < -band).long()
    kept = union <= band
    counts = torch.zeros(num_rays, dtype=torch.int64, device=union.device).index_add(
        0, ray_ids, torch.ones_like(ray_ids)
    )
    starts = counts.cumsum(0) - counts
    kept &= _before(deep, ray_ids, starts) == 0
    kept &= _before(kept.long(), ray_ids, starts) < MAX_SAMPLES_PER_RAY
    kept_counts = torch.zeros_like(counts).index_add(0, ray_ids, kept.long())
    return kept, torch.cat([kept_counts.new_zeros(1), kept_counts.cumsum(0)])


def _before(count: Tensor, ray_ids: Tensor, starts: Tensor) -> Tensor:
    """(N,) sum of `count` over the earlier samples of the same ray."""
    total = torch.cat([count.new_zeros(1), count.cumsum(0)])
    return total[:-1] - total[starts[ray_ids]]


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
    """See ``march.reference.march``: the same samples, found by nerfacc's traversal. CUDA only; the host waits."""
    from wim_fast.ops.articulated.triton import articulated_lookup
    from wim_fast.ops.occupancy.triton import occupancy_grids

    posed = rotation, translation, semi_axes, union_sharpness, weight_sharpness
    step = float(step)
    with torch.no_grad():
        binaries, aabbs = occupancy_grids(rotation, translation, semi_axes, union_sharpness, band)
        intersections = grid_intersections(origins, directions, pose_ids, aabbs)
        # nerfacc's samples are the middles of its steps, counted from the near plane
        _, found, _ = nerfacc().grid.traverse_grids(
            origins, directions, binaries, aabbs, near_planes=(jitter - 0.5) * step, step_size=step,
            t_sorted=intersections[0], t_indices=intersections[1], hits=intersections[2],
        )  # fmt: skip
        ray_ids = found.ray_indices.long()
        own_jitter = jitter[ray_ids]
        t = ((found.vals / step - own_jitter).round() + own_jitter) * step  # less the sum of rounding errors
        points = origins[ray_ids] + t[:, None] * directions[ray_ids]
        union = articulated_lookup(points, pose_ids[ray_ids], *posed, 1).union
        kept, offsets = keep_visible(union, ray_ids, len(origins), band)
        return Samples.packed(t[kept], ray_ids[kept], offsets, capacity)


def thickness(sdf: Tensor, offsets: Tensor, inv_s: float | Tensor) -> tuple[Tensor, Tensor]:
    """Optical thickness ``-log(1 - alpha)`` of the interval behind each of N samples, and the ray ids of the samples.

    Taken from the logarithms, it has the right gradient at alpha = 1, where nerfacc's product of ``1 - alpha`` has not.
    The last sample of a ray has none, and neither has padding, whose ray id is that of the last ray.
    """
    rows = torch.arange(len(sdf), device=sdf.device)
    ray_ids = torch.searchsorted(offsets[1:], rows, right=True).clamp_max(len(offsets) - 2)
    has_next = rows + 1 < offsets[ray_ids + 1]
    log_phi = logsigmoid(inv_s * sdf)
    next_log_phi = torch.cat([log_phi[1:], log_phi[:1]])
    return torch.where(has_next, (log_phi - next_log_phi).clamp_min(0), 0.0), ray_ids


def composite(sdf: Tensor, rgb: Tensor, t: Tensor, offsets: Tensor, inv_s: float | Tensor) -> Composited:
    """See ``composite.reference.composite``, through nerfacc's packed rendering: optical thickness as density over unit steps."""
    rows = len(sdf)
    count = int(offsets[-1])  # without padding, whose weights would all be added to one ray; the host waits
    sdf, rgb, t = sdf[:count], rgb[:count], t[:count]
    tau, ray_ids = thickness(sdf, offsets, inv_s)
    start = torch.zeros_like(tau)
    render = nerfacc()
    weights, transmittance, _ = render.render_weight_from_density(
        start, start + 1, tau, ray_indices=ray_ids, n_rays=len(offsets) - 1
    )
    weights = torch.where(tau > 0, weights, 0.0)
    middle = torch.cat([rgb, t[:, None]], dim=1)
    middle = 0.5 * (middle + torch.cat([middle[1:], middle[:1]]))
    values = torch.cat([middle, torch.ones_like(tau)[:, None]], dim=1)
    sums = render.accumulate_along_rays(weights, values=values, ray_indices=ray_ids, n_rays=len(offsets) - 1)
    transmittance = torch.nn.functional.pad(transmittance.detach(), (0, rows - count))
    return Composited(sums[:, :3], sums[:, 4], sums[:, 3], transmittance)
