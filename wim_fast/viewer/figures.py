"""The figures of the export: cells, slices, ellipsoids, surface and a ray in perspective, and plots."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from wim_fast.drawing import sheets
from wim_fast.drawing.annotate import part_palette
from wim_fast.drawing.images import enlarge_to
from wim_fast.drawing.painting import Painting
from wim_fast.drawing.plots import line_plot
from wim_fast.recordings.cameras import Cameras, project
from wim_fast.viewer import colors
from wim_fast.viewer.inspect.grid import FrameGrid, grid_slice, open_sides, visible_cells
from wim_fast.viewer.inspect.inspection import Inspection, Selection
from wim_fast.viewer.inspect.rays import RayProbe, interval_ends
from wim_fast.viewer.inspect.shape import ellipsoids, icosphere, skeleton

BLUE, ORANGE, GREEN, RED = (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40)
HARDLY = 0.01  # occupancy of cells that the field leaves empty
APART = 0.02  # between the intervals of a ray, which are drawn beside it, world units
SURFACE_CELLS = 128  # a side; a dog's tail is lost at 64
MISSED_FLOOR = 1e-3  # %
AROUND = 12  # steps of the ray before and behind its samples that its plot shows


def cells_picture(inspection: Inspection, selection: Selection, eye: Cameras) -> np.ndarray:
    """The occupied cells by part, and those that the field fills by occupancy."""
    grid, pictures = inspection.full_grid(selection), []
    for threshold in (0.0, HARDLY):
        there = grid._replace(occupied=grid.occupied & (grid.occupancy >= threshold))
        cells = visible_cells(open_sides(there))
        i, j, k = cells.unbind(-1)
        if threshold:
            color = colors.occupancy_colors(grid.occupancy[i, j, k].cpu().numpy())
        else:
            color = colors.part_colors(grid.part[i, j, k].cpu().numpy(), inspection.snapshot.num_parts)
        painting = Painting(eye)
        painting.boxes(grid.centers(cells).cpu().numpy(), 0.9 * grid.cell.cpu().numpy(), color)
        pictures.append(painting.finish())
    names = (
        "occupied cells of tcnn's grid, by nearest part",
        f"occupancy above {HARDLY:g}: violet {HARDLY:g}, yellow 1",
    )
    return sheets.grid([pictures], names)


def slices_picture(grid: FrameGrid, reach: float) -> np.ndarray:
    """Across the middle of each axis: signed distance above, occupancy below."""
    rows: list[list[np.ndarray]] = [[], []]
    middle = grid.resolution // 2
    for axis in range(3):
        plane = grid_slice(grid, axis, middle)
        known = np.isfinite(plane.sdf)[..., None]
        for row, color in zip(
            rows, (colors.sdf_colors(plane.sdf, reach), colors.occupancy_colors(plane.occupancy)), strict=True
        ):
            picture = np.where(known & plane.occupied[..., None], color, 255).astype(np.uint8)
            row.append(enlarge_to(np.ascontiguousarray(picture.swapaxes(0, 1)[::-1]), 320))
    names = [f"across {'xyz'[axis]}, cell {middle} of {grid.resolution}" for axis in range(3)]
    return sheets.grid(
        rows, names, (f"signed distance: red {-reach:.3f}, blue {reach:.3f} world units", "occupancy")
    )


def ellipsoids_picture(inspection: Inspection, selection: Selection, eye: Cameras) -> np.ndarray:
    """The ellipsoids, their joint candidates (dots), chosen joints (white) and the tree."""
    placed, bones = (
        ellipsoids(inspection.posed(selection)),
        skeleton(inspection.snapshot, inspection.pose(selection)),
    )
    palette = part_palette(inspection.snapshot.num_parts)
    vertices, faces = icosphere(3)
    rotation, center = inspection.pose(selection).rotation[0], inspection.pose(selection).translation[0]
    world = np.einsum("pab,npb->pna", rotation, vertices[:, None] * placed.semi_axes) + center[:, None]
    painting = Painting(eye)
    painting.polygons(world[:, faces].reshape(-1, 3, 3), np.repeat(palette, len(faces), axis=0), 0.4)
    structure = Painting(eye, (40, 40, 40))
    structure.dots(bones.candidates.reshape(-1, 3), np.repeat(palette, 6, axis=0), 2.0)
    structure.lines(bones.bones, bones.bone_colors, 2.5)
    structure.lines(bones.chosen, np.array([255, 255, 255]), 1.5)
    structure.dots(bones.joints, np.array([255, 255, 255]), 3.5)
    return sheets.grid(
        [[painting.finish(), structure.finish()]], ("ellipsoids", "candidates, joints (white) and tree")
    )


def surface_picture(inspection: Inspection, selection: Selection, eye: Cameras) -> np.ndarray:
    """The field's surface, as learned and by part."""
    mesh = inspection.surface(selection, SURFACE_CELLS)
    pictures = []
    for color in (mesh.rgb, colors.part_colors(mesh.part, inspection.snapshot.num_parts)):
        painting = Painting(eye)
        painting.polygons(mesh.vertices[mesh.faces], color[mesh.faces].mean(1))
        pictures.append(painting.finish())
    return sheets.grid([pictures], ("surface, colours as learned", "surface, by part"))


