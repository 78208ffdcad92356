"""What the page shows, as pictures and numbers in a folder: for machines without a browser, and for papers."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast.compositing import over_uint8
from wim_fast.drawing import sheets
from wim_fast.drawing.annotate import marked_pixel, part_palette
from wim_fast.drawing.images import enlarge_to, write_png
from wim_fast.drawing.painting import Painting
from wim_fast.drawing.plots import line_plot
from wim_fast.errors import UserError
from wim_fast.files import write_atomic
from wim_fast.recordings.cameras import Cameras, pixel_rays, project
from wim_fast.runs.run import load_run
from wim_fast.scene.scene import camera_positions
from wim_fast.viewer import colors
from wim_fast.viewer.inspect.culling import how_it_culls, what_the_grid_is
from wim_fast.viewer.inspect.frame import frame_numbers
from wim_fast.viewer.inspect.grid import FrameGrid, frame_grid, grid_slice, training_band, visible_cells
from wim_fast.viewer.inspect.images import compare
from wim_fast.viewer.inspect.inspection import Inspection, Selection
from wim_fast.viewer.inspect.rays import RayProbe, interval_ends
from wim_fast.viewer.inspect.shape import ellipsoids, icosphere, skeleton
from wim_fast.viewer.inspect.snapshot import Film, Snapshot

BLUE, ORANGE, GREEN, RED = (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40)
HARDLY = 0.01  # occupancy of cells that the field leaves empty
AROUND = 12  # steps of the ray before and behind its samples that its plot shows


def export(
    run_path: str,
    backend: str,
    folder: Path,
    frame: int,
    camera: int | None,
    pixel: Sequence[int] | None,
    size: int,
) -> None:
    """Write all views of a frame and the numbers of all frames; say what was written.

    Args:
        camera: id; None for the first trained on. pixel: (x, y); None for the middle of the object.
        size: longer side of the pictures in pixels.
    """
    run = load_run(run_path, backend)
    snapshot, film = Snapshot.of_run(run), Film(run)
    if not 0 <= frame < snapshot.num_frames:
        problem = f"there are {snapshot.num_frames} frames trained on"
        raise UserError(f"--frame {frame}", problem, f"choose one from 0 to {snapshot.num_frames - 1}")
    cameras = film.cameras
    index = 0 if camera is None else camera_positions(f"--camera {camera}", cameras.ids, [camera])[0]
    if pixel is not None and not (0 <= pixel[0] < cameras.width and 0 <= pixel[1] < cameras.height):
        problem = f"images are {cameras.width} x {cameras.height} pixels"
        raise UserError(f"--pixel {pixel[0]} {pixel[1]}", problem, "choose one inside, counted from 0")
    inspection, selection = Inspection(snapshot, film), Selection(frame)
    x, y = pixel if pixel is not None else middle_pixel(film.images(frame)[index])
    origin, direction = pixel_rays(
        cameras.intrinsics[index], cameras.T_camera_world[index], np.array([x + 0.5, y + 0.5])
    )
    probe = inspection.probe(selection, origin, direction)
    eye = near_eye(cameras.select([index]), inspection.grid(selection), size)
    comparison = compare(snapshot, inspection.posed(selection), film, frame, index)
    numbers = all_numbers(inspection)
    ray = {"camera": cameras.ids[index], "pixel": [int(x), int(y)], **ray_numbers(probe)}
    content = {
        "run": str(run.path),
        "step": snapshot.step,
        "backend": {"name": run.backend.name, "culling": run.backend.culling},
        "about": [how_it_culls(run.backend), what_the_grid_is(run.backend)],
        "inv_s": snapshot.inv_s,
        "band": training_band(snapshot),
        "shown_frame": frame,
        "psnr": comparison.psnr,
        "ray": ray,
        "frames": numbers,
    }
    pictures = {
        "cells.png": cells_picture(inspection, selection, eye),
        "slices.png": slices_picture(inspection.grid(selection), training_band(snapshot)),
        "ellipsoids.png": ellipsoids_picture(inspection, selection, eye),
        "surface.png": surface_picture(inspection, selection, eye),
        "ray.png": ray_picture(
            inspection, selection, probe, near_eye(across(cameras, index), inspection.grid(selection), size)
        ),
        "ray_plot.png": ray_plot(probe, snapshot.inv_s),
        "pixel.png": marked_pixel(
            enlarge_to(over_uint8(film.images(frame)[index], film.background), size),
            (x + 0.5) / cameras.width,
            (y + 0.5) / cameras.height,
        ),
        "image.png": sheets.grid(
            [[enlarge_to(picture, min(size, 512)) for picture in comparison[:3]]],
            ("rendered", "filmed", f"difference, PSNR {comparison.psnr:.1f} dB"),
        ),
        "missed_mass.png": missed_plot(numbers),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            print(f"wrote {write_png(folder / name, picture)}")
        write_atomic(folder / "numbers.json", json.dumps(without_nan(content), indent=1).encode())
        print(f"wrote {folder / 'numbers.json'}")
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            error.filename or folder, f"cannot be written ({reason})", "choose another --export"
        ) from None


def all_numbers(inspection: Inspection) -> list[dict[str, Any]]:
    """Of every frame, with the grid of training."""
    snapshot, rows = inspection.snapshot, []
    for frame in range(snapshot.num_frames):
        posed = snapshot.posed(frame)
        grid = frame_grid(snapshot, posed, with_field=False)
        numbers = frame_numbers(snapshot, posed, grid, inspection.rays)
        rows.append({"frame": frame, "frame_id": inspection.film.run.frame_ids[frame], **numbers.to_dict()})
    return rows


def ray_numbers(probe: RayProbe) -> dict[str, Any]:
    """The intervals in inflated ellipsoids, cells of the tcnn backend's grid, and the samples taken, in order along the ray."""
    taken = probe.taken
    rows = {"t": probe.t, "sdf": probe.sdf, "alpha": probe.alpha, "weight": probe.weight}
    return {
        "origin": probe.origin.tolist(),
        "direction": probe.direction.tolist(),
        "opacity": probe.opacity,
        "depth": probe.depth,
        "intervals": [
            {"part": int(part), "enters": float(enters), "leaves": float(leaves)}
            for part, (enters, leaves) in zip(probe.parts_met, probe.intervals[probe.parts_met], strict=True)
        ],
        "missed_mass": probe.missed,
        "cells_crossed": len(probe.cells),
        "cells_occupied": int(probe.cell_occupied.sum()),
        "samples": {name: values[taken].tolist() for name, values in rows.items()},
    }


