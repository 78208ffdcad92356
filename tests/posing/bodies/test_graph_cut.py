"""Alpha-expansion finds labels of hardly more than the least cost, and forbidden ones never."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np

from wim_fast.posing.bodies.graph_cut import alpha_expansion


def total(costs: np.ndarray, edges: np.ndarray, weights: np.ndarray, labels: np.ndarray) -> float:
    apart = labels[edges[:, 0]] != labels[edges[:, 1]]
    return float(costs[np.arange(len(labels)), labels].sum() + weights[apart].sum())


def test_labels_cost_hardly_more_than_the_best_of_all() -> None:
    rng, best = np.random.default_rng(0), 0
    for _ in range(40):
        costs = rng.random((7, 3))
        edges = np.array([pair for pair in combinations(range(7), 2) if rng.random() < 0.5]).reshape(-1, 2)
        weights = 0.5 * rng.random(len(edges))
        least = min(total(costs, edges, weights, np.array(x)) for x in product(range(3), repeat=7))
        found = total(costs, edges, weights, alpha_expansion(costs, edges, weights))
        assert found <= 1.1 * least
        best += found <= least + 1e-6
    assert best >= 35


def test_a_forbidden_label_is_not_taken() -> None:
    """Though its neighbours have it, and all that they ask is to be alike."""
    costs = np.array([[0.0, 1.0], [np.inf, 1.0], [0.0, 1.0]])
    edges, weights = np.array([[0, 1], [1, 2]]), np.full(2, 0.3)
    assert alpha_expansion(costs, edges, weights).tolist() == [0, 1, 0]
    assert alpha_expansion(costs, edges, 3 * weights).tolist() in ([0, 1, 0], [1, 1, 1])


def test_noise_gives_way_to_neighbours() -> None:
    """A row of nodes, of which the first half says 0 and the other 1, but one in ten lies."""
    says = np.repeat([0, 1], 50)
    said = np.where(np.arange(100) % 10 == 4, 1 - says, says)
    costs = (np.arange(2) != said[:, None]).astype(float)
    edges = np.stack([np.arange(99), np.arange(1, 100)], axis=1)
    assert (alpha_expansion(costs, edges, np.full(99, 0.7)) == says).all()
    assert (alpha_expansion(costs, edges, np.full(99, 0.1)) == said).all()


def test_nodes_without_neighbours_take_what_costs_least() -> None:
    costs = np.array([[1.0, 0.5, 2.0], [0.1, 0.5, 2.0]])
    assert alpha_expansion(costs, np.zeros((0, 2), int), np.zeros(0)).tolist() == [1, 0]
