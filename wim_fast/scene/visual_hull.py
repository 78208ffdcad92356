"""The visual hull: all points of space that every camera's mask agrees with. Numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wim_fast.recordings.cameras import Array, Cameras, closest_to_rays, pixel_rays, project
from wim_fast.recordings.masks import UNRELIABLE

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
    return _inside(silhouettes, _grid(bounds, cell))


def hull_bounds(cameras: Cameras, masks: Masks) -> Array | None:
    """Corners (2, 3) of a box round the visual hull, slightly too wide; None if the masks do not meet."""
    silhouettes = _silhouettes(cameras, masks)
    if len(silhouettes) < 2:
        return None
    return _bounds(silhouettes, look_at(cameras, masks), cameras.centers)


def hull_core(cameras: Cameras, masks: Masks, depth: float, resolution: int = 48) -> Array:
    """Points (M, 3) of the visual hull that lie deep inside: at least `depth` (world) from every mask's outline.

    The skin of a hull of few views is often empty space; its core seldom is.
    """
    from scipy.ndimage import distance_transform_edt

    points = visual_hull(cameras, masks, resolution)
    pixels, distance = project(cameras, points)
    for i in np.flatnonzero(masks.any((1, 2)) & ~masks.all((1, 2))):
        margin = distance_transform_edt(np.pad(masks[i], 1))[1:-1, 1:-1]  # pixels to the outline
        x, y = pixels[i].T
        seen = (x >= 0) & (x < cameras.width) & (y >= 0) & (y < cameras.height)
        inner = np.full(len(points), np.inf)
        inner[seen] = margin[y[seen].astype(np.int64), x[seen].astype(np.int64)]
        keep = inner * distance[i] >= depth * cameras.intrinsics[i, 0, 0]
        points, pixels, distance = points[keep], pixels[:, keep], distance[:, keep]
    return points


def on_unreliable_pixel(cameras: Cameras, mask: NDArray[np.uint8], points: Array) -> Masks:
    """Which of the points (N, 3) fall on an unreliable pixel of some mask (V, H, W); images without any reliable
    pixel do not count."""
    found = np.zeros(len(points), dtype=bool)
    pixels, depth = project(cameras, points)
    for i in np.flatnonzero((mask == UNRELIABLE).any((1, 2)) & (mask != UNRELIABLE).any((1, 2))):
        x, y = pixels[i].T
        seen = np.flatnonzero(
            (depth[i] > 0) & (x >= 0) & (x < cameras.width) & (y >= 0) & (y < cameras.height)
        )
        found[seen] |= mask[i, y[seen].astype(np.int64), x[seen].astype(np.int64)] == UNRELIABLE
    return found


class _Silhouette:
    """One camera and its mask, to test points and balls against. Tests return (possible, seen): whether this
    camera admits the object there, and whether that is because it sees it there."""

    def __init__(self, camera: Cameras, mask: Masks) -> None:
        from scipy.ndimage import distance_transform_edt

        self.camera = camera
        self.mask = mask
        self.distance = distance_transform_edt(~mask)  # pixels to the mask, 0 in it
        # Does the whole mask lie in the image? Then so does the object.
        self.closed = not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
        self.focal = float(camera.intrinsics[0, [0, 1], [0, 1]].max())
        corners = np.array([[x, y] for x in (0, camera.width) for y in (0, camera.height)], dtype=np.float64)
        _, rays = pixel_rays(camera.intrinsics[0], np.eye(4), corners)
        self.field_of_view = float(np.arccos(rays[:, 2]).max())  # radians, axis to farthest corner

    def points(self, points: Array) -> tuple[Masks, Masks]:
        """For points (N, 3): is the pixel they fall on in the mask?"""
        (pixels,), (depth,) = project(self.camera, points)
        height, width = self.mask.shape
        ahead = depth > 1e-9
        pixels = np.where(ahead[:, None], pixels, -1.0)
        x, y = pixels.T
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        hit = np.zeros(len(points), dtype=bool)
        hit[inside] = self.mask[y[inside].astype(np.int64), x[inside].astype(np.int64)]
        return hit if self.closed else hit | ~inside, hit

    def balls(self, centers: Array, radius: float) -> tuple[Masks, Masks]:
        """For balls at (N, 3): may their images touch the mask? Never a false no."""
        T = self.camera.T_camera_world[0]
        local = centers @ T[:3, :3].T + T[:3, 3]
        lateral, depth = np.linalg.norm(local[:, :2], axis=1), local[:, 2]
        angle = np.arctan2(lateral, depth)  # from the optical axis
        aperture = np.arcsin(np.minimum(1.0, radius / np.maximum(np.hypot(lateral, depth), 1e-12)))
        outside = angle - aperture > self.field_of_view
        wide = angle + aperture > 1.5  # too close or too oblique to bound in pixels
        narrow = np.flatnonzero(~outside & ~wide)
        tangent = np.tan(angle[narrow])
        reach = self.focal * (np.tan(angle[narrow] + aperture[narrow]) - tangent)
        (pixels,), _ = project(self.camera, centers[narrow])
        clamped = np.clip(pixels, 0, np.array([self.camera.width, self.camera.height]) - 1e-6)
        column, row = clamped.astype(np.int64).T
        beyond = np.linalg.norm(pixels - clamped, axis=1)
        hit = ~outside
        # The slack covers both ends being rounded to pixels.
        hit[narrow] = np.hypot(self.distance[row, column], beyond) <= reach + 1.5
        off_image = outside.copy()
        off_image[narrow] = beyond > 0
        return hit if self.closed else hit | off_image, hit


def _silhouettes(cameras: Cameras, masks: Masks) -> list[_Silhouette]:
    useful = [i for i, mask in enumerate(masks) if mask.any() and not mask.all()]
    return [_Silhouette(cameras.select([i]), masks[i]) for i in useful]


def _inside(silhouettes: list[_Silhouette], points: Array, radius: float = 0.0) -> Array:
    """The points whose ball of that radius no silhouette excludes and at least two see."""
    votes = np.zeros(len(points), dtype=np.int64)
    for silhouette in silhouettes:
        possible, seen = silhouette.balls(points, radius) if radius else silhouette.points(points)
        points, votes = points[possible], (votes + seen)[possible]
    return points[votes >= 2]


def _grid(bounds: Array, cell: float) -> Array:
    """Centres (N, 3) of the cubic cells that fill the bounds, centred on them."""
    extent = bounds[1] - bounds[0]
    counts = np.maximum(1, np.ceil(extent / cell - 1e-6).astype(np.int64))
    start = (bounds[0] + bounds[1]) / 2 - counts * cell / 2
    axes = [start[k] + (np.arange(counts[k]) + 0.5) * cell for k in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def _bounds(silhouettes: list[_Silhouette], center: Array, camera_centers: Array) -> Array | None:
    """A box round the hull, coarse to fine: balls round the cells of a grid until the box stops shrinking."""
    half = float(np.linalg.norm(camera_centers - center, axis=1).max())
    bounds = np.stack([center - half, center + half])
    for _ in range(12):
        size = float((bounds[1] - bounds[0]).max())
        cell = size / 24
        kept = _inside(silhouettes, _grid(bounds, cell), radius=cell * np.sqrt(3) / 2)
        if len(kept) == 0:
            return None
        smaller = np.stack([kept.min(axis=0) - cell / 2, kept.max(axis=0) + cell / 2])
        smaller = np.stack([np.maximum(smaller[0], bounds[0]), np.minimum(smaller[1], bounds[1])])
        shrunk = (smaller[1] - smaller[0]).prod() < 0.9 * (bounds[1] - bounds[0]).prod()
        bounds = smaller
        if not shrunk:
            break
    return bounds