def middle_pixel(rgba: np.ndarray) -> tuple[int, int]:
    """The pixel (x, y) of the object nearest to the middle of its mask; the image's middle if it sees nothing."""
    y, x = np.nonzero(rgba[..., 3] > 127)
    if not len(x):
        return rgba.shape[1] // 2, rgba.shape[0] // 2
    k = ((x - x.mean()) ** 2 + (y - y.mean()) ** 2).argmin()
    return int(x[k]), int(y[k])


def cells_picture(inspection: Inspection, selection: Selection, eye: Cameras) -> np.ndarray:
    """The occupied cells by part, and those that the field fills by occupancy."""
    grid, pictures = inspection.grid(selection), []
    for threshold in (0.0, HARDLY):
        there = grid._replace(occupied=grid.occupied & (grid.occupancy >= threshold))
        cells = visible_cells(there)
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
    mesh = inspection.mesh(selection, 96)
    pictures = []
    for color in (mesh.rgb, colors.part_colors(mesh.part, inspection.snapshot.num_parts)):
        painting = Painting(eye)
        painting.polygons(mesh.vertices[mesh.faces], color[mesh.faces].mean(1))
        pictures.append(painting.finish())
    return sheets.grid([pictures], ("surface, colours as learned", "surface, by part"))


def ray_picture(inspection: Inspection, selection: Selection, probe: RayProbe, eye: Cameras) -> np.ndarray:
    """The ray from aside, with the object's surface behind: samples by weight, and how the march of the backend culls.

    That is the intervals inside inflated ellipsoids, in the colours of the parts; or the cells crossed (orange: occupied).
    """
    grid, mesh = inspection.grid(selection), inspection.mesh(selection, 96)
    painting = Painting(eye)
    painting.polygons(mesh.vertices[mesh.faces], np.full((len(mesh.faces), 3), 190), 0.35)
    culling = inspection.snapshot.backend.culling
    if culling == "intervals":
        palette = part_palette(inspection.snapshot.num_parts)
        painting.lines(interval_ends(probe), palette[probe.parts_met], 4.0)
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
    return painting.finish()


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
    """Missed mass of each frame."""
    frames = np.array([row["frame"] for row in numbers], float)
    missed = np.array([100 * row["missed_mass"] for row in numbers])
    return line_plot(frames, [("missed mass", missed, RED)], "opacity outside the grid of tcnn", "frame", "%")


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


def without_nan(value: Any) -> Any:
    """NaN becomes null: JSON has none."""
    if isinstance(value, dict):
        return {key: without_nan(v) for key, v in value.items()}
    if isinstance(value, list):
        return [without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
