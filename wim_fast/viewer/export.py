"""What the page shows, as pictures and numbers in a folder: for machines without a browser, and for papers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast.compositing import over_uint8
from wim_fast.drawing import sheets
from wim_fast.drawing.annotate import marked_pixel
from wim_fast.drawing.images import enlarge_to, write_png
from wim_fast.errors import UserError
from wim_fast.files import write_atomic
from wim_fast.recordings.cameras import pixel_rays
from wim_fast.recordings.selection import camera_positions
from wim_fast.runs.run import load_run
from wim_fast.viewer import figures
from wim_fast.viewer.inspect.culling import how_it_culls, what_the_grid_is
from wim_fast.viewer.inspect.frame import frame_numbers
from wim_fast.viewer.inspect.grid import frame_grid, training_band
from wim_fast.viewer.inspect.images import Comparison, compare
from wim_fast.viewer.inspect.inspection import Inspection, Selection
from wim_fast.viewer.inspect.rays import RayProbe
from wim_fast.viewer.inspect.snapshot import Film, Snapshot


def export(
    run_path: str | Path,
    backend: str,
    folder: Path,
    frame: int = 0,
    camera: int | None = None,
    pixel: Sequence[int] | None = None,
    size: int = 640,
) -> list[Path]:
    """Write all views of a frame and the numbers of all frames; returns the files written.

    Args:
        camera: id; None for the first trained on. pixel: (x, y); None for the middle of the object.
        size: longer side of the pictures in pixels.
    """
    run = load_run(run_path, backend)
    inspection = Inspection(Snapshot.of_run(run), Film(run))
    index, (x, y) = checked_place(inspection, frame, camera, pixel)
    film, cameras, selection = inspection.film, inspection.film.cameras, Selection(frame)
    origin, direction = pixel_rays(
        cameras.intrinsics[index], cameras.T_camera_world[index], np.array([x + 0.5, y + 0.5])
    )
    probe = inspection.probe(selection, origin, direction)
    comparison = compare(inspection.snapshot, inspection.posed(selection), film, frame, index)
    numbers = {
        "run": str(run.path),
        **snapshot_numbers(inspection.snapshot),
        "shown_frame": frame,
        "psnr": comparison.psnr,
        "ray": {"camera": cameras.ids[index], "pixel": [x, y], **ray_numbers(probe)},
        "frames": all_numbers(inspection),
    }
    pictures = {
        **all_figures(inspection, selection, index, probe, numbers["frames"], size),
        "pixel.png": marked_pixel(
            enlarge_to(over_uint8(film.images(frame)[index], film.background), size),
            (x + 0.5) / cameras.width,
            (y + 0.5) / cameras.height,
        ),
        "image.png": comparison_picture(comparison, min(size, 512)),
    }
    return write(folder, pictures, numbers)


def checked_place(
    inspection: Inspection, frame: int, camera: int | None, pixel: Sequence[int] | None
) -> tuple[int, tuple[int, int]]:
    """The camera's position and the pixel (x, y), chosen where they are None; UserError for what is not there."""
    frames, film = inspection.snapshot.num_frames, inspection.film
    if not 0 <= frame < frames:
        problem = f"there are {frames} frames trained on"
        raise UserError(f"--frame {frame}", problem, f"choose one from 0 to {frames - 1}")
    cameras = film.cameras
    index = 0 if camera is None else camera_positions(f"--camera {camera}", cameras.ids, [camera])[0]
    if pixel is None:
        return index, middle_pixel(film.images(frame)[index])
    x, y = pixel
    if not (0 <= x < cameras.width and 0 <= y < cameras.height):
        problem = f"images are {cameras.width} x {cameras.height} pixels"
        raise UserError(f"--pixel {x} {y}", problem, "choose one inside, counted from 0")
    return index, (int(x), int(y))


def all_figures(
    inspection: Inspection,
    selection: Selection,
    index: int,
    probe: RayProbe,
    frames: Sequence[dict[str, Any]],
    size: int,
) -> dict[str, np.ndarray]:
    """File name -> picture, seen by camera number `index`, the ray by the camera that looks most across it."""
    grid, cameras = inspection.full_grid(selection), inspection.film.cameras
    eye = figures.near_eye(cameras.select([index]), grid, size)
    aside = figures.near_eye(figures.across(cameras, index), grid, size)
    return {
        "cells.png": figures.cells_picture(inspection, selection, eye),
        "slices.png": figures.slices_picture(grid, training_band(inspection.snapshot)),
        "ellipsoids.png": figures.ellipsoids_picture(inspection, selection, eye),
        "surface.png": figures.surface_picture(inspection, selection, eye),
        "ray.png": figures.ray_picture(inspection, selection, probe, aside),
        "ray_plot.png": figures.ray_plot(probe, inspection.snapshot.inv_s),
        "missed_mass.png": figures.missed_plot(frames),
    }


def comparison_picture(comparison: Comparison, size: int) -> np.ndarray:
    """Rendered, filmed and their difference side by side, each `size` pixels."""
    row = [enlarge_to(picture, size) for picture in comparison[:3]]
    return sheets.grid([row], ("rendered", "filmed", f"difference, PSNR {comparison.psnr:.1f} dB"))


def write(folder: Path, pictures: dict[str, np.ndarray], numbers: dict[str, Any]) -> list[Path]:
    """Pictures as PNGs and numbers as numbers.json; returns the files. UserError if the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [write_png(folder / name, picture) for name, picture in pictures.items()]
        write_atomic(folder / "numbers.json", json.dumps(without_nan(numbers), indent=1).encode())
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            error.filename or folder, f"cannot be written ({reason})", "choose another --export"
        ) from None
    return [*written, folder / "numbers.json"]


def snapshot_numbers(snapshot: Snapshot) -> dict[str, Any]:
    """Of the model, and what its backend does with rays."""
    backend = snapshot.backend
    return {
        "step": snapshot.step,
        "inv_s": snapshot.inv_s,
        "band": training_band(snapshot),
        "backend": {"name": backend.name, "culling": backend.culling},
        "about": [how_it_culls(backend), what_the_grid_is(backend)],
    }


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


def without_nan(value: Any) -> Any:
    """NaN becomes null: JSON has none."""
    if isinstance(value, dict):
        return {key: without_nan(v) for key, v in value.items()}
    if isinstance(value, list):
        return [without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
