"""Meshes stay closed: decimation, touching surfaces cut apart, pieces."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import marching_cubes

from wim_fast.export.triangles import (
    decimated,
    drawn_apart,
    is_closed,
    only_vertices,
    pieces,
    two_faces_an_edge,
    vertex_normals,
)

TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
CORNERS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])


def balls(*centers: tuple[float, float, float], radius: float = 5.3) -> tuple[np.ndarray, np.ndarray]:
    at = np.stack(np.mgrid[:24, :24, :40], axis=-1).astype(float)
    sdf = np.min([np.linalg.norm(at - c, axis=-1) - radius for c in centers], axis=0)
    vertices, faces, _, _ = marching_cubes(sdf, 0.0)
    return vertices.astype(float), faces


def test_pieces_are_numbered_by_size() -> None:
    vertices, faces = balls((12.1, 12.2, 8.3), (12.1, 12.2, 30.3))
    extra = np.concatenate([faces, TETRAHEDRON + len(vertices)])
    piece = pieces(extra, len(vertices) + 4)
    assert np.bincount(piece).tolist() == [len(vertices) // 2, len(vertices) // 2, 4]
    kept, left = only_vertices(np.concatenate([vertices, CORNERS]), extra, piece == 2)
    assert np.array_equal(kept, CORNERS)
    assert np.array_equal(left, TETRAHEDRON)


@pytest.mark.parametrize("most", [2000, 300, 60])
def test_decimation_keeps_a_mesh_closed_and_in_place(most: int) -> None:
    vertices, faces = balls((12.1, 12.2, 12.3), (12.1, 12.2, 21.3))
    few, left = decimated(vertices, faces, most)
    assert len(left) <= most
    assert is_closed(left)
    assert np.abs(few.mean(axis=0) - vertices.mean(axis=0)).max() < 0.5
    normals = vertex_normals(few, left)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1)


def test_faces_on_each_other_are_dropped() -> None:
    faces = np.concatenate([TETRAHEDRON, [[0, 1, 4], [1, 0, 4]]])
    vertices, left = two_faces_an_edge(np.concatenate([CORNERS, [[0, -1, 0]]]), faces)
    assert is_closed(left)
    assert len(vertices) == len(left) == 4


def test_of_three_faces_on_each_other_one_stays() -> None:
    """A tetrahedron whose lowest face is there once more both ways, as decimation leaves it."""
    lowest = TETRAHEDRON[0]
    faces = np.concatenate([TETRAHEDRON, [lowest], [lowest[::-1]]])
    vertices, left = two_faces_an_edge(CORNERS, faces)
    assert is_closed(left)
    assert len(vertices) == len(left) == 4
    assert vertex_normals(vertices, left)[np.argmin(vertices.sum(axis=1))].max() < 0


def test_surfaces_that_touch_are_cut_apart() -> None:
    """Two tetrahedra that share the edge from 0 to 1, and two that share the corner 3."""
    beside = CORNERS * [1, -1, -1]
    along_edge = np.concatenate([TETRAHEDRON, np.array([0, 1, 4, 5])[TETRAHEDRON]])
    vertices, faces = two_faces_an_edge(np.concatenate([CORNERS, beside[2:]]), along_edge)
    assert is_closed(faces)
    in_corner = np.concatenate([TETRAHEDRON, np.array([4, 5, 6, 3])[TETRAHEDRON]])
    vertices, faces = two_faces_an_edge(
        np.concatenate([CORNERS, CORNERS[:3] + np.array([0, 0, 2])]), in_corner
    )
    assert is_closed(faces)
    assert len(vertices) == 8
    assert pieces(faces, 8).max() == 1


def test_surfaces_that_touch_in_a_point_are_drawn_apart() -> None:
    """Two tetrahedra tip to tip: their tips part, each into its own; nothing else moves."""
    vertices = np.concatenate([CORNERS, [0, 0, 2] - CORNERS])
    faces = np.concatenate([TETRAHEDRON, TETRAHEDRON[:, ::-1] + 4])
    tips = [3, 7]
    assert np.array_equal(vertices[3], vertices[7])
    apart = drawn_apart(vertices, faces)
    assert len(np.unique(apart.astype(np.float32), axis=0)) == 8
    assert apart[3, 2] < 1 < apart[7, 2]
    assert np.abs(apart - vertices).max() < 2e-3
    assert np.array_equal(np.delete(apart, tips, axis=0), np.delete(vertices, tips, axis=0))
