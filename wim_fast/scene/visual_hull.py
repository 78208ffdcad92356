"""The visual hull: all points of space that every camera's mask agrees with. Numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wim_fast.scene.cameras import Array, Cameras, closest_to_rays, pixel_rays, project

Masks = NDArray[np.bool_]


def look_at(cameras: Cameras, masks: Masks) -> Array:
    """The point (3,) where the rays through the centres of the masks (V, H, W) meet: the object's middle.

    Cameras with an empty mask do not count; without any mask the optical axes do.
    """
    some = masks.any(axis=(1, 2))
    if some.sum() < 2:
        some = np.ones(len(cameras), dtype=bool)
    origins, directions = [], []
    for i in np.flatnonzero(some):
        pixel = np.array([cameras.width, cameras.height]) / 2
        if masks[i].any():
            pixel = np.argwhere(masks[i]).mean(axis=0)[::-1] + 0.5
        origin, direction = pixel_rays(cameras.intrinsics[i], cameras.T_camera_world[i], pixel)
        origins.append(origin)
        directions.append(direction)
    return closest_to_rays(np.array(origins), np.array(directions))


def visual_hull(cameras: Cameras, masks: Masks, resolution: int = 64, bounds: Array | None = None) -> Array:
    """Centres (M, 3) of the voxels that project into every mask.

    Parameters
    ----------
    cameras, masks : V cameras and their masks (V, H, W); count unreliable pixels as mask.
    resolution : voxels along the longest side of the bounds.
    bounds : (2, 3) lower and upper corner, world; None: `hull_bounds`.

    A camera whose mask is empty, or fills the image, says nothing. One whose mask touches the image border
    says nothing about points outside its image; for the others such points are not the object. A point must
    lie in the masks of at least two cameras. Empty if there are none, or if the masks do not meet.
    """
    silhouettes = _silhouettes(cameras, masks)
    if len(silhouettes) < 2:
        return np.zeros((0, 3))
    if bounds is None:
        bounds = _bounds(silhouettes, look_at(cameras, masks), cameras.centers)
    if bounds is None:
        return np.zeros((0, 3))
    cell = float((bounds[1] - bounds[0]).max()) / resolution
    points, _ = _grid(bounds, cell)
    return points[_inside(silhouettes, points, radius=0.0)]


def hull_bounds(cameras: Cameras, masks: Masks) -> Array | None:
    """Corners (2, 3) of a box round the visual hull, slightly too wide; None if the masks do not meet."""
    silhouettes = _silhouettes(cameras, masks)
    if len(silhouettes) < 2:
        return None
    return _bounds(silhouettes, look_at(cameras, masks), cameras.centers)


class _Silhouette:
    """One camera's mask as pixel distances to it, to test balls instead of points."""

    def __init__(self, camera: Cameras, mask: Masks) -> None:
        from scipy.ndimage import distance_transform_edt

        self.camera = camera
        self.focal = float(camera.intrinsics[0, [0, 1], [0, 1]].max())
        self.distance = distance_transform_edt(~mask)  # pixels to the mask, 0 in it
        self.closed = not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())

    def touches(self, points: Array, radius: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """For balls at points (N, 3): whether they may be the object, and whether this camera sees it so."""
        (pixels,), (depth,) = project(self.camera, points)
        height, width = self.distance.shape
        ahead = depth > 1e-9 + radius
        pixels = np.where(ahead[:, None], pixels, -1.0)
        # The ball's image reaches at most this far from its centre's (exact on the axis, generous off it).
        reach = radius * self.focal / np.where(ahead, depth - radius, 1.0)
        reach *= 1 + ((pixels - self.camera.intrinsics[0, :2, 2]) ** 2).sum(1) / self.focal**2
        clamped = np.clip(pixels, 0, np.array([width, height]) - 1e-6)
        beyond = np.abs(pixels - clamped).max(axis=1)
        column, row = clamped.astype(np.int64).T
        slack = 1.5 if radius > 0 else 0.0  # the rounding of both ends to pixels
        hit = ahead & (self.distance[row, column] + beyond <= reach * np.sqrt(2) + slack)
        outside = ~ahead | (beyond > 0)
        near = ~ahead & (depth > -radius) & (radius > 0)  # the ball may hold the camera: no judgement
        possible = hit | near | (outside if not self.closed else False)
        return possible, hit & (~outside if radius == 0 else True) | near


def _silhouettes(cameras: Cameras, masks: Masks) -> list[_Silhouette]:
    useful = [i for i, mask in enumerate(masks) if mask.any() and not mask.all()]
    return [_Silhouette(cameras.select([i]), masks[i]) for i in useful]


def _inside(silhouettes: list[_Silhouette], points: Array, radius: float) -> NDArray[np.int64]:
    """Positions of the points whose ball no silhouette excludes and at least two see."""
    left = np.arange(len(points))
    votes = np.zeros(len(points), dtype=np.int64)
    for silhouette in silhouettes:
        possible, seen = silhouette.touches(points[left], radius)
        votes[left[seen]] += 1
        left = left[possible]
    return left[votes[left] >= 2]


def _grid(bounds: Array, cell: float) -> tuple[Array, NDArray[np.int64]]:
    """Centres (N, 3) of the cubic cells that fill the bounds, centred on them, and their counts (3,)."""
    extent = bounds[1] - bounds[0]
    counts = np.maximum(1, np.ceil(extent / cell - 1e-6).astype(np.int64))
    start = (bounds[0] + bounds[1]) / 2 - counts * cell / 2
    axes = [start[k] + (np.arange(counts[k]) + 0.5) * cell for k in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3), counts


def _bounds(silhouettes: list[_Silhouette], center: Array, camera_centers: Array) -> Array | None:
    """A box round the hull, coarse to fine: balls round the cells of a grid until the box stops shrinking."""
    half = float(np.linalg.norm(camera_centers - center, axis=1).max())
    bounds = np.stack([center - half, center + half])
    for _ in range(12):
        size = float((bounds[1] - bounds[0]).max())
        cell = size / 24
        points, _ = _grid(bounds, cell)
        kept = points[_inside(silhouettes, points, radius=cell * np.sqrt(3) / 2)]
        if len(kept) == 0:
            return None
        smaller = np.stack([kept.min(axis=0) - cell / 2, kept.max(axis=0) + cell / 2])
        smaller = np.stack([np.maximum(smaller[0], bounds[0]), np.minimum(smaller[1], bounds[1])])
        shrunk = (smaller[1] - smaller[0]).prod() < 0.9 * (bounds[1] - bounds[0]).prod()
        bounds = smaller
        if not shrunk:
            break
    return bounds
