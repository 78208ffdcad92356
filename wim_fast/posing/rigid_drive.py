"""Driving rigid parts: each follows the driving points that lie still on it.

The linear map of supplement A.10 (`posing.drive`) knows nothing of rigid bodies: all points together explain each point
of the model, and in poses unlike the learned ones it invents motion. Here a part's pose is found in two steps.

1. *Procrustes* of the driving points that hardly move as seen from the part. What they leave open (a few joints do not
   tell how a link turns about the line through them) the part's own points say, as the linear map has them.
2. *What that misses.* Learned parts differ from rigid links in ways that come back in like poses: one straddles a joint,
   another lies on skin. So the difference is interpolated between the training frames, by how alike the driving points
   lie as seen from the part (kernel ridge regression with a Gaussian kernel). Far from all of them it is 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.distance import cdist

from wim_fast.posing.drive import DriveFit, drive, fit_drive, refit
from wim_fast.posing.rigid import nearest_rotation

CARRIED = 3.0
"""A driving point belongs to a part if it moves, as seen from it, at most so many times as much as the stillest."""

STILLEST = 1e-3
"""World units: how still a point is taken to lie, at most."""

LINEAR_WEIGHT = 0.1
"""Of each point of the linear map, as a share of that of the stillest driving point."""

ALIKE = 0.12
"""World units, rms over the driving points: by how much poses differ that are alike (the kernel's length)."""

KERNEL_RIDGES = (0.1, 1.0, 10.0, np.inf)
"""Of these shares of the kernel's variance, the one that held-out frames favour: what poses miss may be mere noise."""

MOST_SEEN = 64
"""So many driving points, evenly by index, say how alike poses are."""


@dataclass(frozen=True)
class RigidFit:
    """How M driving points move P rigid parts with K points each.

    Attributes:
        linear: the map that completes them; of the points it chose M' drive.
        rest: (P, K, 3) the points of a part, in its own frame.
        place: (P, M', 3) where the driving points lie in a part's frame, in the mean.
        weights: (P, M') how much a part follows each.
        seen: (P, T, 3 S) the driving points as seen from a part, in the frames learned from.
        missed: (P, T, 3 K) what these frames contribute to what Procrustes misses of a part's points, in its frame.
        held_out_error: mean distance (world units) of the points on training frames that were held out.
    """

    linear: DriveFit
    rest: np.ndarray
    place: np.ndarray
    weights: np.ndarray
    seen: np.ndarray
    missed: np.ndarray
    held_out_error: float = float("nan")


def fit_rigid(
    points: np.ndarray, rotation: np.ndarray, translation: np.ndarray, rest: np.ndarray, folds: int = 5
) -> RigidFit:
    """Learns how points move parts.

    Args:
        points: (T, M, 3) driving points, world units.
        rotation, translation: (T, P, 3, 3) and (T, P, 3) of the parts in the same frames, part to world.
        rest: (P, K, 3) points of each part in its frame.
        folds: blocks of consecutive frames that are held out in turn, for the error; a lone frame is judged on itself.
    """
    points = np.asarray(points, float)
    moving = _flat(_moved(rotation, translation, rest))
    linear = fit_drive(points, moving)
    frames, errors = np.arange(len(points)), []
    for block in np.array_split(frames, min(folds, len(frames))):
        others = np.setdiff1d(frames, block) if len(frames) > 1 else frames
        again = refit(linear, points[others], moving[others])
        fits = _fits(again, points[others], rotation[others], translation[others], rest)
        off = np.array([drive_rigid(fit, points[block]) - moving[block] for fit in fits])
        errors.append(np.linalg.norm(off, axis=-1).mean(axis=2))
    error = np.concatenate(errors, axis=1).mean(axis=1)  # of each ridge
    best = int(error.argmin())
    fit = _fits(linear, points, rotation, translation, rest)[best]
    return replace(fit, held_out_error=float(error[best]))


def drive_rigid(fit: RigidFit, points: np.ndarray) -> np.ndarray:
    """The parts' points (N, P K, 3) for new positions of the driving points (N, M, 3)."""
    points = np.asarray(points, float)
    rotation, translation = _links(fit, points)
    alike = _alike(_seen(points, rotation, translation), fit.seen)  # (P, N, T)
    missed = (alike @ fit.missed).reshape(*alike.shape[:2], -1, 3).swapaxes(0, 1)
    return _flat(_moved(rotation, translation, fit.rest + missed))


def _fits(
    linear: DriveFit, points: np.ndarray, rotation: np.ndarray, translation: np.ndarray, rest: np.ndarray
) -> list[RigidFit]:
    """With each of `KERNEL_RIDGES`; all but the error."""
    parts = rotation.shape[1]
    local = (_in_part(points[:, linear.chosen], rotation[:, k], translation[:, k]) for k in range(parts))
    place, stir = zip(
        *((x.mean(axis=0), ((x - x.mean(axis=0)) ** 2).sum(-1).mean(axis=0)) for x in local), strict=True
    )
    square = np.array(stir) + STILLEST**2  # (P, M')
    stillest = square.min(axis=1, keepdims=True)
    weights = np.where(square <= CARRIED**2 * stillest, stillest / square, 0.0)
    nothing = np.zeros((parts, 0, 0))
    fit = RigidFit(linear, rest, np.array(place), weights, nothing, nothing)

    found = _links(fit, points)
    seen = _seen(points, *found)
    moving = _moved(rotation, translation, rest)
    missed = (moving - _moved(*found, rest)) @ found[0]  # in the frames found
    flat = missed.swapaxes(0, 1).reshape(parts, len(points), -1)
    # (K + r I)^-1 y by the eigenvectors of K, for every r
    value, vector = np.linalg.eigh(_alike(seen, seen))
    along = vector.swapaxes(1, 2) @ flat
    shares = [along / (value + ridge)[..., None] for ridge in KERNEL_RIDGES]
    return [replace(fit, seen=seen, missed=vector @ share) for share in shares]


def _links(fit: RigidFit, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (N, P, 3, 3) and translation (N, P, 3) of the parts by weighted Procrustes."""
    linear = drive(fit.linear, points).reshape(len(points), *fit.rest.shape)
    points = points[:, fit.linear.chosen]
    total = (fit.weights.sum(axis=1) + LINEAR_WEIGHT * fit.rest.shape[1])[:, None]
    carried, own = fit.weights / total, LINEAR_WEIGHT / total[..., None]  # together 1
    source = (carried[..., None] * fit.place).sum(axis=1) + (own * fit.rest).sum(axis=1)
    target = np.einsum("pm,nma->npa", carried, points) + (own * linear).sum(axis=2)
    weighted = carried[..., None] * (fit.place - source[:, None])
    moment = np.einsum("nma,pmb->npab", points, weighted, optimize=True)
    moment += np.einsum("npka,pkb->npab", linear, own * (fit.rest - source[:, None]))
    rotation = nearest_rotation(moment)
    return rotation, target - (rotation @ source[..., None])[..., 0]


def _seen(points: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(P, N, 3 S) some of the points (N, M, 3) in the parts' frames, / sqrt(S)."""
    some = np.unique(np.linspace(0, points.shape[1] - 1, MOST_SEEN).astype(int))
    parts = range(rotation.shape[1])
    local = [_in_part(points[:, some], rotation[:, k], translation[:, k]) for k in parts]
    return np.array(local).reshape(len(local), len(points), -1) / np.sqrt(len(some))


def _in_part(points: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Points (N, M, 3) in the frame of a part: rotation (N, 3, 3), translation (N, 3)."""
    return (points - translation[:, None]) @ rotation


def _alike(seen: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(P, N, T) the kernel: 1 for the same pose as seen from a part, 0 for a quite different one."""
    square = [cdist(a, b, "sqeuclidean") for a, b in zip(seen, others, strict=True)]
    return np.exp(-np.array(square) / (2 * ALIKE**2))


def _moved(rotation: np.ndarray, translation: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(N, P, K, 3) world: points of the parts (P, K, 3) or (N, P, K, 3)."""
    return rest @ np.swapaxes(rotation, -1, -2) + translation[:, :, None]


def _flat(points: np.ndarray) -> np.ndarray:
    return points.reshape(len(points), -1, 3)
