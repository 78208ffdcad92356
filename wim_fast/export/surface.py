"""The surface of the field in the rest frame as a closed mesh, bound to the parts that carry it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch

from wim_fast.errors import SceneWarning, UserError
from wim_fast.evaluation.confirmation import witnesses
from wim_fast.export.binding import bind, chunks
from wim_fast.export.rest import rest_frame
from wim_fast.export.triangles import (
    decimated,
    drawn_apart,
    only_vertices,
    pieces,
    vertex_normals,
    without_specks,
)
from wim_fast.model.articulated_model import DEFAULT_FINEST_CELL, Posed
from wim_fast.model.distance_grid import affordable_cell, distance_grid
from wim_fast.model.motion import posed_at
from wim_fast.recordings.masks import in_size_of
from wim_fast.rendering.image import render_image
from wim_fast.runs.trained_model import TrainedModel

FACES = 50_000  # at most, where nothing else is asked for
LEAST_FACES_PER_PART = 20  # fewer do not show that it bends
SPECK = 100  # vertices, about a square of 7 by 7 grid points: smaller pieces are noise
CONFIRMED = 0.5  # share of a piece's vertices that some training view must confirm


@dataclass(frozen=True)
class Surface:
    """A closed triangle mesh in the rest frame: V vertices, F faces, bound to P parts.

    Attributes:
        frame: the rest frame, a position among the frames trained on.
        vertices: (V, 3) float64, world frame and units.
        faces: (F, 3) int32, counter-clockwise from outside.
        normals: (V, 3) float64, unit, outward.
        colors: (V, 3) float32 in [0, 1], sRGB as filmed.
        part_ids: (V, 4) int32, the part of the largest weight first; where fewer parts carry a vertex, the
            first is repeated with weight 0.
        part_weights: (V, 4) float32, falling, sum 1: posed, a vertex is the mean of where each of these parts,
            rigid, carries it.
    """

    frame: int
    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    colors: np.ndarray
    part_ids: np.ndarray
    part_weights: np.ndarray

    def parts_without_vertices(self, parts: int) -> list[int]:
        """Those of P parts that carry nothing more than any other part does."""
        return sorted(set(range(parts)) - set(self.part_ids[:, 0].tolist()))


def extract_surface(
    run: TrainedModel, frame: int | None = None, faces: int = FACES, baked_light: bool = False
) -> Surface:
    """The surface of a run's model in one of the frames trained on.

    Marching cubes at half the finest cell of the model's hash grid, where the signed distance is linear between
    samples, or somewhat coarser where that takes too much memory (of large pictures); small pieces that no training
    view confirms left out; decimated by quadric error.

    Args:
        frame: position among the frames trained on; None: that whose parts overlap least.
        faces: at most.
        baked_light: colours with the light that depends on the normal, as it falls in this frame; without, what
            is the surface's own.

    Raises:
        UserError: if `faces` is too small, or there is no surface.
    """
    least = LEAST_FACES_PER_PART * len(run.semi_axes)
    if faces < least:
        problem = f"too few for {len(run.semi_axes)} parts"
        raise UserError(f"faces {faces}", problem, f"give at least {least}")
    frame = rest_frame(run, frame)
    posed = posed_at(run.model, run.motion, frame)
    with run.backend.computing():
        finest = 0.5 * (run.config.model.hash_finest_cell or DEFAULT_FINEST_CELL)
        cell = affordable_cell(run.model, posed, finest)
        vertices, triangles = distance_grid(run.model, posed, cell, run.backend).zero_crossing()
        vertices, triangles = _confirmed_pieces(run, frame, vertices, triangles)
        vertices, triangles = decimated(vertices, triangles, faces)
        vertices = drawn_apart(vertices, triangles)
        if len(triangles) < least:
            problem = f"its surface in frame {frame} has {len(triangles)} faces"
            raise UserError(run.path, problem, "choose another --frame, or train longer")
        ids, weights = bind(run, frame, vertices, triangles)
        colors = surface_colors(run, posed, vertices, baked_light)
    normals = vertex_normals(vertices, triangles)
    return Surface(frame, vertices, triangles, normals, colors, ids, weights)


def _confirmed_pieces(
    run: TrainedModel, frame: int, vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The largest piece, and of the others, if they are no specks, those that some training view confirms."""
    if not len(faces):
        return vertices, faces
    vertices, faces = without_specks(vertices, faces, SPECK)
    piece = pieces(faces, len(vertices))
    kept = np.zeros(piece.max() + 1, bool)
    kept[0] = True
    if len(kept) > 1:
        others = np.flatnonzero(piece)
        confirmed = _confirmed(run, frame, vertices[others])
        share = np.bincount(piece[others], confirmed, len(kept)) / np.bincount(piece)
        kept |= share > CONFIRMED
    return only_vertices(vertices, faces, kept[piece])


def _confirmed(run: TrainedModel, frame: int, points: np.ndarray) -> np.ndarray:
    """(N,) which points some training view has on the object, in front; none where the recording cannot be read."""
    try:
        position = run.trained_positions(run.scan_recording())[frame]
        scene = run.load_scene(cameras=run.camera_ids, frames=[position])
    except UserError as error:
        warnings.warn(SceneWarning(f"only the largest piece of the surface is kept: {error}"), stacklevel=2)
        return np.zeros(len(points), bool)
    posed = posed_at(run.model, run.motion, frame)
    images = [
        render_image(run.model, posed, scene.cameras, k, run.inv_s, run.backend, rays_per_edge_pixel=1)
        for k in range(len(scene.cameras))
    ]
    size = scene.cameras.height, scene.cameras.width
    masks = np.stack([in_size_of(mask, size, scene.path) for mask in scene.mask[:, 0]])
    return witnesses(points, scene.cameras, masks, images)[1]


@torch.no_grad()
def surface_colors(run: TrainedModel, posed: Posed, points: np.ndarray, lit: bool) -> np.ndarray:
    """(N, 3) float32 in [0, 1], sRGB as filmed, at world points (N, 3) of a pose (F = 1); `lit`: with its light."""
    colors = [run.model.evaluate(x, i, posed, run.backend, lit).rgb for x, i in chunks(run, points)]
    return torch.cat(colors).clamp(0, 1).cpu().numpy()
