"""Points along rays: samples that marching found, or those of finer steps between them that are wanted; in plain torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from wim_fast.ops.march.reference import Samples


class RaySamples(NamedTuple):
    """N packed samples of R rays, and where they are; behind them padding, where the capacity is fixed."""

    points: Tensor  # (N, 3) world; padding 0
    pose_ids: Tensor  # (N,) padding -1
    t: Tensor  # (N,) distance along the ray; padding 0
    offsets: Tensor  # (R + 1,) ray r has the samples offsets[r]:offsets[r + 1]
    overflow: Tensor = torch.tensor(0)  # () how many samples were dropped for want of capacity


def samples_along(
    origins: Tensor,
    directions: Tensor,
    pose_ids: Tensor,
    samples: Samples,
    keep: Tensor | None = None,
    step: float | Tensor = 0.0,
    divisions: int = 1,
    capacity: int | None = None,
) -> RaySamples:
    """Where samples of these rays are. Gradients of the rays flow through the points.

    Args:
        origins, directions: (R, 3) world; unit directions. pose_ids: (R,) int32, which pose a ray sees.
        samples: N of them, with or without padding.
        keep: (N * divisions,) bool, which points to take: number ``i * divisions + k`` is k steps behind sample i. None
            for the samples as they are.
        step: between such points, world units.
        capacity: the number of rows to return, whatever is kept, and what is beyond is added to `overflow`; None for as
            many as there are.
    """
    if keep is None:
        t, ray_ids, offsets, overflow = samples
    else:
        rows = keep.nonzero().squeeze(1)
        sample = rows // divisions
        found = samples.t[sample] + (rows % divisions) * step, samples.ray_ids[sample]
        packed = Samples.packed(*found, torch.searchsorted(rows, divisions * samples.offsets), capacity)
        t, ray_ids, offsets, overflow = packed._replace(overflow=samples.overflow + packed.overflow)
    is_real, ray_ids = ray_ids >= 0, ray_ids.clamp_min(0)
    points = origins[ray_ids] + t[:, None] * directions[ray_ids]
    return RaySamples(
        torch.where(is_real[:, None], points, 0), torch.where(is_real, pose_ids[ray_ids], -1), t, offsets, overflow
    )  # fmt: skip
