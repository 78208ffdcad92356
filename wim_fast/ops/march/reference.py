"""Where along its ray a sample is worth decoding: the band round the union of the ellipsoids, in plain torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from wim_fast.ops.articulated.reference import articulated_lookup
from wim_fast.ops.ellipsoid.reference import inflated_semi_axes

MAX_SAMPLES_PER_RAY = 256  # a ray along the dog, the surface at its sharpest, has 194


class Samples(NamedTuple):
    """N packed samples of R rays, with padding behind them where a capacity was asked for."""

    t: Tensor  # (N,) distance along the ray, ascending within a ray; padding 0
    ray_ids: Tensor  # (N,) int64 the ray of each sample; padding -1
    offsets: Tensor  # (R + 1,) int64: ray r has the samples offsets[r]:offsets[r + 1]
    overflow: Tensor  # () int64 how many samples there were beyond the capacity, and were dropped

    @classmethod
    def packed(cls, t: Tensor, ray_ids: Tensor, offsets: Tensor, capacity: int | None) -> Samples:
        """From exactly as many samples as there are: as they are, or `capacity` rows of them."""
        if capacity is None:
            return cls(t, ray_ids, offsets, torch.zeros_like(offsets[0]))
        excess = len(t) - capacity
        return cls(
            pad(t, (0, -excess)),
            pad(ray_ids, (0, -excess), value=-1),
            offsets.clamp_max(capacity),
            offsets.new_tensor(max(excess, 0)),
        )


def ray_intervals(
    origins: Tensor,
    directions: Tensor,
    pose_ids: Tensor,
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    reach: float | Tensor,
) -> Tensor:
    """Where rays are inside the ellipsoids inflated by `reach`: entry and exit (R, P, 2), distances along the ray.

    How the numba and Triton marches cull: they step from the first entry to the last exit of a ray. A ray that passes an
    ellipsoid by has the empty interval (inf, -inf) there. Shapes and units as in `march`; no gradient.
    """
    with torch.no_grad():
        pose = pose_ids.long()
        to_part = rotation[pose].transpose(-1, -2)  # (R, P, 3, 3)
        start = (to_part @ (origins[:, None] - translation[pose])[..., None])[..., 0]
        along = (to_part @ directions[:, None, :, None])[..., 0]
        middle = -(start * along).sum(-1, keepdim=True)  # of the point next to the centre
        inflated = inflated_semi_axes(semi_axes, reach)
        x, u = (start + middle * along) / inflated, along / inflated
        a, b, c = u.square().sum(-1), (x * u).sum(-1), x.square().sum(-1) - 1
        discriminant = b * b - a * c
        half = discriminant.clamp_min(0).sqrt() / a
        middle = middle[..., 0] - b / a
        meets = discriminant > 0
        return torch.stack(
            [torch.where(meets, middle - half, torch.inf), torch.where(meets, middle + half, -torch.inf)],
            dim=-1,
        )


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
    """Samples at ``t = (k + jitter) * step`` where ``|s_union| <= band``, up to the first one deeper than the band.

    Outside the band nothing can be seen (the decoder moves the surface by less than the band), and behind the first deep
    sample everything is hidden. That first deep sample is kept, as the far end of the last interval. There is no gradient.

    Args:
        origins, directions: (R, 3) world; unit directions. pose_ids: (R,) which of the F poses a ray sees.
        rotation (F, P, 3, 3), translation (F, P, 3), semi_axes (P, 3): the posed ellipsoids.
        jitter: (R,) in [0, 1). band, step: world units; numbers or 0-dim tensors.
        capacity: the number of rows to return, whatever the number of samples; None for exactly as many as there are.
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
        return Samples.packed(t[keep], keep.nonzero()[:, 0], offsets, capacity)
