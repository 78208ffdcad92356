"""The labels of a graph's nodes that cost least, where neighbours with different labels cost too (a Potts model).

Alpha-expansion (Boykov, Veksler and Zabih 2001): one label after another, the nodes are found that had better take it,
all at once, as the least cut of a graph (Kolmogorov and Zabih 2004). It ends within a factor of two of the least cost.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

MOST = 1 << 24  # capacity that all of a node's costs amount to, at most: flows are whole numbers
SWEEPS = 5  # over all labels, at most: the second or third changes nothing, mostly


def alpha_expansion(costs: np.ndarray, edges: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) labels 0..L-1.

    Args:
        costs: (N, L) of each label at each node; inf where it must not be, but not of all labels.
        edges: (E, 2) neighbours, each pair once.
        weights: (E,) at least 0: what it costs that the two have different labels.
    """
    labels = costs.argmin(axis=1)
    may = np.isfinite(costs)
    total = np.where(may, costs, -np.inf).max(axis=1) - costs.min(axis=1)
    for end in edges.T:
        total += np.bincount(end, weights, len(costs))
    scale = MOST / max(float(total.max(initial=0.0)), 1e-30)
    least = _cost(costs, edges, weights, labels)
    for _ in range(SWEEPS):
        before = least
        for label in range(costs.shape[1]):
            tried = labels.copy()
            tried[_takers(costs, edges, weights, labels, label, scale)] = label
            cost = _cost(costs, edges, weights, tried)
            if cost < least:
                labels, least = tried, cost
        if before - least <= 1e-6 * abs(before):
            break
    return labels


def _cost(costs: np.ndarray, edges: np.ndarray, weights: np.ndarray, labels: np.ndarray) -> float:
    apart = labels[edges[:, 0]] != labels[edges[:, 1]]
    return float(costs[np.arange(len(labels)), labels].sum() + weights[apart].sum())


def _takers(
    costs: np.ndarray, edges: np.ndarray, weights: np.ndarray, labels: np.ndarray, label: int, scale: float
) -> np.ndarray:
    """The nodes that had better take a label, all of them at once.

    With x = 1 where a node takes it, a pair (p, q) costs a + (c - a) x_p - c x_q + (b + c - a) (1 - x_p) x_q, where a
    is its cost if neither does, b if q alone does, c if p alone does. Nodes on the source's side of the cut do not.
    """
    free = np.flatnonzero(np.isfinite(costs[:, label]) & (labels != label))
    number = np.full(len(costs), -1)
    number[free] = np.arange(len(free))
    taking = costs[free, label] - costs[free, labels[free]]
    for one, other in (edges.T, edges.T[::-1]):  # neighbours that stay as they are
        here = (number[one] >= 0) & (number[other] < 0)
        stays, at, weight = labels[other[here]], one[here], weights[here]
        change = weight * ((stays != label) * 1.0 - (stays != labels[at]))
        taking += np.bincount(number[at], change, len(free))
    inner = (number[edges] >= 0).all(axis=1)
    (p, q), weight = edges[inner].T, weights[inner]
    neither, alone = weight * (labels[p] != labels[q]), weight
    p, q, count = number[p], number[q], len(free)
    taking += np.bincount(p, alone - neither, count) - np.bincount(q, alone, count)
    source, sink, nodes = count, count + 1, np.arange(count)
    tail = np.concatenate([np.full(count, source), nodes, p])
    head = np.concatenate([nodes, np.full(count, sink), q])
    room = np.concatenate([np.maximum(taking, 0.0), np.maximum(-taking, 0.0), 2 * alone - neither])
    capacity = np.round(scale * room).astype(np.int32)
    used = capacity > 0
    graph = csr_array((capacity[used], (tail[used], head[used])), shape=(count + 2, count + 2))
    left = graph - maximum_flow(graph, source, sink).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    stays = breadth_first_order(left, source, return_predecessors=False)
    return np.delete(free, stays[stays < count])
