"""Pictures of a recording for the eye to judge: what was filmed with its masks, and where the cameras stand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wim_fast.drawing.annotate import draw_labels, part_palette
from wim_fast.drawing.painting import Painting
from wim_fast.drawing.sheets import grid
from wim_fast.recordings.cameras import Array, Cameras, image_corners, project
from wim_fast.recordings.masks import BACKGROUND, OBJECT, UNRELIABLE
from wim_fast.recordings.selection import evenly
from wim_fast.scene.scene import Scene
from wim_fast.scene.visual_hull import hull_bounds, look_at, visual_hull

Picture = NDArray[np.uint8]

SHEET_WIDTH = 1600  # pixels
MOST_CAMERAS, MOST_FRAMES = 24, 6
ROWS_OF_A_BLOCK = 8  # more cameras stand in two blocks side by side
OUTLINE, HATCH = (214, 0, 110), (255, 190, 0)
NO_COLOR = 225  # grey of pixels without any
FADED = 0.6  # share of white over the background


def contact_sheet(scene: Scene, frames: Sequence[int]) -> Picture:
    """Cameras as rows and frames as columns: the mask's outline drawn, the background faded, unreliable pixels hatched.

    At most `SHEET_WIDTH` pixels wide, with at most `MOST_CAMERAS` cameras and `MOST_FRAMES` frames, evenly chosen.

    Args:
        frames: positions in the scene.

    Returns:
        (H, W, 3) uint8.
    """
    cameras = evenly(range(scene.num_cameras), MOST_CAMERAS)
    blocks = 2 if len(cameras) > ROWS_OF_A_BLOCK else 1
    chosen = evenly(sorted(set(frames)), MOST_FRAMES if blocks == 1 else MOST_FRAMES // 2)
    width = (SHEET_WIDTH - 24) // (blocks * len(chosen)) - 10
    height, natural = scene.size
    factor = min(width / natural, 480 / height)
    size = max(16, round(natural * factor)), max(16, round(height * factor))
    columns = [f"frame {scene.frame_ids[t]}" for t in chosen]
    rows_of_a_block = -(-len(cameras) // blocks)
    sheets = []
    for first in range(0, len(cameras), rows_of_a_block):
        some = cameras[first : first + rows_of_a_block]
        cells = [[_cell(scene, v, t, size) for t in chosen] for v in some]
        sheets.append(grid(cells, columns, [f"camera {scene.cameras.ids[v]}" for v in some]))
    tall = max(sheet.shape[0] for sheet in sheets)
    filled = [np.pad(s, ((0, tall - len(s)), (0, 0), (0, 0)), constant_values=255) for s in sheets]
    return np.concatenate(filled, axis=1)


def _cell(scene: Scene, camera: int, frame: int, size: tuple[int, int]) -> Picture:
    """One image of (width, height)."""
    from scipy.ndimage import binary_dilation

    rgba, mask = scene.rgba[camera, frame], scene.mask[camera, frame]
    alpha = rgba[..., 3:] / 255.0
    color = (alpha * rgba[..., :3] + (1 - alpha) * NO_COLOR).round().astype(np.uint8)
    picture = _resized(color, size).astype(float)
    inside = _resized((255 * (mask == OBJECT)).astype(np.uint8), size) > 127
    unsure = _resized((255 * (mask == UNRELIABLE)).astype(np.uint8), size) > 127
    picture[~inside] = FADED * 255 + (1 - FADED) * picture[~inside]
    y, x = np.indices(unsure.shape)
    picture[unsure & ((x + y) % 8 < 3)] = HATCH
    picture[binary_dilation(inside, iterations=2) & ~inside] = OUTLINE
    return picture.round().astype(np.uint8)


def _resized(image: NDArray[np.uint8], size: tuple[int, int]) -> Picture:
    how = Image.Resampling.BICUBIC if size[0] > image.shape[1] else Image.Resampling.BOX
    return np.asarray(Image.fromarray(image).resize(size, how))


SIZE = (1400, 1000)  # width, height of the picture of the cameras
AZIMUTH, ELEVATION = 25.0, 28.0  # degrees: from the middle between two cameras, and above the floor
FIELD = 40.0  # degrees across
FILL = 0.94  # share of the picture that holds everything
HULL_RESOLUTION = 96
HULL_COLOR = (120, 145, 190)
FLOOR, FLOOR_CELLS = (208, 208, 208), 12
AXES = ((200, 30, 30), (30, 150, 30), (30, 60, 220))
PLANE_CELLS = 40  # little squares along the longer side of a picture in a frustum


def cameras_in_3d(scene: Scene, frame: int, up: Sequence[float]) -> Picture:
    """The cameras round the visual hull of a frame, in perspective, obliquely from above.

    Each frustum ends in the picture that the camera took, with its id; red, green and blue are the world's x, y and z
    from its origin; the floor lies under the hull.

    Args:
        frame: position in the scene.
        up: (3,) the world's up direction, of any length.

    Returns:
        (1000, 1400, 3) uint8.
    """
    cameras, axis = scene.cameras, np.asarray(up, float) / np.linalg.norm(up)
    masks = scene.mask[:, frame]
    center = look_at(cameras, masks)
    vertices, faces = _hull_surface(cameras, masks)
    if len(vertices):
        center = 0.5 * (vertices.min(0) + vertices.max(0))
    reach = float(np.median(np.linalg.norm(cameras.centers - center, axis=1)))
    extent = float(np.ptp(vertices, axis=0).max()) if len(vertices) else 0.3 * reach
    depth = 0.16 * reach
    corners = np.stack([image_corners(cameras, v, depth) for v in range(len(cameras))])  # (V, 4, 3)
    shown = np.concatenate(
        [vertices[:: max(1, len(vertices) // 500)], corners.reshape(-1, 3), cameras.centers]
    )
    painting = Painting(_eye(cameras, center, axis, shown))
    lowest = float((vertices @ axis).min()) if len(vertices) else float(center @ axis) - 0.5 * extent
    _paint_floor(painting, center + (lowest - center @ axis) * axis, axis, reach)
    painting.polygons(vertices[faces], np.broadcast_to(HULL_COLOR, (len(faces), 3)))
    arms = 0.7 * extent * np.eye(3)
    painting.lines(np.stack([np.zeros((3, 3)), arms], 1), np.array(AXES), 3.0)
    colors = part_palette(len(cameras))
    for v in range(len(cameras)):
        _paint_frustum(painting, cameras.centers[v], corners[v], colors[v])
        squares, rgb = _picture_in_space(scene.rgba[v, frame], corners[v])
        painting.polygons(squares, rgb, shaded=False)
        painting.polygons(squares[:, ::-1], rgb, shaded=False)  # seen from behind
    pixels, ahead = project(painting.view, np.concatenate([cameras.centers, arms]))
    spots = np.where(ahead[0][:, None] > 0, pixels[0], np.nan)
    labels = [str(i) for i in cameras.ids] + ["x", "y", "z"]
    return draw_labels(painting.finish(), spots, labels, np.concatenate([colors, np.array(AXES, np.uint8)]))


def _hull_surface(cameras: Cameras, masks: NDArray[np.uint8]) -> tuple[Array, NDArray[np.int64]]:
    """Vertices (N, 3) and triangles (M, 3), counter-clockwise from outside, of the visual hull, slightly smoothed."""
    from scipy.ndimage import binary_dilation, gaussian_filter
    from skimage.measure import marching_cubes

    nothing = np.zeros((0, 3)), np.zeros((0, 3), np.int64)
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
    return vertices, faces.astype(np.int64)


def _eye(cameras: Cameras, center: Array, up: Array, shown: Array) -> Cameras:
    """A camera obliquely above that has all points (N, 3) in view."""
    outward = cameras.centers[0] - center
    east = outward - (outward @ up) * up
    if np.linalg.norm(east) < 1e-6:
        east = np.cross(up, np.eye(3)[np.abs(up).argmin()])
    east /= np.linalg.norm(east)
    north = np.cross(up, east)
    azimuth, elevation = np.radians([AZIMUTH, ELEVATION])
    towards = np.cos(elevation) * (np.cos(azimuth) * east + np.sin(azimuth) * north) + np.sin(elevation) * up
    middle = 0.5 * (shown.min(0) + shown.max(0))
    radius = float(np.linalg.norm(shown - middle, axis=1).max())
    width, height = SIZE
    eye = middle + towards * radius / np.sin(np.radians(FIELD / 2))
    right = np.cross(-towards, up)
    right /= np.linalg.norm(right)
    T = np.eye(4)
    T[:3, :3] = right, np.cross(-towards, right), -towards
    T[:3, 3] = -T[:3, :3] @ eye
    K = np.diag([1.0, 1.0, 1.0])
    at = project(Cameras((0,), K[None], T[None], width, height), shown)[0][0]
    low, high = at.min(0), at.max(0)
    focal = FILL * float((np.array(SIZE) / np.maximum(high - low, 1e-9)).min())
    K[:2] *= focal
    K[:2, 2] = 0.5 * np.array(SIZE) - focal * 0.5 * (low + high)
    return Cameras((0,), K[None], T[None], width, height)


def _paint_floor(painting: Painting, below: Array, up: Array, reach: float) -> None:
    """A square grid round a point (3,) of the floor, in little pieces so that each is as near as it looks."""
    east = np.cross(up, np.eye(3)[np.abs(up).argmin()])
    east /= np.linalg.norm(east)
    north = np.cross(up, east)
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
    small = _resized(color, (max(1, round(width * factor)), max(1, round(height * factor))))
    rows, columns = small.shape[:2]
    right, down = (corners[1] - corners[0]) / columns, (corners[3] - corners[0]) / rows
    y, x = np.mgrid[:rows, :columns]
    first = corners[0] + x.reshape(-1, 1) * right + y.reshape(-1, 1) * down
    squares = np.stack([first, first + down, first + down + right, first + right], axis=1)
    return squares, small.reshape(-1, 3)
