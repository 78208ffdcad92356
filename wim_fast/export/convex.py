"""What of a body collides: convex pieces, for simulators know no others. Meshes are vertices (V, 3) and faces (F, 3)."""

from __future__ import annotations

import numpy as np

from wim_fast.export.extra import extra

Triangles = tuple[np.ndarray, np.ndarray]
COLLISIONS = ("hull", "decomposition")
CONCAVITY = 0.05  # that a piece may have, of the body's size: the library's own default
PIECES = 8  # of one body, at most: hulls round a leg or a paw, quick to collide
CORNERS = 64  # of one piece, at most: MuJoCo's and PhysX's own limit on GPUs


def convex_pieces(vertices: np.ndarray, faces: np.ndarray, collision: str) -> list[Triangles]:
    """A closed mesh's hull, or the pieces of its approximate convex decomposition (CoACD; Wei et al., 2022).

    collision: one of `COLLISIONS`. UserError if the library is not installed.
    """
    if collision == "hull":
        return [convex_hull(vertices)]
    coacd = extra("coacd")
    coacd.set_log_level("error")
    found = coacd.run_coacd(
        coacd.Mesh(vertices, faces),
        threshold=CONCAVITY,
        max_convex_hull=PIECES,
        decimate=True,
        max_ch_vertex=CORNERS,
    )
    return [convex_hull(np.asarray(corners)) for corners, _ in found]  # its faces need not look outward


def convex_hull(vertices: np.ndarray) -> Triangles:
    """The hull of points (V, 3), closed."""
    hull = extra("trimesh").convex.convex_hull(vertices)
    return np.asarray(hull.vertices), np.asarray(hull.faces)
