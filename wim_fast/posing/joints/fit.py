"""Fitting a mechanism of given joints to learned poses: all constants and all values at once, by least squares.

Residuals are twists from the poses that the mechanism takes to those learned, measured by how far they move each
part's surface (`ellipsoids.surface_metric`): what the cameras could see of an error is what counts. Gauss-Newton with Levenberg's
damping; every frame has its own values, so the normal equations are solved frame by frame and the constants by the
Schur complement of what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wim_fast.posing.joints.mechanism import (
    STAGES,
    TURNS,
    Joint,
    Mechanism,
    held_offset,
    part_poses,
    spread,
    stage_frames,
)
from wim_fast.posing.rigid import adjoint, exponential, inverse, logarithm

PATIENCE = 3  # iterations until a fit that is far from its goal is given up


def residuals(mechanism: Mechanism, poses: np.ndarray) -> np.ndarray:
    """(T, P, 6) twists in the part's frame from the learned poses (T, P, 4, 4) to the mechanism's."""
    return logarithm(inverse(poses) @ part_poses(mechanism, len(poses)))


def misfit(mechanism: Mechanism, poses: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """(T, P) mean squared shift of each part's surface, squared world units."""
    twist = residuals(mechanism, poses)
    return np.einsum("tpi,pij,tpj->tp", twist, metric, twist)


def correlation_time(mechanism: Mechanism, poses: np.ndarray, metric: np.ndarray) -> float:
    """In how many frames the misfit is forgotten, at least 1: (1 + r) / (1 - r), r the correlation of consecutive ones.

    Learned poses are smooth, and so are their errors: so many frames are worth one that is independent of the others.
    """
    twist = residuals(mechanism, poses)
    roots = np.swapaxes(np.linalg.cholesky(metric), -1, -2)
    error = np.einsum("pij,tpj->tpi", roots, twist)
    total = (error**2).sum()
    if len(error) < 2 or total < 1e-20:
        return 1.0
    r = np.clip((error[1:] * error[:-1]).sum() / total, 0.0, 0.95)
    return float((1 + r) / (1 - r))


def fit_mechanism(
    mechanism: Mechanism,
    poses: np.ndarray,
    metric: np.ndarray,
    iterations: int = 30,
    tolerance: float = 1e-4,
    values_only: bool = False,
    goal: float = np.inf,
) -> tuple[Mechanism, float]:
    """The mechanism of the same joints that fits best, from this one on, and its sum of `misfit`.

    Stops when an iteration gains less than `tolerance` of the misfit. `values_only`: constants stay as they are.
    `goal`: a fit that is far above it after a few iterations is given up.
    """
    roots = np.swapaxes(np.linalg.cholesky(metric), -1, -2)  # (P, 6, 6): |root twist|^2 is the shift
    cost, damping = float(misfit(mechanism, poses, metric).sum()), 1e-4
    for iteration in range(iterations):
        if iteration == PATIENCE and cost > 2.0 * goal:
            break
        values, constants, error = _weighted_jacobians(mechanism, poses, roots)
        num_constants = constants.shape[2]
        if values_only:
            constants = constants[..., :0]
        while damping < 1e4:
            values_step, constants_step = _solve(values, constants, error, damping)
            if values_only:
                constants_step = np.zeros(num_constants)
            changed = _moved(mechanism, values_step, constants_step)
            new = float(misfit(changed, poses, metric).sum())
            if new < cost:
                break
            damping *= 10
        else:
            return mechanism, cost
        gain, mechanism, cost, damping = cost - new, changed, new, max(0.1 * damping, 1e-7)
        if gain < tolerance * cost:
            break
    return mechanism, cost


