"""From a world point to the parts near it, in plain torch: the specification of the compiled kernels."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from wim_fast.ops.ellipsoid.reference import closest_point, ellipsoid_sdf

MAX_CANDIDATES = 8  # parts that can matter at one point
CUTOFF_NATS = 5.0  # a part exp(-5) weaker than the nearest one is left out


class PartLookup(NamedTuple):
    """What the decoder needs to know of N points; K = number of parts whose features are read."""

    union: Tensor  # (N,) smooth union of the ellipsoid distances, world units
    part_ids: (
        Tensor  # (N, K) int32, nearest part first; a slot without a part repeats the nearest with weight 0
    )
    part_weights: Tensor  # (N, K) softmax weights over all near parts
    local: Tensor  # (N, K, 3) the point in the frame of each of these parts
    normal: Tensor  # (N, 3) gradient of the union in the point, world frame: about a unit normal; carries no gradient


def cutoff(*sharpness: Tensor) -> Tensor:
    """How much farther than the nearest part another may be and still count at any of these sharpnesses, world units."""
    return CUTOFF_NATS / torch.stack(sharpness).min()


def union_reach(distance: float | Tensor, num_parts: int, union_sharpness: Tensor) -> Tensor:
    """() how near the nearest part is, at most, where the smooth union is at most `distance`, world units.

    Of n candidates the union is ``log(n) / b`` below the nearest, at most: where all of them are equally far.
    """
    return distance + math.log(min(MAX_CANDIDATES, num_parts)) / union_sharpness


def articulated_lookup(
    points: Tensor,
    pose_ids: Tensor,
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    union_sharpness: Tensor,
    weight_sharpness: Tensor,
    top_k: int,
) -> PartLookup:
    """Local coordinates, ellipsoid distances, their smooth union, and the weights of the nearest parts.

    ``s_union = -(1/b) log sum_i exp(-b sdf_i)`` and ``w = softmax_i(-a sdf_i)`` (paper section 3.3) over the near parts:
    those within `cutoff` of the nearest one, at most `MAX_CANDIDATES`.

    Args:
        points: (N, 3) world frame and units.
        pose_ids: (N,) integer, which of the F poses each point belongs to; -1 for a padding row, which gets zeros everywhere
            and gives no gradient.
        rotation: (F, P, 3, 3) part-to-world.
        translation: (F, P, 3) part centres, world.
        semi_axes: (P, 3).
        union_sharpness: scalar b > 0.
        weight_sharpness: scalar a > 0.
        top_k: K, how many parts to return per point; at most P and `MAX_CANDIDATES`.
    """
    index, is_real = pose_ids.long().clamp_min(0), pose_ids >= 0
    offset = points[:, None, :] - translation[index]  # (N, P, 3)
    local = torch.einsum("npa,npab->npb", offset, rotation[index])  # (N, P, 3) = R^T (x - t)
    sdf = ellipsoid_sdf(local, semi_axes)  # (N, P)

    count = min(MAX_CANDIDATES, sdf.shape[1])
    near, ids = torch.topk(sdf, count, dim=1, largest=False)  # (N, C), ascending
    is_near = near <= near[:, :1] + cutoff(union_sharpness, weight_sharpness)
    nearest = near[:, :1].detach()
    scores = torch.where(is_near, -union_sharpness * (near - nearest), -torch.inf)
    union = nearest[:, 0] - torch.logsumexp(scores, dim=1) / union_sharpness
    weights = torch.where(is_near, -weight_sharpness * near, -torch.inf).softmax(dim=1)
    with torch.no_grad():
        part_normals = torch.einsum("npab,npb->npa", rotation[index], closest_point(local, semi_axes)[1])
        near_normals = torch.gather(part_normals, 1, ids[..., None].expand(-1, -1, 3))
        normal = (scores.softmax(1)[..., None] * near_normals).sum(1)

    is_near, ids, weights = is_near[:, :top_k], ids[:, :top_k], weights[:, :top_k]
    ids = torch.where(is_near, ids, ids[:, :1])
    local = torch.gather(local, 1, ids[..., None].expand(-1, -1, 3))
    outputs = union, ids.to(torch.int32), weights, local, normal
    return PartLookup(*(torch.where(is_real.view(-1, *[1] * (x.dim() - 1)), x, 0) for x in outputs))
