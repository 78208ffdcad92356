"""Surfaces of the parts' ellipsoids as points: what an error of a pose moves, and how parts lie to each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from wim_fast.ops.ellipsoid.reference import ellipsoid_sdf
from wim_fast.posing.rigid import inverse, moved, skew
from wim_fast.recordings.selection import evenly

TANGENT_WEIGHT = 0.1
"""A shift of the surface along itself shows in its texture alone: counted as a third of one along the normal."""

REACH = 0.5
"""Parts touch if no more than this share of the smaller one's mean semi-axis is between them."""

SAMPLES = 200  # points of an ellipsoid for its metric
CONTACT_SAMPLES = 80  # for what it touches
LOOKS = 5  # frames, spread over the film, in which it is measured how near parts are


def surface_points(semi_axes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points and outward normals (P, N, 3) of ellipsoids, and the area (P, N) that each point stands for.

    semi_axes: (P, 3).
    """
    k = np.arange(count) + 0.5
    height, around = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k  # a spiral of even density on the sphere
    radius = np.sqrt(1 - height**2)
    sphere = np.stack([radius * np.cos(around), radius * np.sin(around), height], axis=1)
    axes = np.asarray(semi_axes, float)[:, None]
    normals = sphere / axes
    steepness = np.linalg.norm(normals, axis=-1, keepdims=True)
    area = 4 * np.pi / count * steepness * axes.prod(axis=-1, keepdims=True)
    return sphere * axes, normals / steepness, area[..., 0]


def surface_metric(semi_axes: np.ndarray, tangent_weight: float = TANGENT_WEIGHT) -> np.ndarray:
    """(P, 6, 6) M with twist^T M twist the mean squared shift of an ellipsoid's surface, along its normal for the most.

    Turning a ball about its centre, or a bottle about its axis, hardly moves any outline: such errors of a learned pose
    weigh little.

    Args:
        semi_axes: (P, 3).
        tangent_weight: of the squared shift along the surface.
    """
    points, normals, area = surface_points(semi_axes, SAMPLES)
    weight = area / area.sum(axis=1, keepdims=True)
    shift = np.concatenate(
        [np.broadcast_to(np.eye(3), (*points.shape, 3)), -skew(points)], axis=-1
    )  # (P, N, 3, 6)
    along = np.einsum("pnk,pnkj->pnj", normals, shift)
    square = (1 - tangent_weight) * np.einsum("pni,pnj,pn->pij", along, along, weight)
    return square + tangent_weight * np.einsum("pnki,pnkj,pn->pij", shift, shift, weight)


@dataclass(frozen=True)
class Contacts:
    """How P parts lie to each other, means over some frames. World units.

    Attributes:
        gap: (P, P) between their ellipsoids, negative where they overlap.
        nearest: (P, P, 3) the point of part i nearest to part j, in part i's frame.
        exposed: (P,) area of each ellipsoid that is in no other.
        touching: (P, P) bool, see `REACH`.
    """

    gap: np.ndarray
    nearest: np.ndarray
    exposed: np.ndarray
    touching: np.ndarray


def part_contacts(poses: np.ndarray, semi_axes: np.ndarray) -> Contacts:
    """Of parts in poses (T, P, 4, 4), part to world; semi_axes (P, 3)."""
    count, parts = len(poses), np.arange(len(semi_axes))
    points, _, area = surface_points(semi_axes, CONTACT_SAMPLES)
    looks = evenly(range(count), LOOKS)
    gap, nearest, exposed = (
        np.zeros((len(parts),) * 2),
        np.zeros((len(parts),) * 2 + (3,)),
        np.zeros(len(parts)),
    )
    axes = torch.tensor(np.asarray(semi_axes, float))
    for pose in poses[looks]:
        into = inverse(pose)[None, :] @ pose[:, None]  # (i, j) from part i to part j
        seen = moved(into[:, :, None], points[:, None])  # (i, j, N, 3)
        distance = ellipsoid_sdf(torch.tensor(seen), axes[:, None]).numpy()
        distance[parts, parts] = np.inf
        gap += distance.min(axis=2)
        at = distance.argmin(axis=2)
        nearest += np.take_along_axis(points[:, None], at[..., None, None], axis=2)[:, :, 0]
        exposed += (area * (distance.min(axis=1) > 0)).sum(axis=1)
    gap = np.minimum(gap, gap.T) / len(looks)
    np.fill_diagonal(gap, 0.0)
    size = np.asarray(semi_axes).mean(axis=1)
    touching = gap < REACH * np.minimum(size[:, None], size)
    return Contacts(gap, nearest / len(looks), exposed / len(looks), touching)