def over_the_film(
    mechanism: Mechanism, poses: np.ndarray, metric: np.ndarray, some: Sequence[int]
) -> Mechanism:
    """From frames `some` to all of them, some at a time: the values of the others start from the nearest."""
    count = len(poses)
    if len(some) == count:
        return mechanism
    nearest = np.abs(np.arange(count)[:, None] - some).argmin(axis=1)
    pieces = []
    for frames in np.array_split(np.arange(count), -(-count // len(some))):
        piece = spread(mechanism, nearest[frames])
        pieces.append(fit_mechanism(piece, poses[frames], metric, tolerance=1e-5, values_only=True)[0])
    joints = []
    for part, joint in enumerate(mechanism.joints):
        motions = [[piece.joints[part].motion[k] for piece in pieces] for k in range(len(joint.motion))]
        whole = tuple(np.concatenate(motion) for motion in motions)
        joints.append(Joint(joint.kind, joint.offset, joint.between, joint.mount, whole, joint.hold))
    return Mechanism(mechanism.tree, tuple(joints))


def _weighted_jacobians(
    mechanism: Mechanism, poses: np.ndarray, roots: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the weighted residuals (T, 6 P): by values (T, 6 P, F), by constants (T, 6 P, S), and themselves."""
    frames = stage_frames(mechanism, len(poses))
    posed = part_poses(mechanism, len(poses))
    into_parts = roots @ adjoint(inverse(posed))  # (T, P, 6, 6) twists of the world to weighted ones of parts
    error = np.einsum("pij,tpj->tpi", roots, residuals(mechanism, poses))

    flat = len(poses), error[0].size

    def column(frame: np.ndarray, twists: np.ndarray, who: np.ndarray) -> np.ndarray:
        moved = np.zeros((*error.shape, twists.shape[1]))
        moved[:, who] = into_parts[:, who] @ (adjoint(frame) @ twists)[:, None]
        return moved.reshape(*flat, twists.shape[1])

    values, constants = [np.zeros((*flat, 0))], []
    for part, joint in enumerate(mechanism.joints):
        below = mechanism.tree.descendants(part)
        places = [*frames[part][:1], *(frames[part][k] @ joint.between for k in range(1, len(joint.motion)))]
        for place, twists in zip(places, constant_twists(mechanism, part), strict=False):
            constants.append(column(place, twists, below))
        constants.append(column(posed[:, part], np.eye(6), np.arange(len(below)) == part))
        for place, twists in zip(frames[part][1:], STAGES[joint.kind], strict=True):
            values.append(column(place, twists, below))
    return np.concatenate(values, axis=2), np.concatenate(constants, axis=2), error.reshape(flat)


def constant_twists(mechanism: Mechanism, part: int) -> list[np.ndarray]:
    """Twists (6, n) by which a joint's offset may change, and for a universal joint what is between its axes."""
    joint, root = mechanism.joints[part], part == mechanism.tree.root
    if joint.kind == "free" or (joint.kind == "fixed" and not root):
        return [np.zeros((6, 0))]
    offset = np.eye(6)
    if joint.hold:
        above = joint.offset[2, :3]  # the axis above, in the joint's frame
        turns = [np.array([0.0, 0.0, 1.0])] + ([above] if joint.hold == "perpendicular" else [])
        offset = np.concatenate(
            [offset[:, :3], np.stack([np.concatenate([np.zeros(3), t]) for t in turns], 1)], axis=1
        )
    return [offset, TURNS] if len(joint.motion) == 2 else [offset]


def _solve(
    values: np.ndarray, constants: np.ndarray, error: np.ndarray, damping: float
) -> tuple[np.ndarray, np.ndarray]:
    """The step (T, F) of the values and (S,) of the constants."""
    turned = np.swapaxes(values, 1, 2)
    own, mixed = turned @ values, turned @ constants  # (T, F, F), (T, F, S)
    stacked = constants.reshape(error.size, -1) if constants.size else np.zeros((error.size, 0))
    whole = stacked.T @ stacked
    own = own + damping * _diagonal(own)
    whole = whole + damping * _diagonal(whole)
    right = (turned @ error[..., None])[..., 0]
    inner = np.linalg.solve(own, np.concatenate([mixed, right[..., None]], axis=2))
    left = whole - np.einsum("tfs,tfr->sr", mixed, inner[..., :-1], optimize=True)
    step = -np.linalg.solve(left, stacked.T @ error.ravel() - np.einsum("tfs,tf->s", mixed, inner[..., -1]))
    return -inner[..., -1] - inner[..., :-1] @ step, step


def _diagonal(square: np.ndarray) -> np.ndarray:
    """Its diagonal, and a little everywhere on it: directions that change nothing stay where they are."""
    size = square.shape[-1]
    diagonal = np.einsum("...ii->...i", square)
    floor = 1e-3 * diagonal.sum(axis=-1, keepdims=True) / max(size, 1) + 1e-12
    return np.eye(size) * (diagonal + floor)[..., None, :]


def _moved(mechanism: Mechanism, values: np.ndarray, constants: np.ndarray) -> Mechanism:
    """After a step, in the order of `_weighted_jacobians`."""
    still = [
        twists
        for part in range(len(mechanism.joints))
        for twists in [*constant_twists(mechanism, part), np.eye(6)]
    ]
    moving = [twists for joint in mechanism.joints for twists in STAGES[joint.kind]]
    shifts = iter(exponential(_twists(still, constants)))
    motions = iter(np.moveaxis(exponential(_twists(moving, values)), -3, 0))
    joints = []
    for part, joint in enumerate(mechanism.joints):
        offset = held_offset(joint.offset @ next(shifts), joint.hold)
        between = (
            joint.between @ next(shifts) if len(constant_twists(mechanism, part)) == 2 else joint.between
        )
        motion = tuple(old @ next(motions) for old in joint.motion)
        mount = joint.mount @ next(shifts)
        joints.append(replace(joint, offset=offset, between=between, mount=mount, motion=motion))
    return replace(mechanism, joints=tuple(joints))


def _twists(admitted: list[np.ndarray], step: np.ndarray) -> np.ndarray:
    """(..., K, 6) from coordinates (..., sum of n) in K bases (6, n), one after another."""
    out = np.zeros((*step.shape[:-1], len(admitted), 6))
    at = 0
    for k, twists in enumerate(admitted):
        out[..., k, :] = step[..., at : at + twists.shape[1]] @ twists.T
        at += twists.shape[1]
    return out
