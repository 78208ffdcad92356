"""The cameras round the object, in perspective: where they stand, what is up, and how large it all is."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wim_fast.drawing.annotate import draw_labels, part_palette
from wim_fast.drawing.painting import Painting
from wim_fast.recordings.cameras import Array, Cameras, image_corners, project
from wim_fast.recordings.masks import BACKGROUND, OBJECT
from wim_fast.scene.scene import Scene
from wim_fast.scene.visual_hull import hull_bounds, look_at, visual_hull

WIDTH = 1000  # pixels of the picture
UP = np.array([0.0, 0.0, 1.0])
AZIMUTH, ELEVATION = 25.0, 28.0  # degrees: from the middle between two cameras, and above the floor
FIELD = 40.0  # degrees across
FILL = 0.94  # share of the picture that holds everything
HULL_RESOLUTION = 96
HULL_COLOR = (120, 145, 190)
FLOOR, FLOOR_CELLS = (208, 208, 208), 12
BAR, ARROW = (20, 20, 20), (30, 60, 220)
PLANE_CELLS = 60  # little squares along the longer side of a picture in a frustum


class Hull(NamedTuple):
    """The surface of the visual hull, slightly smoothed; empty where the masks do not meet."""

    vertices: Array  # (N, 3)
    faces: NDArray[np.int64]  # (M, 3) counter-clockwise from outside


def cameras_in_3d(scene: Scene, frame: int, hull: Hull, unit: float, height: int) -> NDArray[np.uint8]:
    """The cameras round the object's hull, obliquely from above; z is up.

    Each frustum ends in the picture that the camera took, with its id; the floor lies under the hull, and on it a bar
    of a round number of the calibration's units.

    Args:
        frame: position in the scene.
        hull: of that frame.
        unit: of the calibration, in units of the scene.
        height: of the picture in pixels.

    Returns:
        (height, `WIDTH`, 3) uint8.
    """
    cameras, vertices = scene.cameras, hull.vertices
    center = look_at(cameras, scene.mask[:, frame])
    if len(vertices):
        center = 0.5 * (vertices.min(0) + vertices.max(0))
    reach = float(np.median(np.linalg.norm(cameras.centers - center, axis=1)))
    extent = float(np.ptp(vertices, axis=0).max()) if len(vertices) else 0.3 * reach
    depth = 0.16 * reach
    corners = np.stack([image_corners(cameras, v, depth) for v in range(len(cameras))])  # (V, 4, 3)
    arrow = _arrow(vertices if len(vertices) else center[None], extent)
    shown = np.concatenate(
        [vertices[:: max(1, len(vertices) // 500)], corners.reshape(-1, 3), cameras.centers, arrow[0]]
    )
    painting = Painting(_eye(cameras, center, shown, (WIDTH, height)))
    lowest = float(vertices[:, 2].min()) if len(vertices) else float(center[2]) - 0.5 * extent
    below = np.array([center[0], center[1], lowest])
    _paint_floor(painting, below, reach)
    painting.polygons(vertices[hull.faces], np.broadcast_to(HULL_COLOR, (len(hull.faces), 3)))
    painting.lines(arrow, np.array(ARROW), 3.0)
    bar, length = scale_bar(painting.view, vertices, below, extent, unit)
    painting.lines(bar, np.array(BAR), 3.0)
    colors = part_palette(len(cameras))
    for v in range(len(cameras)):
        _paint_frustum(painting, cameras.centers[v], corners[v], colors[v])
        squares, rgb = _picture_in_space(scene.rgba[v, frame], corners[v])
        painting.polygons(squares, rgb, shaded=False)
        painting.polygons(squares[:, ::-1], rgb, shaded=False)  # seen from behind
    named = np.concatenate([cameras.centers, arrow[0, 1:], bar[0].mean(0, keepdims=True)])
    pixels, ahead = project(painting.view, named)
    spots = np.where(ahead[0][:, None] > 0, pixels[0], np.nan)
    labels = [*map(str, cameras.ids), "up", f"{length:g} unit{'s' * (length != 1)}"]
    return draw_labels(painting.finish(), spots, labels, np.concatenate([colors, [ARROW, BAR]]))


def _arrow(vertices: Array, extent: float) -> Array:
    """Segments (5, 2, 3) of an arrow that stands on the object: its shaft, and its head."""
    foot = np.array([*(0.5 * (vertices.min(0) + vertices.max(0)))[:2], vertices[:, 2].max() + 0.08 * extent])
    tip = foot + 0.4 * extent * UP
    sides = 0.07 * extent * np.array([[1, 0, -1.6], [-1, 0, -1.6], [0, 1, -1.6], [0, -1, -1.6]])
    return np.stack([np.stack([foot, tip]), *(np.stack([tip, tip + side]) for side in sides)])


def scale_bar(
    view: Cameras, vertices: Array, below: Array, extent: float, unit: float
) -> tuple[Array, float]:
    """A bar on the floor in front of an object, at most 0.7 times as long as it.

    Args:
        view: one level camera, from whose side it lies.
        vertices: (N, 3) of the object.
        below: (3,) the floor under it.
        extent, unit: the object's longest side, and the unit of the bar.

    Returns:
        Segments (3, 2, 3): the bar and its ends; and its length in units, 1, 2 or 5 times a power of ten.
    """
    most = 0.7 * extent / unit
    power = 10.0 ** math.floor(math.log10(most))
    length = power * max(n for n in (1, 2, 5) if n * power <= most)
    right = view.T_camera_world[0, 0, :3]  # level, for the eye has no roll
    towards = np.cross(right, UP)
    nearest = float(((vertices - below) @ towards).max(initial=0.0)) + 0.15 * extent
    half, tick = 0.5 * length * unit * right, 0.04 * extent * towards
    middle = below + nearest * towards
    ends = middle - half, middle + half
    return np.stack([np.stack(ends), *(np.stack([end - tick, end + tick]) for end in ends)]), length


def hull_surface(cameras: Cameras, masks: NDArray[np.uint8]) -> Hull:
    """The hull of masks (V, H, W)."""
    from scipy.ndimage import binary_dilation, gaussian_filter
    from skimage.measure import marching_cubes

    nothing = Hull(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    # Thin parts would slip between the voxels.
    wider = np.stack([binary_dilation(mask == OBJECT) for mask in masks])
    masks = np.where(wider & (masks == BACKGROUND), OBJECT, masks).astype(np.uint8)
    bounds = hull_bounds(cameras, masks)
    if bounds is None:
        return nothing
    points = visual_hull(cameras, masks, HULL_RESOLUTION, bounds)
    if len(points) == 0:
        return nothing
    cell = float((bounds[1] - bounds[0]).max()) / HULL_RESOLUTION
    low = points.min(0)
    index = np.rint((points - low) / cell).astype(int) + 2
    filled = np.zeros(index.max(0) + 3, np.float32)
    filled[tuple(index.T)] = 1
    vertices, faces, _, _ = marching_cubes(gaussian_filter(filled, 0.8), 0.4)
    vertices = (vertices - 2) * cell + low
    return Hull(vertices, faces.astype(np.int64))


def resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image (H, W) or (H, W, C) in (width, height)."""
    how = Image.Resampling.BICUBIC if size[0] > image.shape[1] else Image.Resampling.BOX
    return np.asarray(Image.fromarray(image).resize(size, how))


