"""The tree over parts; their joints are in `ops.structure`, how they move against each other in `ops.merging`."""

from __future__ import annotations

import numpy as np

from wim_fast.config import ModelConfig, StructureConfig

# the settings' defaults, for what is not training
CANDIDATE_SHARE = ModelConfig.candidate_share  # of each semi-axis (supplement A.4)
CENTER_WEIGHT = StructureConfig.center_weight  # lambda_l (A.7)


def spanning_tree(
    candidate_distance: np.ndarray, center_distance: np.ndarray, center_weight: float = CENTER_WEIGHT
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy minimum spanning tree over parts (paper section 3.5; Kruskal).

    The cost of joining parts i < j is the least of their 36 mean squared candidate distances plus
    `center_weight` times the mean squared distance of their centres. Ties go to the smaller (i, j), then to
    the smaller (m, n), so the result depends on nothing but the numbers. Only entries with i < j are read.

    Args:
        candidate_distance: (P, P, 6, 6); [i, j, m, n] belongs to candidate m of part i and n of part j.
        center_distance: (P, P).

    Returns:
        edges (P-1, 2) with i < j, in the order of increasing cost, and edge_candidates (P-1, 2): the chosen
        candidate (0..5) of either part.

    Raises:
        ValueError: if a distance is not finite.
    """
    candidate_distance = np.asarray(candidate_distance, float)
    num_parts = len(candidate_distance)
    rows, columns = np.triu_indices(num_parts, 1)
    num_candidates = candidate_distance.shape[-1]
    flat = candidate_distance[rows, columns].reshape(len(rows), num_candidates**2)
    best = flat.argmin(axis=1)
    cost = flat.min(axis=1) + center_weight * np.asarray(center_distance, float)[rows, columns]
    if not np.isfinite(cost).all():
        raise ValueError("spanning_tree: distances must be finite")

    pick = cheapest_tree(rows, columns, cost)
    edges = np.stack([rows[pick], columns[pick]], axis=1)
    candidates = np.stack([best[pick] // num_candidates, best[pick] % num_candidates], axis=1)
    return edges, candidates


def cheapest_tree(first: np.ndarray, second: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Which pairs make the least spanning tree (Kruskal), the cheapest first; of equal ones the first.

    Args:
        first, second: (E,) what each pair joins, as numbers from 0 on.
        cost: (E,).
    """
    label = np.arange(1 + max(first.max(initial=-1), second.max(initial=-1)))
    chosen: list[int] = []
    for k in np.argsort(cost, kind="stable"):
        i, j = label[first[k]], label[second[k]]
        if i != j:
            label[label == j] = i
            chosen.append(int(k))
    return np.array(chosen, dtype=int)