def ray_picture(inspection: Inspection, selection: Selection, probe: RayProbe, eye: Cameras) -> np.ndarray:
    """The ray from aside, with the object's surface behind: samples by weight, and how the march of the backend culls.

    That is the intervals inside inflated ellipsoids, beside the ray in the colours of the parts; or the cells crossed
    (orange: occupied).
    """
    grid, mesh = inspection.grid(selection), inspection.surface(selection, SURFACE_CELLS)
    painting = Painting(eye)
    painting.polygons(mesh.vertices[mesh.faces], np.full((len(mesh.faces), 3), 190), 0.35)
    culling = inspection.snapshot.backend.culling
    if culling == "intervals":
        palette = part_palette(inspection.snapshot.num_parts)
        ends = interval_ends(probe, eye.T_camera_world[0, 2, :3], APART)
        painting.lines(ends, palette[probe.parts_met], 4.0)
    if culling == "grid" and len(probe.cells):
        low, cell = grid.low.cpu().numpy(), grid.cell.cpu().numpy()
        color = np.where(probe.cell_occupied[:, None], (255, 160, 60), (215, 215, 215))
        painting.boxes(low + (probe.cells + 0.5) * cell, 0.95 * cell, color, 0.35)
    reach = float(probe.t[-1]) if len(probe.t) else 1.0
    painting.lines(np.stack([probe.origin, probe.origin + reach * probe.direction])[None], np.zeros(3), 1.0)
    weight = probe.weight[probe.taken]
    painting.dots(
        probe.points[probe.taken],
        colors.occupancy_colors(weight / max(float(weight.max(initial=0)), 1e-6)),
        3.0,
    )
    shown = {
        "intervals": "samples by weight; beside the ray its intervals in inflated ellipsoids",
        "grid": "samples by weight; cells crossed, orange: occupied",
        "none": "samples by weight",
    }[culling]
    return sheets.grid([[painting.finish()]], (shown,))


def ray_plot(probe: RayProbe, inv_s: float) -> np.ndarray:
    """Signed distance above; alpha and weight below."""
    near = slice(None)
    if probe.taken.any():
        first, last = np.flatnonzero(probe.taken)[[0, -1]]
        near = slice(max(0, first - AROUND), last + AROUND + 1)
    t, taken = probe.t[near], probe.taken[near]
    where = "distance along the ray, world units; dots: samples taken"
    above = line_plot(
        t, [("sdf", probe.sdf[near], BLUE)], f"signed distance, s = {inv_s:.0f}", where, "world units", taken
    )
    curves = [("alpha", probe.alpha[near], ORANGE), ("weight", probe.weight[near], GREEN)]
    return np.concatenate(
        [above, line_plot(t, curves, "alpha and weight of each step", where, "share", taken)]
    )


def missed_plot(numbers: Sequence[dict[str, Any]]) -> np.ndarray:
    """Missed mass of each frame, on a logarithmic axis: below `MISSED_FLOOR` it is noise."""
    frames = np.array([row["frame"] for row in numbers], float)
    missed = np.array([100 * row["missed_mass"] for row in numbers])
    title = f"opacity outside the grid of tcnn; {MISSED_FLOOR:g} %: that or less"
    return line_plot(frames, [("missed mass", missed, RED)], title, "frame", "%", floor=MISSED_FLOOR)


def across(cameras: Cameras, index: int) -> Cameras:
    """The camera (V = 1) that looks most across the axis of camera number `index`."""
    ahead = cameras.T_camera_world[:, 2, :3]
    return cameras.select([int(np.abs(ahead @ ahead[index]).argmin())])


def near_eye(camera: Cameras, grid: FrameGrid, size: int) -> Cameras:
    """A camera (V = 1) with its square image, `size` pixels wide, cropped to the occupied cells."""
    points = grid.centers(grid.occupied.nonzero()).cpu().numpy()
    if not len(points):
        return camera.resized(size, size)
    at = project(camera, points)[0][0]
    low, high = at.min(0), at.max(0)
    zoom = 0.94 * size / float((high - low).max())
    crop = np.array([[zoom, 0, 0], [0, zoom, 0], [0, 0, 1.0]])
    crop[:2, 2] = 0.5 * size - zoom * 0.5 * (low + high)
    return dataclasses.replace(camera, intrinsics=crop @ camera.intrinsics, width=size, height=size)
