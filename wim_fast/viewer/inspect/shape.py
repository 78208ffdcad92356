"""The object as geometry: surface mesh, ellipsoids, joint candidates, the tree, cameras. World units, numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from wim_fast.drawing.annotate import part_palette
from wim_fast.model.articulated_model import Posed
from wim_fast.model.distance_grid import bounds, distance_grid, never
from wim_fast.model.motion import Motion, edges_of, joints_of, semi_axes_of
from wim_fast.posing.rigid import quaternion
from wim_fast.posing.tree import joint_candidates
from wim_fast.viewer.inspect.snapshot import Snapshot


class Mesh(NamedTuple):
    """Triangles of the surface where the sdf is 0."""

    vertices: np.ndarray  # (N, 3) world
    faces: np.ndarray  # (M, 3) int32, counter-clockwise from outside
    rgb: np.ndarray  # (N, 3) uint8, the object's own colours
    part: np.ndarray  # (N,) nearest part


@torch.no_grad()
def surface_mesh(
    snapshot: Snapshot, posed: Posed, resolution: int = 64, pause: Callable[[], None] = never
) -> Mesh:
    """The field's surface in the first pose of `posed`, by marching cubes. `pause`: see `distance_grid`.

    Args:
        resolution: cells along the longest side of the box that holds the ellipsoids.
    """
    backend = snapshot.backend
    low, high = bounds(posed)
    cell = float((high - low).max()) / resolution
    vertices, faces = distance_grid(snapshot.model, posed, cell, backend, pause).zero_crossing()
    points = torch.as_tensor(vertices, dtype=torch.float32, device=backend.device)
    pose_ids = torch.zeros(len(points), dtype=torch.int32, device=points.device)
    values = snapshot.model.evaluate(points, pose_ids, posed, backend)
    rgb = (255 * values.rgb.clamp(0, 1)).round().byte().cpu().numpy()
    return Mesh(vertices, faces, rgb, values.nearest_part.cpu().numpy())


class Placed(NamedTuple):
    """Unit spheres made into the ellipsoids."""

    wxyz: np.ndarray  # (P, 4) unit quaternions, part to world
    position: np.ndarray  # (P, 3)
    semi_axes: np.ndarray  # (P, 3)


def ellipsoids(posed: Posed) -> Placed:
    """Of the first pose."""
    rotation = posed.rotation[0].double().cpu().numpy()
    return Placed(quaternion(rotation), posed.translation[0].cpu().numpy(), posed.semi_axes.cpu().numpy())


class Skeleton(NamedTuple):
    """Joints of one pose."""

    candidates: np.ndarray  # (P, 6, 3)
    chosen: np.ndarray  # (P-1, 2, 3) the two candidates that each edge joins
    joints: np.ndarray  # (P-1, 3) their midpoints
    bones: np.ndarray  # (2 (P-1), 2, 3) from part centres to joints
    bone_colors: np.ndarray  # (2 (P-1), 3) uint8


def skeleton(snapshot: Snapshot, pose: Motion) -> Skeleton:
    """The joint candidates and the tree, as they are in a pose (T = 1)."""
    axes = semi_axes_of(snapshot.model)
    candidates = joint_candidates(pose.rotation[0], pose.translation[0], axes, snapshot.model.candidate_share)
    edges, joints = edges_of(snapshot.model), joints_of(snapshot.model, pose)[0]
    chosen = candidates[edges, snapshot.model.joints.edge_candidates.cpu().numpy()]
    centers = pose.translation[0][edges]  # (P-1, 2, 3)
    bones = np.stack([centers, np.broadcast_to(joints[:, None], centers.shape)], axis=2)
    colors = part_palette(len(candidates))[edges]
    return Skeleton(candidates, chosen, joints, bones.reshape(-1, 2, 3), colors.reshape(-1, 3))


def pixel_on_image(corners: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> np.ndarray | None:
    """Where a ray meets an image held in space: (2,) shares of its width and height in [0, 1]; None if it does not."""
    right, down = corners[1] - corners[0], corners[3] - corners[0]
    normal = np.cross(right, down)
    along = float(direction @ normal)
    if abs(along) < 1e-12:
        return None
    t = float((corners[0] - origin) @ normal) / along
    hit = origin + t * direction - corners[0]
    share = np.array([hit @ right / (right @ right), hit @ down / (down @ down)])
    return share if t > 0 and ((share >= 0) & (share <= 1)).all() else None


def icosphere(subdivisions: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Unit sphere: vertices (N, 3) and faces (20 * 4^subdivisions, 3), counter-clockwise from outside."""
    g = (1 + 5**0.5) / 2
    base = [(-1, g, 0), (1, g, 0), (-1, -g, 0), (1, -g, 0)]
    vertices = np.array([np.roll(v, k) for k in range(3) for v in base], float)
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    side = np.linalg.norm(vertices[:, None] - vertices, axis=-1)
    edge = np.isclose(side, side[side > 1e-9].min())
    n = len(vertices)
    faces = [
        (a, b, c)
        for a in range(n)
        for b in range(a)
        for c in range(b)
        if edge[a, b] and edge[b, c] and edge[a, c]
    ]
    triangles = vertices[np.array(faces)]
    for _ in range(subdivisions):
        a, b, c = np.moveaxis(triangles, 1, 0)
        ab, bc, ca = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (a + b, b + c, c + a))
        corners = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        triangles = np.concatenate([np.stack(t, axis=1) for t in corners])
    flipped = np.einsum("ni,ni->n", np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]),
                        triangles.mean(1)) < 0  # fmt: skip
    triangles[flipped] = triangles[flipped][:, ::-1]
    points, index = np.unique(triangles.reshape(-1, 3).round(9), axis=0, return_inverse=True)
    return points, index.reshape(-1, 3).astype(np.int32)
