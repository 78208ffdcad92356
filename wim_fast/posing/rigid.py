"""Rigid motions as 4 x 4 matrices, and twists: their velocities (v, w), translation before rotation (numpy, float64).

A twist is read in the frame of the motion it moves: T exp(twist). Murray, Li and Sastry, "A Mathematical Introduction
to Robotic Manipulation", chapter 2, has every formula.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation


def rigid(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(..., 3, 3) and (..., 3) as (..., 4, 4)."""
    shape = np.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    out = np.zeros((*shape, 4, 4))
    out[..., :3, :3], out[..., :3, 3], out[..., 3, 3] = rotation, translation, 1.0
    return out


def inverse(motion: np.ndarray) -> np.ndarray:
    """(..., 4, 4)"""
    back = np.swapaxes(motion[..., :3, :3], -1, -2)
    return rigid(back, -(back @ motion[..., :3, 3:])[..., 0])


def moved(motion: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 3) by motions (..., 4, 4)."""
    return (motion[..., :3, :3] @ points[..., None])[..., 0] + motion[..., :3, 3]


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotations R (det +1) of the largest trace of R^T matrix; both (..., 3, 3)."""
    u, _, vt = np.linalg.svd(matrix)
    u = u.copy()
    u[..., :, 2] *= np.sign(np.linalg.det(u @ vt))[..., None]
    return u @ vt


def mean_motion(motions: np.ndarray, iterations: int = 3) -> np.ndarray:
    """(..., 4, 4) of motions (..., T, 4, 4): that from which the twists to them are 0 on average."""
    mean = rigid(nearest_rotation(motions[..., :3, :3].mean(axis=-3)), motions[..., :3, 3].mean(axis=-2))
    for _ in range(iterations):
        mean = mean @ exponential(logarithm(inverse(mean)[..., None, :, :] @ motions).mean(axis=-2))
    return mean


def mean_places(carrier: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """(n, 4, 4) where n motions (T, n, 4, 4) are on what carries them (T, n or 1, 4, 4), on average."""
    return mean_motion(np.swapaxes(inverse(carrier) @ motions, 0, 1))


def carried(carrier: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """n motions (T, n, 4, 4) that keep their mean places on what carries them (T, n or 1, 4, 4)."""
    return carrier @ mean_places(carrier, motions)


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """(3, 3) or (N, 3, 3) -> (..., 4) as w, x, y, z."""
    return np.roll(Rotation.from_matrix(rotation).as_quat(), 1, axis=-1)


def skew(vector: np.ndarray) -> np.ndarray:
    """The matrix of the cross product with a vector (..., 3): (..., 3, 3)."""
    out = np.zeros((*vector.shape[:-1], 3, 3))
    out[..., 2, 1], out[..., 0, 2], out[..., 1, 0] = vector[..., 0], vector[..., 1], vector[..., 2]
    return out - out.swapaxes(-1, -2)


def adjoint(motion: np.ndarray) -> np.ndarray:
    """(..., 6, 6): takes a twist in the frame that the motion (..., 4, 4) leaves to the frame it arrives in."""
    rotation = motion[..., :3, :3]
    out = np.zeros((*motion.shape[:-2], 6, 6))
    out[..., :3, :3] = out[..., 3:, 3:] = rotation
    out[..., :3, 3:] = skew(motion[..., :3, 3]) @ rotation
    return out


def exponential(twist: np.ndarray) -> np.ndarray:
    """The motion of a twist (..., 6) that lasts one unit of time: (..., 4, 4)."""
    velocity, turn = twist[..., :3], twist[..., 3:]
    angle = np.linalg.norm(turn, axis=-1)[..., None, None]
    small = angle < 1e-4
    safe = np.where(small, 1.0, angle)
    first = np.where(small, 1.0 - angle**2 / 6, np.sin(safe) / safe)
    second = np.where(small, 0.5 - angle**2 / 24, (1.0 - np.cos(safe)) / safe**2)
    third = np.where(small, 1.0 / 6 - angle**2 / 120, (safe - np.sin(safe)) / safe**3)
    cross = skew(turn)
    square = cross @ cross
    along = np.eye(3) + second * cross + third * square
    return rigid(np.eye(3) + first * cross + second * square, (along @ velocity[..., None])[..., 0])


def logarithm(motion: np.ndarray) -> np.ndarray:
    """The twist (..., 6) whose exponential is the motion (..., 4, 4), which turns by less than pi."""
    rotation = motion[..., :3, :3]
    odd = 0.5 * (rotation - np.swapaxes(rotation, -1, -2))
    turn = np.stack([odd[..., 2, 1], odd[..., 0, 2], odd[..., 1, 0]], axis=-1)
    sine = np.linalg.norm(turn, axis=-1)
    angle = np.arctan2(sine, 0.5 * (np.einsum("...ii->...", rotation) - 1.0))
    small = (angle < 1e-4)[..., None, None]
    turn = turn * (np.where(sine < 1e-9, 1.0, angle) / np.where(sine < 1e-9, 1.0, sine))[..., None]
    safe = np.where(small, 1.0, angle[..., None, None])
    bend = np.where(small, 1.0 / 12, (1.0 - 0.5 * safe / np.tan(0.5 * safe)) / safe**2)
    cross = skew(turn)
    back = np.eye(3) - 0.5 * cross + bend * cross @ cross
    return np.concatenate([(back @ motion[..., :3, 3:])[..., 0], turn], axis=-1)
