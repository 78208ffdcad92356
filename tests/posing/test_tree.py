"""The spanning tree against networkx, candidates and joints against hand computations, rooting."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from wim_fast.model.motion import Motion, joint_positions
from wim_fast.model.structure import spanning_tree
from wim_fast.posing.tree import default_root, joint_candidates, rooted


def random_distances(num_parts: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(num_parts, 7, 3))
    squared = np.square(points[:, None, :, None] - points[None, :, None, :]).sum(-1)  # (P, P, 7, 7)
    return squared[:, :, 1:, 1:], squared[:, :, 0, 0]


def random_tree(num_parts: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    names = rng.permutation(num_parts)
    return np.array([(names[k], names[rng.integers(0, k)]) for k in range(1, num_parts)]).reshape(-1, 2)


@settings(deadline=None, max_examples=50)
@given(num_parts=st.integers(2, 12), seed=st.integers(0, 10**6), weight=st.sampled_from([0.0, 0.02, 3.0]))
def test_spanning_tree_is_networkx_minimum(num_parts: int, seed: int, weight: float) -> None:
    candidate_distance, center_distance = random_distances(num_parts, seed)
    edges, candidates = spanning_tree(candidate_distance, center_distance, weight)
    graph = nx.Graph()
    for i in range(num_parts):
        for j in range(i + 1, num_parts):
            graph.add_edge(i, j, weight=candidate_distance[i, j].min() + weight * center_distance[i, j])
    expected = {tuple(sorted(edge)) for edge in nx.minimum_spanning_edges(graph, data=False)}
    assert {tuple(edge) for edge in edges.tolist()} == expected
    costs = [graph.edges[i, j]["weight"] for i, j in edges]
    assert costs == sorted(costs)
    for (i, j), (m, n) in zip(edges, candidates, strict=True):
        assert i < j
        assert candidate_distance[i, j, m, n] == candidate_distance[i, j].min()


def test_spanning_tree_ties_are_deterministic() -> None:
    edges, candidates = spanning_tree(np.ones((4, 4, 6, 6)), np.ones((4, 4)))
    assert edges.tolist() == [[0, 1], [0, 2], [0, 3]]
    assert candidates.tolist() == [[0, 0]] * 3


def test_spanning_tree_of_one_part() -> None:
    edges, candidates = spanning_tree(np.zeros((1, 1, 6, 6)), np.zeros((1, 1)))
    assert edges.shape == candidates.shape == (0, 2)
    assert joint_positions(
        Motion(np.eye(3)[None], np.zeros((1, 3))), np.ones((1, 3)), edges, candidates
    ).shape == (
        0,
        3,
    )
    assert default_root(edges) == 0


def test_spanning_tree_refuses_nan() -> None:
    candidate_distance, center_distance = random_distances(3, 0)
    candidate_distance[0, 1, 2, 3] = np.nan
    with pytest.raises(ValueError, match="finite"):
        spanning_tree(candidate_distance, center_distance)


def test_joint_candidates_by_hand() -> None:
    rotation = Rotation.random(8, random_state=0).as_matrix().reshape(4, 2, 3, 3)
    translation = np.random.default_rng(0).normal(size=(4, 2, 3))
    semi_axes = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    candidates = joint_candidates(rotation, translation, semi_axes)
    assert candidates.shape == (4, 2, 6, 3)
    for frame, part, k in np.ndindex(4, 2, 3):
        for offset, sign in ((0, 1.0), (1, -1.0)):
            local = np.zeros(3)
            local[k] = sign * 0.75 * semi_axes[part, k]
            world = rotation[frame, part] @ local + translation[frame, part]
            np.testing.assert_allclose(candidates[frame, part, 2 * k + offset], world, atol=1e-15)

    joint = joint_positions(Motion(rotation, translation), semi_axes, np.array([[0, 1]]), np.array([[3, 4]]))
    np.testing.assert_allclose(joint[:, 0], 0.5 * (candidates[:, 0, 3] + candidates[:, 1, 4]))


@settings(deadline=None, max_examples=50)
@given(num_parts=st.integers(1, 15), seed=st.integers(0, 10**6))
def test_rooted_tree(num_parts: int, seed: int) -> None:
    edges = random_tree(num_parts, seed)
    root = seed % num_parts
    tree = rooted(edges, root)
    directed = nx.bfs_tree(nx.Graph(edges.tolist()), root) if num_parts > 1 else nx.empty_graph(1, nx.DiGraph)
    assert sorted(tree.order.tolist()) == list(range(num_parts))
    assert tree.order[0] == root
    assert tree.parent[root] == tree.parent_edge[root] == -1
    for part in range(num_parts):
        assert set(np.flatnonzero(tree.descendants(part))) == nx.descendants(directed, part) | {part}
        if part != root:
            assert list(directed.predecessors(part)) == [tree.parent[part]]
            assert set(edges[tree.parent_edge[part]].tolist()) == {part, tree.parent[part]}
    assert len(tree.lines()) == num_parts


@pytest.mark.parametrize(
    "edges", [[(0, 1), (1, 0)], [(0, 1), (2, 2)], [(0, 5), (1, 2)], [(1, 2), (2, 1), (0, 3)]]
)
def test_rooted_refuses_what_is_no_tree(edges: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match=r"tree|join"):
        rooted(np.array(edges), 0)


def test_rooted_refuses_an_unknown_root() -> None:
    with pytest.raises(ValueError, match="root 7"):
        rooted(np.array([(0, 1)]), 7)


def test_default_root() -> None:
    chain = np.array([(0, 1), (1, 2), (2, 3), (3, 4)])
    assert default_root(chain) == 2
    even = chain[:3]
    assert default_root(even) == 1
    assert default_root(even, np.array([[1, 1, 1], [1, 1, 1], [1, 1, 2.0], [1, 1, 9]])) == 2
    # an arm's base: part 0 stands still
    rng = np.random.default_rng(0)
    rotation = Rotation.random(30 * 5, random_state=1).as_matrix().reshape(30, 5, 3, 3)
    translation = rng.normal(size=(30, 5, 3))
    rotation[:, 0], translation[:, 0] = np.eye(3), 0.001 * translation[:, 0]
    assert default_root(chain, None, rotation, translation) == 0


def test_lines_show_the_tree() -> None:
    tree = rooted(np.array([(0, 1), (1, 2), (1, 3), (2, 4)]), 1)
    assert tree.lines() == [
        "part 1 (root)",
        "├─ part 0 (joint 0)",
        "├─ part 2 (joint 1)",
        "│  └─ part 4 (joint 3)",
        "└─ part 3 (joint 2)",
    ]
