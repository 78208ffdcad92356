"""Triangle meshes as arrays: pieces, decimation, what makes a mesh closed. V vertices (V, 3), F faces (F, 3)."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from wim_fast.export.extra import extra

APART = 1e-3  # of the way to the middle of its neighbours: by which vertices that touch are drawn apart
SPECK = 8  # vertices: what decimation leaves of thin air between surfaces that it has joined has fewer


def pieces(faces: np.ndarray, vertices: int) -> np.ndarray:
    """(V,) which connected piece each of so many vertices belongs to; 0 is the one with the most vertices."""
    label = _components(np.concatenate([faces[:, :2], faces[:, 1:]]), vertices)
    order = np.argsort(-np.bincount(label), kind="stable")
    return np.argsort(order)[label]


def only_vertices(vertices: np.ndarray, faces: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mesh of the vertices (V,) that are kept, with the faces between them."""
    number = np.cumsum(kept, dtype=np.int32) - 1
    return vertices[kept], number[faces[kept[faces].all(axis=1)]]


def without_specks(vertices: np.ndarray, faces: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """The mesh without pieces of fewer than so many vertices; the largest stays."""
    piece = pieces(faces, len(vertices))
    kept = np.bincount(piece, minlength=1) >= least
    kept[0] = True
    return only_vertices(vertices, faces, kept[piece])


def decimated(vertices: np.ndarray, faces: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """About so many faces at most, by quadric error (Garland and Heckbert, 1997); a closed mesh stays closed."""
    if len(faces) <= most:
        return vertices, faces
    simplify = extra("fast_simplification").simplify
    center, size = (
        vertices.mean(axis=0),
        np.ptp(vertices, axis=0).max(),
    )  # its thresholds are for objects of size 1
    points, left = simplify(((vertices - center) / size).astype(np.float32), faces, target_count=most)
    return without_specks(*two_faces_an_edge(points * size + center, left), SPECK)


def drawn_apart(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) the vertices, those in one place a little apart: each towards the middle of its neighbours.

    Formats that know a vertex by its place alone, such as STL, would join surfaces that touch there.
    """
    _, place, count = np.unique(vertices, axis=0, return_inverse=True, return_counts=True)
    touching = count[place.ravel()] > 1
    start, end = _half_edges(faces).T
    total, neighbours = np.zeros_like(vertices), np.bincount(start, minlength=len(vertices))
    np.add.at(total, start, vertices[end])
    apart = vertices.copy()
    middle = total[touching] / np.maximum(neighbours[touching], 1)[:, None]
    apart[touching] += APART * (middle - vertices[touching])
    return apart


def is_closed(faces: np.ndarray) -> bool:
    """Whether every edge has two faces, which run along it in opposite directions."""
    there, count = np.unique(_half_edges(faces), axis=0, return_counts=True)
    return bool((count == 1).all()) and np.array_equal(there, np.unique(there[:, ::-1], axis=0))


def two_faces_an_edge(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mesh whose edges have as many faces in one direction as in the other, made closed.

    Faces that lie on each other, back to back, are dropped. Surfaces that touch along an edge, or in a vertex, get edges and
    vertices of their own.
    """
    while len(flaps := _on_another(faces)):
        faces = np.delete(faces, flaps, axis=0)
    vertices, faces = _touching_edges_split(vertices, faces)
    start, end = _half_edges(faces).T
    corner = np.arange(3 * len(faces))  # where a half-edge starts
    following = corner.reshape(3, -1)[[1, 2, 0]].ravel()  # where it ends, in the same face
    there, back = np.lexsort((end, start)), np.lexsort((start, end))  # the same edges in both directions
    joined = np.stack([[there, following[there]], [following[back], back]], axis=-1).reshape(-1, 2)
    label = _components(joined, len(corner))
    _, first = np.unique(label, return_index=True)
    return vertices[start[first]], label.reshape(3, -1).T.astype(np.int32)


def _half_edges(faces: np.ndarray) -> np.ndarray:
    """(3 F, 2) vertices: row k F + f begins in corner k of face f."""
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def _touching_edges_split(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges of four faces get two midpoints in the same place, one for each two of them that run along it."""
    edges, count = np.unique(np.sort(_half_edges(faces), axis=1), axis=0, return_counts=True)
    middles, triangles = list(vertices), faces.tolist()
    for a, b in edges[count > 2].tolist():
        there = [k for k, face in enumerate(triangles) if (a, b) in _sides(face)]
        back = [k for k, face in enumerate(triangles) if (b, a) in _sides(face)]
        for pair in zip(there, back, strict=True):
            for k in pair:
                (c,) = set(triangles[k]) - {a, b}
                first, second = (a, b) if k in there else (b, a)
                triangles[k] = [first, len(middles), c]
                triangles.append([len(middles), second, c])
            middles.append(0.5 * (vertices[a] + vertices[b]))
    return np.array(middles), np.array(triangles, np.int32)


def _sides(face: list[int]) -> tuple[tuple[int, int], ...]:
    a, b, c = face
    return (a, b), (b, c), (c, a)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit: the mean of the faces' round each vertex, by area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area = np.repeat(np.cross(b - a, c - a), 3, axis=0)
    total = np.stack([np.bincount(faces.ravel(), x, len(vertices)) for x in area.T], axis=1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def _on_another(faces: np.ndarray) -> np.ndarray:
    """Faces that lie on another one which looks the other way, both of them."""
    _, which, count = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True, return_counts=True)
    turned = (faces < np.roll(faces, -1, axis=1)).sum(
        axis=1
    ) == 1  # of three vertices there are two ways round
    which, dropped = which.ravel(), []
    for group in np.flatnonzero(count > 1).tolist():
        one, other = (np.flatnonzero((which == group) & (turned == way)) for way in (False, True))
        pairs = min(len(one), len(other))
        dropped += [one[:pairs], other[:pairs]]
    return np.concatenate(dropped) if dropped else np.zeros(0, int)


def _components(pairs: np.ndarray, count: int) -> np.ndarray:
    """(count,) the connected component of each of so many nodes, joined by pairs (N, 2)."""
    graph = coo_array((np.ones(len(pairs), bool), tuple(pairs.T)), shape=(count, count))
    return connected_components(graph, directed=False)[1]
