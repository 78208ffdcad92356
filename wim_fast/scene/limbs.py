"""How many limbs a solid has: ends that reach far out from where they meet the rest of it."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra, minimum_spanning_tree
from scipy.spatial import cKDTree

LEAST_LENGTH = 0.15  # of a limb, as a share of the object's longest side
LEAST_PIECE = 0.01  # of a solid: less of it, apart from the rest, is noise
NEIGHBOURS = 1.8  # cells: across faces, edges and corners


def count_limbs(points: np.ndarray) -> int:
    """A rod has two ends, as has an arm however it bends; a hand has one for each finger. What is apart has its own.

    Args:
        points: (M, 3) of a grid, those inside of the solid.
    """
    if len(points) < 2:
        return len(points)
    graph, least = _neighbours(points), LEAST_LENGTH * np.ptp(points, axis=0).max()
    piece = connected_components(graph, directed=False)[1]
    sizes = np.bincount(piece)
    pieces = (np.flatnonzero(piece == k) for k in np.flatnonzero(sizes >= LEAST_PIECE * len(points)))
    return sum(_ends(graph[own][:, own], least) for own in pieces)


def _neighbours(points: np.ndarray) -> csr_matrix:
    """(M, M) distances between points of neighbouring cells, of each pair once."""
    tree = cKDTree(points)
    cell = tree.query(points, k=2)[0][:, 1].min()
    pairs = tree.query_pairs(NEIGHBOURS * cell, output_type="ndarray")
    lengths = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    return coo_matrix((lengths, pairs.T), shape=(len(points), len(points))).tocsr()


def _ends(graph: csr_matrix, least: float) -> int:
    """Of one piece: maxima of the distance from its middle, along it, that are `least` above where they join a higher one."""

    def distance_from(point: np.intp) -> np.ndarray:
        return dijkstra(graph, directed=False, indices=point)

    one = distance_from(distance_from(np.intp(0)).argmax())
    height = distance_from(np.maximum(one, distance_from(one.argmax())).argmin())
    edges = graph.tocoo()
    depth = 1 + height.max() - np.minimum(height[edges.row], height[edges.col])
    joins = minimum_spanning_tree(coo_matrix((depth, (edges.row, edges.col)), graph.shape)).tocoo()
    above, ends = np.arange(len(height)), 1

    def top(point: int) -> int:
        while above[point] != point:
            above[point] = above[above[point]]
            point = above[point]
        return point

    for k in joins.data.argsort():
        lower, higher = sorted((top(joins.row[k]), top(joins.col[k])), key=height.__getitem__)
        ends += height[lower] - (1 + height.max() - joins.data[k]) >= least
        above[lower] = higher
    return int(ends)
