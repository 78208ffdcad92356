"""Where a body stands before training: its place, size and direction by the masks of one frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wim_fast.errors import UserError
from wim_fast.recordings.cameras import Cameras, project, up_axis
from wim_fast.recordings.masks import OBJECT
from wim_fast.rendering.raster import rasterize
from wim_fast.scene.scene import Scene
from wim_fast.scene.visual_hull import visual_hull
from wim_fast.training.initialization import starting_frame

LEAST_POINTS = 20  # of a visual hull
YAWS = 16  # about the world's up axis, for each of the six sides that may be up
SIZE = 48  # pixels of the masks that are compared
FITS = 2  # of size and place, for each turn


class Stand(NamedTuple):
    """A body at rest in the world: x_world = size * turn (x - center of its surface) + place."""

    turn: np.ndarray  # (3, 3)
    size: float
    place: np.ndarray  # (3,)

    def of(self, points: np.ndarray) -> np.ndarray:
        """World points (N, 3) of points (N, 3) from the centre of the surface."""
        return self.size * points @ self.turn.T + self.place


def find_stand(scene: Scene, initial_frames: int, vertices: np.ndarray, faces: np.ndarray) -> Stand:
    """The stand whose masks overlap most with those of a frame, of all that cover as much of them.

    The body (V, 3) may have any axis up. UserError if the masks do not meet.
    """
    frame = starting_frame(scene, initial_frames)
    points = visual_hull(scene.cameras, scene.mask[:, frame])
    if len(points) < LEAST_POINTS:
        problem = f"the visual hull of frame {scene.frame_ids[frame]} has too few points ({len(points)})"
        raise UserError(scene.name, problem, "check masks and cameras")
    center, spread = surface_moments(vertices, faces)
    size, place = float(np.sqrt(points.var(axis=0).sum() / spread)), points.mean(axis=0)
    factor = SIZE / max(scene.size)
    cameras = scene.cameras.resized(*(max(1, round(factor * n)) for n in scene.size[::-1]))
    masks = np.stack([_shrunk(mask == OBJECT, cameras) for mask in scene.mask[:, frame]])
    stands = []
    for turn in turns(up_axis(scene.cameras)):
        stand = Stand(turn, size, place)
        for _ in range(FITS):
            covered = covered_by(stand.of(vertices - center), faces, cameras)
            stand = _fitted(stand, covered, masks, cameras)
        covered = covered_by(stand.of(vertices - center), faces, cameras)
        overlap = (covered & masks).sum() / max((covered | masks).sum(), 1)
        stands.append((overlap, stand))
    return max(stands, key=lambda found: found[0])[1]


def _fitted(stand: Stand, covered: np.ndarray, masks: np.ndarray, cameras: Cameras) -> Stand:
    """As large and in the place where the masks' areas and centres are those of what the body covers."""
    rows, off = [], []
    for v, (ours, theirs) in enumerate(zip(covered, masks, strict=True)):
        if ours.any() and theirs.any():
            shift = np.argwhere(theirs).mean(axis=0)[::-1] - np.argwhere(ours).mean(axis=0)[::-1]
            T = cameras.T_camera_world[v]
            depth = T[2, :3] @ stand.place + T[2, 3]
            rows.append(T[:2, :3])
            off.append(shift * depth / cameras.intrinsics[v].diagonal()[:2])
    if not rows:
        return stand
    shift = np.linalg.lstsq(np.concatenate(rows), np.concatenate(off), rcond=1e-6)[0]
    growth = float(np.sqrt(masks.sum() / covered.sum()))
    return Stand(stand.turn, stand.size * growth, stand.place + shift)


def surface_moments(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean (3,) and sum of variances of the surface, by area: however many vertices there are where."""
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    middle = corners.mean(axis=1)
    center = np.average(middle, axis=0, weights=area)
    return center, float(np.average(np.square(middle - center).sum(axis=1), weights=area))


def covered_by(vertices: np.ndarray, faces: np.ndarray, cameras: Cameras) -> np.ndarray:
    """(V, H, W) bool which pixels of each camera a mesh covers."""
    seen = [
        rasterize(pixels, depth, faces, cameras.height, cameras.width).face >= 0
        for pixels, depth in zip(*project(cameras, vertices), strict=True)
    ]
    return np.stack(seen)


def turns(up: np.ndarray) -> list[np.ndarray]:
    """Rotations (3, 3): each of the six axes of a body upward, about `up` (3,) in `YAWS` steps."""
    upright = rotation_between(np.array([0.0, 0.0, 1.0]), up)
    angles = 2 * np.pi * np.arange(YAWS) / YAWS
    about = [np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]) for a in angles]
    sides = [sign * axis for axis in np.eye(3)[::-1] for sign in (1.0, -1.0)]
    return [
        upright @ yaw @ rotation_between(side, np.array([0.0, 0.0, 1.0])) for side in sides for yaw in about
    ]


def rotation_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A rotation (3, 3) that takes unit vector a to unit vector b."""
    if a @ b < -1 + 1e-9:
        axis = np.cross(a, np.eye(3)[np.abs(a).argmin()])
        axis /= np.linalg.norm(axis)
        return 2 * np.outer(axis, axis) - np.eye(3)
    v = np.cross(a, b)
    K = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + K + K @ K / (1 + a @ b)


def _shrunk(mask: np.ndarray, cameras: Cameras) -> np.ndarray:
    """A mask (H, W) as `cameras` have it: by the pixel in the middle of each new one."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip((cameras.height, cameras.width), mask.shape, strict=True)
    )
    return mask[rows][:, columns]
