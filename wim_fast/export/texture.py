"""Colours as a texture: the surface is cut into charts (xatlas), and the field gives each texel its colour."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt

from wim_fast.errors import UserError
from wim_fast.export.extra import extra
from wim_fast.export.surface import Surface, surface_colors
from wim_fast.model.motion import posed_at
from wim_fast.rendering.raster import rasterize
from wim_fast.runs.trained_model import TrainedModel

LEAST, MOST = 64, 8192  # texels a side
PADDING = 2  # texels between charts


@dataclass(frozen=True)
class Atlas:
    """A surface cut open, N vertices, and its texture.

    Attributes:
        vertex: (N,) which vertex of the surface each one is.
        faces: (F, 3) int32, the surface's faces in these vertices.
        uv: (N, 2) in [0, 1], (0, 0) is the lower left corner of the image.
        image: (S, S, 3) uint8, sRGB, the upper row first.
    """

    vertex: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    image: np.ndarray

    def png(self) -> bytes:
        """The image as a file."""
        content = io.BytesIO()
        Image.fromarray(self.image).save(content, format="PNG")
        return content.getvalue()


def bake(run: TrainedModel, surface: Surface, size: int, baked_light: bool) -> Atlas:
    """The atlas of a surface with a texture of `size` x `size` texels.

    Each texel has the field's colour where it lies on the surface; around the charts the nearest texel is
    repeated, so that no seam shows in smaller images of the texture.
    """
    if not LEAST <= size <= MOST:
        raise UserError(f"texture {size}", "is no size of a texture", f"give {LEAST} to {MOST} texels")
    vertex, faces, uv = _charts(surface, size)
    at = size * (uv * [1, -1] + [0, 1])
    seen = rasterize(at, np.ones(len(at)), faces, size, size)
    points = seen.interpolated(faces, surface.vertices[vertex])
    posed = posed_at(run.model, run.motion, surface.frame)
    image = np.zeros((size, size, 3), np.uint8)
    inside = seen.face >= 0
    with run.backend.computing():
        image[inside] = np.round(255 * surface_colors(run, posed, points, baked_light))
    nearest = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return Atlas(vertex, faces, uv, image[tuple(nearest)])


def _charts(surface: Surface, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertex, faces and uv as an `Atlas` has them.

    Every part is cut into charts by itself: what that takes grows faster than the number of faces.
    """
    xatlas = extra("xatlas")
    atlas, packing = xatlas.Atlas(), xatlas.PackOptions()
    packing.resolution, packing.padding, packing.bilinear = size, PADDING, True
    part_of_face = surface.part_ids[surface.faces[:, 0], 0]
    pieces = [np.flatnonzero(part_of_face == part) for part in np.unique(part_of_face)]
    used = []
    for piece in pieces:
        vertex, corners = np.unique(surface.faces[piece], return_inverse=True)
        atlas.add_mesh(surface.vertices[vertex].astype(np.float32), corners.reshape(-1, 3).astype(np.uint32))
        used.append(vertex)
    atlas.generate(pack_options=packing)
    cut = [atlas[k] for k in range(len(pieces))]  # of each: which of its vertices, faces, uv
    first = np.cumsum([0, *(len(vertex) for vertex, _, _ in cut)])
    faces = np.empty_like(surface.faces, dtype=np.int32)
    for k, piece in enumerate(pieces):
        faces[piece] = first[k] + cut[k][1]
    vertex = np.concatenate([used[k][cut[k][0]] for k in range(len(pieces))])
    return vertex, faces, np.concatenate([uv for _, _, uv in cut]).astype(np.float64)