def _eye(cameras: Cameras, center: Array, shown: Array, size: tuple[int, int]) -> Cameras:
    """A camera obliquely above that has all points (N, 3) in view, with images of (width, height)."""
    outward = cameras.centers[0] - center
    east = outward - (outward @ UP) * UP
    if np.linalg.norm(east) < 1e-6:
        east = np.cross(UP, np.eye(3)[np.abs(UP).argmin()])
    east /= np.linalg.norm(east)
    north = np.cross(UP, east)
    azimuth, elevation = np.radians([AZIMUTH, ELEVATION])
    towards = np.cos(elevation) * (np.cos(azimuth) * east + np.sin(azimuth) * north) + np.sin(elevation) * UP
    middle = 0.5 * (shown.min(0) + shown.max(0))
    radius = float(np.linalg.norm(shown - middle, axis=1).max())
    width, height = size
    eye = middle + towards * radius / np.sin(np.radians(FIELD / 2))
    right = np.cross(-towards, UP)
    right /= np.linalg.norm(right)
    T = np.eye(4)
    T[:3, :3] = right, np.cross(-towards, right), -towards
    T[:3, 3] = -T[:3, :3] @ eye
    K = np.diag([1.0, 1.0, 1.0])
    at = project(Cameras((0,), K[None], T[None], width, height), shown)[0][0]
    low, high = at.min(0), at.max(0)
    focal = FILL * float((np.array(size) / np.maximum(high - low, 1e-9)).min())
    K[:2] *= focal
    K[:2, 2] = 0.5 * np.array(size) - focal * 0.5 * (low + high)
    return Cameras((0,), K[None], T[None], width, height)


def _paint_floor(painting: Painting, below: Array, reach: float) -> None:
    """A square grid round a point (3,) of the floor, in little pieces so that each is as near as it looks."""
    east = np.cross(UP, np.eye(3)[np.abs(UP).argmin()])
    east /= np.linalg.norm(east)
    north = np.cross(UP, east)
    ticks = np.linspace(-1.1 * reach, 1.1 * reach, FLOOR_CELLS + 1)
    a, b = np.meshgrid(ticks, ticks, indexing="ij")
    nodes = below + a[..., None] * east + b[..., None] * north
    across = np.stack([nodes[:-1], nodes[1:]], axis=2).reshape(-1, 2, 3)
    along = np.stack([nodes[:, :-1], nodes[:, 1:]], axis=2).reshape(-1, 2, 3)
    painting.lines(np.concatenate([across, along]), np.array(FLOOR), 1.2)


def _paint_frustum(painting: Painting, center: Array, corners: Array, color: NDArray[np.uint8]) -> None:
    spokes = np.stack([np.broadcast_to(center, corners.shape), corners], axis=1)
    rim = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
    painting.lines(np.concatenate([spokes, rim]), color, 1.6)


def _picture_in_space(rgba: NDArray[np.uint8], corners: Array) -> tuple[Array, NDArray[np.uint8]]:
    """An image as little squares (N, 4, 3) between its corners (4, 3) in space, and their colours (N, 3)."""
    alpha = rgba[..., 3:] / 255.0
    color = (alpha * rgba[..., :3] + (1 - alpha) * 245).round().astype(np.uint8)
    height, width = rgba.shape[:2]
    factor = min(1.0, PLANE_CELLS / max(height, width))
    small = resized(color, (max(1, round(width * factor)), max(1, round(height * factor))))
    rows, columns = small.shape[:2]
    right, down = (corners[1] - corners[0]) / columns, (corners[3] - corners[0]) / rows
    y, x = np.mgrid[:rows, :columns]
    first = corners[0] + x.reshape(-1, 1) * right + y.reshape(-1, 1) * down
    squares = np.stack([first, first + down, first + down + right, first + right], axis=1)
    return squares, small.reshape(-1, 3)
