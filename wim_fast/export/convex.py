"""What of a body collides: convex pieces, for simulators know no others. Meshes are vertices (V, 3) and faces (F, 3)."""

from __future__ import annotations

import numpy as np

from wim_fast.export.extra import extra

Triangles = tuple[np.ndarray, np.ndarray]
COLLISIONS = ("hull", "decomposition")
FULL = 0.9  # share of its hull that a body fills whose hull will do
PIECES = 8  # of one body, at most
CORNERS = 64  # of one piece, at most: what physics engines take
CUTS = (
    4  # one within the other, before pieces are joined again; more took three times as long for no better fit
)
VOXELS = 100_000  # that a body is cut up in


def convex_pieces(vertices: np.ndarray, faces: np.ndarray, collision: str) -> list[Triangles]:
    """A closed mesh's hull, or the pieces of its approximate convex decomposition (V-HACD, Mamou and Ghorbel 2009).

    A mesh that nearly fills its hull is one piece either way.

    Args:
        collision: one of `COLLISIONS`.

    Raises:
        UserError: if the library is not installed.
    """
    trimesh, hull = extra("trimesh"), convex_hull(vertices)
    if collision == "hull":
        return [hull]
    compute = extra("vhacdx").compute_vhacd
    full = trimesh.Trimesh(*hull, process=False).volume
    if trimesh.Trimesh(vertices, faces, process=False).volume > FULL * full:
        return [hull]
    found = compute(
        vertices,
        faces.astype(np.uint32),
        maxConvexHulls=PIECES,
        maxNumVerticesPerCH=CORNERS,
        maxRecursionDepth=CUTS,
        resolution=VOXELS,
        asyncACD=False,
    )
    return [convex_hull(np.asarray(corners)) for corners, _ in found]


def convex_hull(vertices: np.ndarray) -> Triangles:
    """The hull of points (V, 3), closed, its faces counter-clockwise from outside."""
    hull = extra("trimesh").convex.convex_hull(vertices)
    return np.asarray(hull.vertices), np.asarray(hull.faces)
