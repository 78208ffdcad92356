"""Where along its ray a sample is worth decoding: the band round the union of the ellipsoids, in plain torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from wim_fast.ops.articulated.reference import articulated_lookup

MAX_SAMPLES_PER_RAY = 96


class Samples(NamedTuple):
    """N packed samples of R rays."""

    t: Tensor  # (N,) distance along the ray, ascending within a ray
    offsets: Tensor  # (R + 1,) int64: ray r has the samples offsets[r]:offsets[r + 1]

    @property
    def ray_ids(self) -> Tensor:
        """(N,) the ray of each sample."""
        counts = self.offsets[1:] - self.offsets[:-1]
        return torch.repeat_interleave(torch.arange(counts.shape[0], device=counts.device), counts)


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
    band: float,
    step: float,
) -> Samples:
    """Samples at ``t = (k + jitter) * step`` where ``|s_union| <= band``, up to the first one deeper than the band.

    Outside the band nothing can be seen (the decoder moves the surface by less than the band), and behind the first deep
    sample everything is hidden. That first deep sample is kept, as the far end of the last interval. There is no gradient.

    Args:
        origins, directions: (R, 3) world; unit directions. pose_ids: (R,) which of the F poses a ray sees.
        rotation (F, P, 3, 3), translation (F, P, 3), semi_axes (P, 3): the posed ellipsoids.
        jitter: (R,) in [0, 1). band, step: world units.
    """
    with torch.no_grad():
        reach = (origins[:, None] - translation[pose_ids.long()]).norm(dim=-1) + semi_axes.amax(-1) + 2 * band
        steps = torch.arange(int(reach.max() / step) + 2 if len(origins) else 1, device=origins.device)
        t = (steps + jitter[:, None]) * step  # (R, S)
        points = origins[:, None] + t[..., None] * directions[:, None]
        union = articulated_lookup(
            points.reshape(-1, 3), pose_ids.repeat_interleave(len(steps)), rotation, translation, semi_axes,
            union_sharpness, weight_sharpness, 1,
        ).union.reshape(t.shape)  # fmt: skip
        deep = union < -band
        visible = deep.cumsum(1) - deep.long() == 0
        keep = visible & (union <= band)
        keep &= keep.cumsum(1) <= MAX_SAMPLES_PER_RAY
        offsets = torch.cat([keep.new_zeros(1, dtype=torch.int64), keep.sum(1).cumsum(0)])
        return Samples(t[keep], offsets)
