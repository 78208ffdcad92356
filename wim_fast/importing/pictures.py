"""One picture of an imported scene for the eye to judge: film, masks, hull, cameras, and what was found."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wim_fast.drawing.figure import drawn, new_figure, points
from wim_fast.drawing.sheets import CAPTION_COLOR, grid
from wim_fast.importing.view_in_3d import WIDTH, Hull, cameras_in_3d, hull_surface, resized
from wim_fast.recordings.cameras import Cameras, project
from wim_fast.recordings.masks import OBJECT, UNRELIABLE
from wim_fast.recordings.selection import evenly
from wim_fast.scene.scene import Scene

Picture = NDArray[np.uint8]

PICTURE = "import.png"
SHEET = (1300, 1240)  # width, height in pixels that rows and columns of film may take
MOST_CAMERAS, MOST_FRAMES, LEAST_FRAMES = 24, 6, 3
ROWS_OF_A_BLOCK = 8  # more cameras stand in two blocks side by side
LEAST_VIEW = 700  # pixels: height of the cameras in 3-D
LEAST_CELL, LARGEST_CELL = (
    300,
    480,
)  # pixels of the longer side: fewer frames are shown rather than smaller ones
OUTLINE, HULL, HATCH = (214, 0, 110), (0, 150, 220), (255, 190, 0)
NO_COLOR = 225  # grey of pixels without any
FADED = 0.5  # share of white over the background
TEXT_SIZE, TEXT_WIDTH = 24, 76  # pixels, letters

LEGEND = "pink: outline of the mask; blue: of the hull of all masks; hatched: unreliable"


def overview(filmed: Scene, unit: float, text: Sequence[str]) -> Picture:
    """Film with the outlines of masks and hull beside the cameras in 3-D, and a text.

    Args:
        filmed: some frames, with the background; z is up.
        unit: of the calibration, in units of the scene.
        text: paragraphs.

    Returns:
        (H, W, 3) uint8.
    """
    hulls = [hull_surface(filmed.cameras, filmed.mask[:, t]) for t in range(filmed.num_frames)]
    sheet, page = contact_sheet(filmed, hulls), _page([*text, LEGEND])
    middle = filmed.num_frames // 2
    room = max(LEAST_VIEW, len(sheet) - len(page))
    side = np.concatenate([cameras_in_3d(filmed, middle, hulls[middle], unit, room), page])
    height = max(len(sheet), len(side))
    parts = [np.pad(p, ((0, height - len(p)), (0, 0), (0, 0)), constant_values=255) for p in (sheet, side)]
    return np.concatenate(parts, axis=1)


def _page(paragraphs: Sequence[str]) -> Picture:
    """A text on white, as wide as the cameras in 3-D."""
    lines = [line for text in paragraphs for line in [*textwrap.wrap(text, TEXT_WIDTH), ""]]
    height = round(1.25 * TEXT_SIZE * len(lines)) + TEXT_SIZE
    figure = new_figure(WIDTH, height)
    figure.text(
        0.04, 1.0, "\n".join(lines), fontsize=points(TEXT_SIZE), verticalalignment="top",
        color=CAPTION_COLOR, parse_math=False,
    )  # fmt: skip
    return drawn(figure)


def contact_sheet(filmed: Scene, hulls: Sequence[Hull]) -> Picture:
    """Cameras as rows and frames as columns: outlines of mask and hull, the background faded, unreliable pixels hatched.

    About `SHEET` in size, with at most `MOST_CAMERAS` cameras and `MOST_FRAMES` frames, evenly chosen.

    Args:
        hulls: of all frames.

    Returns:
        (H, W, 3) uint8.
    """
    cameras = evenly(range(filmed.num_cameras), MOST_CAMERAS)
    blocks = 2 if len(cameras) > ROWS_OF_A_BLOCK else 1
    rows = -(-len(cameras) // blocks)
    most = min(MOST_FRAMES // blocks, filmed.num_frames)
    size, count = _cells(filmed.size, rows, blocks, most)
    chosen = evenly(range(filmed.num_frames), count)
    columns = [f"frame {filmed.frame_ids[t]}" for t in chosen]
    sheets = []
    for first in range(0, len(cameras), rows):
        some = cameras[first : first + rows]
        cells = [[_cell(filmed, v, t, hulls[t], size) for t in chosen] for v in some]
        sheets.append(grid(cells, columns, [f"camera {filmed.cameras.ids[v]}" for v in some]))
    tall = max(sheet.shape[0] for sheet in sheets)
    filled = [np.pad(s, ((0, tall - len(s)), (0, 0), (0, 0)), constant_values=255) for s in sheets]
    return np.concatenate(filled, axis=1)


def _cells(picture: tuple[int, int], rows: int, blocks: int, most: int) -> tuple[tuple[int, int], int]:
    """(width, height) of cells that show pictures of (height, width), and how many frames, of `most`, have room."""
    height, width = picture
    for count in range(most, min(LEAST_FRAMES, most) - 1, -1):
        room = SHEET[0] / (blocks * count) - 10, SHEET[1] / rows - 30  # beside gaps and captions
        factor = min(room[0] / width, room[1] / height, LARGEST_CELL / max(picture))
        if factor * max(picture) >= LEAST_CELL:
            break
    return (max(16, round(width * factor)), max(16, round(height * factor))), count


def _cell(filmed: Scene, camera: int, frame: int, hull: Hull, size: tuple[int, int]) -> Picture:
    """One image of (width, height)."""
    rgba, mask = filmed.rgba[camera, frame], filmed.mask[camera, frame]
    alpha = rgba[..., 3:] / 255.0
    color = (alpha * rgba[..., :3] + (1 - alpha) * NO_COLOR).round().astype(np.uint8)
    picture = resized(color, size).astype(float)
    inside = resized((255 * (mask == OBJECT)).astype(np.uint8), size) > 127
    unsure = resized((255 * (mask == UNRELIABLE)).astype(np.uint8), size) > 127
    picture[~inside] = FADED * 255 + (1 - FADED) * picture[~inside]
    y, x = np.indices(unsure.shape)
    picture[unsure & ((x + y) % 8 < 3)] = HATCH
    picture[_outline(_projected(hull, filmed.cameras.select([camera]), size), 1)] = HULL
    picture[_outline(inside, 2)] = OUTLINE
    return picture.round().astype(np.uint8)


def _outline(inside: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The pixels (H, W) round a region, `width` wide."""
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(inside, iterations=width) & ~inside)


def _projected(hull: Hull, camera: Cameras, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a hull is in an image of (width, height): its vertices as pixels, and what lies between neighbours."""
    from scipy.ndimage import binary_closing

    width, height = size
    if not len(hull.vertices):
        return np.zeros((height, width), bool)
    view = camera.resized(width, height)
    (pixels,), (depth,) = project(view, hull.vertices)
    edges = np.linalg.norm(hull.vertices[hull.faces[:, 0]] - hull.vertices[hull.faces[:, 1]], axis=1)
    spacing = float(np.median(edges)) * view.intrinsics[0, 0, 0] / max(float(np.median(depth)), 1e-9)
    reach = int(np.clip(np.ceil(spacing), 1, 12))
    x, y = np.floor(pixels[depth > 0]).astype(np.int64).T + 2 * reach
    canvas = np.zeros((height + 4 * reach, width + 4 * reach), bool)
    there = (x >= 0) & (x < canvas.shape[1]) & (y >= 0) & (y < canvas.shape[0])
    canvas[y[there], x[there]] = True
    inside = slice(2 * reach, -2 * reach)
    return np.asarray(binary_closing(canvas, iterations=reach)[inside, inside])
