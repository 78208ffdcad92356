"""The visual hull: what the masks of all cameras leave to the object. Numpy only.

Masks (V, H, W) uint8 have three values, and here is the one rule of what they say about a point of space:

- One camera that sees BACKGROUND there is enough: the point is empty.
- Otherwise it is the object if more than half of the cameras, two at least, see OBJECT there. Space that fewer see is
  empty: between two cameras that face each other, all would be possible that lies outside the others' pictures.
- UNRELIABLE pixels and what lies outside a picture neither confirm nor exclude. But the object is one piece, and so is
  its image: where reliable background rings the object's pixels, what lies beyond the ring is background too.
- A camera without any object pixel, or without any background pixel, says nothing and does not count.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from wim_fast.recordings.cameras import Array, Cameras, closest_to_rays, pixel_rays, project
from wim_fast.recordings.masks import BACKGROUND, OBJECT, UNRELIABLE

Masks = NDArray[np.uint8]
Which = NDArray[np.bool_]

LEAST_RING = 5  # pixels: a thinner line of background between the object and unreliable pixels is no ring
MOST_PIXELS = 256  # of a mask's side; of a larger one every n-th is looked at: cells are coarser still


def look_at(cameras: Cameras, masks: Masks) -> Array:
    """The point (3,) where the rays through the centres of the masks (V, H, W) meet: the object's middle.

    Cameras that do not see the object do not count; if none does, the optical axes do.
    """
    objects = masks == OBJECT
    some = objects.any(axis=(1, 2))
    if some.sum() < 2:
        some = np.ones(len(cameras), dtype=bool)
    origins, directions = [], []
    for i in np.flatnonzero(some):
        pixel = np.array([cameras.width, cameras.height]) / 2
        if objects[i].any():
            pixel = np.array([_middle(objects[i], axis) for axis in (0, 1)])
        origin, direction = pixel_rays(cameras.intrinsics[i], cameras.T_camera_world[i], pixel)
        origins.append(origin)
        directions.append(direction)
    return closest_to_rays(np.array(origins), np.array(directions))


def _middle(which: Which, axis: int) -> float:
    """Of pixels (H, W): the mean of their x (axis 0 is summed over), or of their y (axis 1)."""
    counts = which.sum(axis=axis)
    return float(counts @ np.arange(len(counts)) / counts.sum()) + 0.5


def visual_hull(cameras: Cameras, masks: Masks, resolution: int = 64, bounds: Array | None = None) -> Array:
    """Centres (M, 3) of the voxels that are the object by the rule above.

    Parameters
    ----------
    cameras, masks : V cameras and their masks (V, H, W), with three values.
    resolution : voxels along the longest side of the bounds.
    bounds : (2, 3) lower and upper corner, world; None: `hull_bounds`.

    Empty if the masks do not meet.
    """
    silhouettes = _silhouettes(cameras, masks)
    if bounds is None:
        bounds = _bounds(silhouettes, look_at(cameras, masks), cameras.centers)
    return _carve(silhouettes, bounds, resolution)


def hull_bounds(cameras: Cameras, masks: Masks) -> Array | None:
    """Corners (2, 3) of a box round the visual hull, slightly too wide; None if the masks do not meet."""
    silhouettes = _silhouettes(cameras, masks)
    return _bounds(silhouettes, look_at(cameras, masks), cameras.centers)


def hull_core(cameras: Cameras, masks: Masks, depth: float, resolution: int = 48) -> Array:
    """Points (M, 3) of the visual hull that lie deep inside: at least `depth` (world) from every mask's outline.

    The skin of a hull of few views is often empty space; its core seldom is. A point that falls on an unreliable pixel
    of some camera is not in the core: nobody knows how deep it lies there.
    """
    silhouettes = _silhouettes(cameras, masks)
    points = _carve(silhouettes, _bounds(silhouettes, look_at(cameras, masks), cameras.centers), resolution)
    for silhouette in silhouettes:
        points = points[silhouette.deep(points, depth)]
    return points


def possible_pixels(mask: Masks) -> Which:
    """Where the object is or may be (H, W): its pixels, and the unreliable ones that background does not keep apart."""
    from scipy.ndimage import label

    unreliable, of_object = mask == UNRELIABLE, mask == OBJECT
    possible = of_object | unreliable
    if not unreliable.any():
        return possible
    pieces, count = label(_grown(possible, LEAST_RING // 2), structure=np.ones((3, 3)))
    touching = np.zeros(count + 1, dtype=bool)
    touching[pieces[of_object]] = True
    possible[unreliable] = touching[pieces[unreliable]]
    return possible


def _grown(which: Which, steps: int) -> Which:
    """With the pixels (H, W) that are at most so many steps away, up, down or sideways: scipy takes seven times as long."""
    grown = which.copy()
    for _ in range(steps):
        before = grown.copy()
        grown[1:] |= before[:-1]
        grown[:-1] |= before[1:]
        grown[:, 1:] |= before[:, :-1]
        grown[:, :-1] |= before[:, 1:]
    return grown


class _Silhouette:
    """One camera and its mask (H, W), to test points and balls against. Tests return (possible, seen): whether this
    camera admits the object there, and whether that is because it sees it there. Pixels are those of the mask thinned
    out to `MOST_PIXELS` a side."""

    def __init__(self, camera: Cameras, mask: Masks) -> None:
        from scipy.ndimage import distance_transform_edt

        possible = possible_pixels(mask)
        edges = possible[0], possible[-1], possible[:, 0], possible[:, -1]
        self.closed = not any(edge.any() for edge in edges)  # background rings the object within the picture
        every = -(-max(mask.shape) // MOST_PIXELS)
        middle = slice(every // 2, None, every)  # pixels are squares of so many, as what is in their middles
        self.object, self.possible = mask[middle, middle] == OBJECT, possible[middle, middle]
        self.camera = camera = _thinned(camera, every, self.object.shape)
        self.to_object = distance_transform_edt(~self.object)  # pixels, 0 in it
        known = (self.possible == self.object).all()
        self.to_possible = self.to_object if known else distance_transform_edt(~self.possible)
        self.focal = float(camera.intrinsics[0, [0, 1], [0, 1]].max())
        corners = np.array([[x, y] for x in (0, camera.width) for y in (0, camera.height)], dtype=np.float64)
        _, rays = pixel_rays(camera.intrinsics[0], np.eye(4), corners)
        self.field_of_view = float(np.arccos(rays[:, 2]).max())  # radians, axis to farthest corner

    def pixels(self, points: Array) -> tuple[Which, NDArray[np.int64], NDArray[np.int64], Array]:
        """Which of the points (N, 3) fall into the picture; row, column and depth (world) of those."""
        (pixels,), (depth,) = project(self.camera, points)
        height, width = self.object.shape
        ahead = depth > 1e-9
        x, y = np.where(ahead[:, None], pixels, -1.0).T
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return inside, y[inside].astype(np.int64), x[inside].astype(np.int64), depth[inside]

    def points(self, points: Array) -> tuple[Which, Which]:
        """For points (N, 3), by the pixels that they fall on."""
        inside, row, column, _ = self.pixels(points)
        seen, possible = np.zeros(len(points), dtype=bool), np.full(len(points), not self.closed)
        seen[inside], possible[inside] = self.object[row, column], self.possible[row, column]
        return possible, seen

    def deep(self, points: Array, depth: float) -> Which:
        """Which of the points (N, 3) of the hull lie `depth` (world) from the outline; those outside the picture do."""
        from scipy.ndimage import distance_transform_edt

        inside, row, column, distance = self.pixels(points)
        margin = distance_transform_edt(self.possible)[row, column]  # pixels to the background
        found = np.ones(len(points), dtype=bool)
        reached = margin * distance >= depth * self.camera.intrinsics[0, 0, 0]
        found[inside] = self.object[row, column] & reached
        return found

    def balls(self, centers: Array, radius: float) -> tuple[Which, Which]:
        """For balls at (N, 3): may any of their points be possible, or seen? Never a false no."""
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
        size = np.array([self.camera.width, self.camera.height])
        clamped = np.clip(pixels, 0, size - 1e-6)
        column, row = clamped.astype(np.int64).T
        beyond = np.linalg.norm(pixels - clamped, axis=1)
        off_image = outside.copy()
        off_image[narrow] = np.minimum(pixels, size - pixels).min(axis=1) <= reach
        possible, seen = ~outside, ~outside
        slack = 1.5  # both ends are rounded to pixels
        possible[narrow] = np.hypot(self.to_possible[row, column], beyond) <= reach + slack
        seen[narrow] = np.hypot(self.to_object[row, column], beyond) <= reach + slack
        return possible if self.closed else possible | off_image, seen


def _thinned(camera: Cameras, every: int, shape: tuple[int, ...]) -> Cameras:
    """The camera whose pixels are squares of `every` x `every` pixels; `shape` (H, W) of them."""
    intrinsics = camera.intrinsics / np.array([every, every, 1.0])[:, None]
    return dataclasses.replace(camera, intrinsics=intrinsics, width=shape[1], height=shape[0])


def _silhouettes(cameras: Cameras, masks: Masks) -> list[_Silhouette]:
    useful = [i for i, mask in enumerate(masks) if (mask == OBJECT).any() and (mask == BACKGROUND).any()]
    return [_Silhouette(cameras.select([i]), masks[i]) for i in useful]


def _carve(silhouettes: list[_Silhouette], bounds: Array | None, resolution: int) -> Array:
    """The points of the hull (M, 3) within the bounds; none if there are no bounds, or fewer than two cameras."""
    if bounds is None or len(silhouettes) < 2:
        return np.zeros((0, 3))
    cell = float((bounds[1] - bounds[0]).max()) / resolution
    return _inside(silhouettes, _grid(bounds, cell))


def _inside(silhouettes: list[_Silhouette], points: Array, radius: float = 0.0) -> Array:
    """The points whose ball of that radius no silhouette excludes and more than half see."""
    votes = np.zeros(len(points), dtype=np.int64)
    for silhouette in silhouettes:
        possible, seen = silhouette.balls(points, radius) if radius else silhouette.points(points)
        points, votes = points[possible], (votes + seen)[possible]
    return points[2 * votes > len(silhouettes)]


def _grid(bounds: Array, cell: float) -> Array:
    """Centres (N, 3) of the cubic cells that fill the bounds, centred on them."""
    extent = bounds[1] - bounds[0]
    counts = np.maximum(1, np.ceil(extent / cell - 1e-6).astype(np.int64))
    start = (bounds[0] + bounds[1]) / 2 - counts * cell / 2
    axes = [start[k] + (np.arange(counts[k]) + 0.5) * cell for k in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def _bounds(silhouettes: list[_Silhouette], center: Array, camera_centers: Array) -> Array | None:
    """A box round the hull, coarse to fine: balls round the cells of a grid until the box stops shrinking."""
    if len(silhouettes) < 2:
        return None
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
