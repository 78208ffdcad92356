"""A little arm of three ellipsoids that moves: a scene in memory, ray-traced without the package's code.

World: z up. A base stands still; an upper and a lower link turn about a shoulder and an elbow.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tiny_scene import ring, view_matrix

from wim_fast.recordings.cameras import Cameras
from wim_fast.recordings.recording import GroundTruth
from wim_fast.scene.footage import Footage
from wim_fast.scene.scene import Scene

SEMI_AXES = np.array([[0.13, 0.13, 0.2], [0.09, 0.09, 0.22], [0.07, 0.07, 0.2]])
COLORS = np.array([[0.9, 0.3, 0.2], [0.2, 0.6, 0.9], [0.95, 0.85, 0.2]])
SUN = np.array([0.4, 0.3, 0.866])
NUM_TRAIN = 5  # cameras round the arm; one more, between two of them, is for testing


@dataclass(frozen=True)
class Motion:
    """Part-to-world poses of the three ellipsoids, and where they are joined."""

    rotation: np.ndarray  # (T, 3, 3, 3)
    translation: np.ndarray  # (T, 3, 3)
    joints: np.ndarray  # (T, 3, 3) shoulder, elbow, tip


def turn(axis: int, angle: float) -> np.ndarray:
    """Rotation about a coordinate axis."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    R = np.eye(3)
    R[i, i] = R[j, j] = c
    R[i, j], R[j, i] = -s, s
    return R


def arm_motion(frames: int) -> Motion:
    """The shoulder swings and twists, the elbow bends; smooth, and not periodic in step."""
    rotation, translation = np.zeros((frames, 3, 3, 3)), np.zeros((frames, 3, 3))
    joints = np.zeros((frames, 3, 3))
    along = np.array([0.0, 0.0, 1.0])
    for t in range(frames):
        phase = 2 * np.pi * t / max(frames - 1, 1)
        upper = turn(2, 0.6 * np.sin(0.5 * phase)) @ turn(1, 0.3 + 0.25 * np.sin(phase))
        lower = upper @ turn(1, 0.7 - 0.35 * np.cos(0.8 * phase))
        shoulder = np.array([0.0, 0.0, -0.12])
        elbow = shoulder + 0.38 * upper @ along
        tip = elbow + 0.36 * lower @ along
        rotation[t] = np.eye(3), upper, lower
        translation[t] = [0, 0, -0.3], (shoulder + elbow) / 2, (elbow + tip) / 2
        joints[t] = shoulder, elbow, tip
    return Motion(rotation, translation, joints)


def with_images(scene: Scene, rgba=None, mask=None) -> Scene:
    """The scene with other pixels."""
    rgba = scene.rgba[:] if rgba is None else rgba
    mask = scene.mask[:] if mask is None else mask
    return dataclasses.replace(scene, footage=Footage.from_arrays(rgba, mask))


def trace(origin: np.ndarray, rays: np.ndarray, motion: Motion, t: int) -> np.ndarray:
    """Premultiplied colour and coverage (..., 4) of unit rays (..., 3) in frame t: the nearest hit counts."""
    out, nearest = np.zeros((*rays.shape[:-1], 4)), np.full(rays.shape[:-1], np.inf)
    for part, axes in enumerate(SEMI_AXES):
        R, center = motion.rotation[t, part], motion.translation[t, part]
        o, d = (origin - center) @ R / axes, rays @ R / axes
        a, b, c = (d * d).sum(-1), d @ o, o @ o - 1
        disc = b * b - a * c
        depth = (-b - np.sqrt(np.maximum(disc, 0))) / a
        hit = (disc > 0) & (depth < nearest)
        on_sphere = o + depth[..., None] * d
        normal = (on_sphere / axes) @ R.T
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        stripes = 1 - 0.3 * (np.sin(12 * on_sphere[..., 2]) > 0)
        shade = stripes * (0.7 + 0.3 * normal @ SUN)
        out[hit, :3] = COLORS[part] * shade[hit][:, None]
        out[hit, 3] = 1
        nearest = np.where(hit, depth, nearest)
    return out


def arm_scene(size: int = 56, frames: int = 20, oversampling: int = 3) -> Scene:
    """All cameras, anti-aliased; the last one is for testing."""
    motion = arm_motion(frames)
    between = ring(2 * NUM_TRAIN, distance=3.0, elevation=40.0)[1:2]
    eyes = np.concatenate([ring(NUM_TRAIN, distance=3.0, elevation=25.0), between])
    target, focal = np.array([0.0, 0.0, -0.05]), 2.6 * size
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    T = np.stack([flip @ view_matrix(eye, target).T for eye in eyes])
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1.0]])
    cameras = Cameras(tuple(range(len(eyes))), np.tile(K, (len(eyes), 1, 1)), T, size, size)

    n = oversampling
    grid = (np.arange(n * size) + 0.5) / n
    x, y = np.meshgrid(grid, grid)
    in_camera = np.stack([(x - size / 2) / focal, (y - size / 2) / focal, np.ones_like(x)], -1)
    in_camera /= np.linalg.norm(in_camera, axis=-1, keepdims=True)
    rgba = np.zeros((len(eyes), frames, size, size, 4), np.uint8)
    for v, eye in enumerate(eyes):
        rays = in_camera @ T[v, :3, :3]
        for t in range(frames):
            image = trace(eye, rays, motion, t).reshape(size, n, size, n, 4).mean((1, 3))
            image[..., :3] /= np.maximum(image[..., 3:], 1e-6)
            rgba[v, t] = np.round(255 * image)
    mask = (rgba[..., 3] > 127).astype(np.uint8)
    truth = GroundTruth(motion.joints.astype(np.float32), None)
    return Scene(
        "arm", Path("arm"), cameras, tuple(range(frames)), Footage.from_arrays(rgba, mask), 1.0, truth
    )
