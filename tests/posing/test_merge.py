"""Merging: distances against a direct computation, order against single linkage, what structure is left."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.spatial.transform import Rotation

from wim_fast.posing.merge import choose_num_merges, merge_distance, merge_sequence, merged_structure


def rigid_groups(group_of: list[int], noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """60 frames of parts that ride on groups, which swing against each other by about 30 degrees."""
    rng = np.random.default_rng(seed)
    count, frames = max(group_of) + 1, np.linspace(0, 2 * np.pi, 60)
    angle = 0.5 * np.sin(frames[:, None] * np.arange(1, count + 1) + rng.uniform(0, 6, count))
    axis = rng.normal(size=(count, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    group = (
        Rotation.from_rotvec((angle[..., None] * axis).reshape(-1, 3)).as_matrix().reshape(60, count, 3, 3)
    )
    offset = 0.2 * rng.normal(size=(len(group_of), 3))
    rotation = group[:, group_of] @ Rotation.random(len(group_of), random_state=seed).as_matrix()
    translation = np.einsum("tpab,pb->tpa", group[:, group_of], offset)
    return rotation, translation + noise * rng.normal(size=translation.shape)


def test_distance_by_hand() -> None:
    rotation, translation = rigid_groups([0, 0, 1], 0.01)
    distance = merge_distance(rotation, translation)
    for i, j in np.ndindex(3, 3):
        turn = np.array([r[i].T @ r[j] for r in rotation])
        offset = np.array([r[i].T @ (t[j] - t[i]) for r, t in zip(rotation, translation, strict=True)])
        expected = 0.0 if i == j else turn.std(axis=0).mean() + 3 * offset.std(axis=0).mean()
        assert distance[i, j] == pytest.approx(expected, abs=1e-12)
    assert distance[0, 2] != pytest.approx(distance[2, 0])


def test_distance_does_not_see_the_motion_of_the_whole() -> None:
    rotation, translation = rigid_groups([0, 1, 2], 0.0)
    turn = Rotation.random(60, random_state=1).as_matrix()
    shift = np.random.default_rng(1).normal(size=(60, 1, 3))
    moved = merge_distance(turn[:, None] @ rotation, np.einsum("tab,tpb->tpa", turn, translation) + shift)
    np.testing.assert_allclose(moved, merge_distance(rotation, translation), atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(num_parts=st.integers(2, 12), seed=st.integers(0, 10**6))
def test_sequence_is_single_linkage(num_parts: int, seed: int) -> None:
    distance = np.random.default_rng(seed).uniform(0.01, 1, size=(num_parts, num_parts))
    np.fill_diagonal(distance, 0.0)
    total = distance + distance.T
    steps = merge_sequence(distance)
    tree = linkage(squareform(total), "single")
    np.testing.assert_allclose([step.value for step in steps], tree[:, 2])
    for k, step in enumerate(steps):
        assert step.num_groups == num_parts - 1 - k
        assert step.value == total[step.pair]
        expected = fcluster(tree, num_parts - 1 - k, criterion="maxclust")
        same = expected[:, None] == expected
        np.testing.assert_array_equal(step.labels[:, None] == step.labels, same)
        np.testing.assert_array_equal(step.labels, same.argmax(axis=1))  # named after the smallest part
    assert [s.value for s in steps] == sorted(s.value for s in steps)


@pytest.mark.parametrize("noise", [0.0, 0.002])
@pytest.mark.parametrize("group_of", [[0, 0, 1, 1, 2, 0, 3], [0, 1, 1, 1, 2, 2], [0, 0, 0]])
def test_rigid_groups_are_found(group_of: list[int], noise: float) -> None:
    steps = merge_sequence(merge_distance(*rigid_groups(group_of, noise)))
    taken = choose_num_merges(steps)
    assert taken == len(group_of) - len(set(group_of))
    labels = steps[taken - 1].labels
    np.testing.assert_array_equal(
        labels[:, None] == labels, np.array(group_of)[:, None] == np.array(group_of)
    )
    assert choose_num_merges(steps, threshold=0.03) == taken


def test_nothing_is_merged_where_everything_moves() -> None:
    steps = merge_sequence(merge_distance(*rigid_groups([0, 1, 2, 3], 0.0)))
    assert choose_num_merges(steps) == 0
    assert choose_num_merges(steps, threshold=np.inf) == 3
    assert choose_num_merges([]) == 0


@settings(deadline=None, max_examples=40)
@given(num_parts=st.integers(2, 12), seed=st.integers(0, 10**6))
def test_merged_structure_is_the_least_tree_of_the_groups(num_parts: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.uniform(size=(num_parts, num_parts))
    labels = rng.integers(0, rng.integers(1, num_parts + 1), size=num_parts)
    complete = nx.Graph()
    groups = nx.Graph()
    groups.add_nodes_from(labels.tolist())
    for i in range(num_parts):
        for j in range(i + 1, num_parts):
            complete.add_edge(i, j, weight=cost[i, j])
            a, b = int(labels[i]), int(labels[j])
            if a != b and cost[i, j] < groups.get_edge_data(a, b, {"weight": 9})["weight"]:
                groups.add_edge(a, b, weight=cost[i, j])
    edges = sorted(nx.minimum_spanning_edges(complete, data=False), key=lambda e: complete.edges[e]["weight"])
    merged = merged_structure(labels, np.array(edges))
    assert merged.num_groups == len(set(labels.tolist()))
    np.testing.assert_array_equal(labels[:, None] == labels, merged.labels[:, None] == merged.labels)
    kept = sum(complete.edges[edges[k]]["weight"] for k in merged.joint_ids)
    assert kept == pytest.approx(nx.minimum_spanning_tree(groups).size(weight="weight"))
    for (a, b), k in zip(merged.edges, merged.joint_ids, strict=True):
        assert merged.labels[list(edges[k])].tolist() == [a, b]


def test_structure_as_data() -> None:
    edges = np.array([(0, 1), (1, 2), (2, 3)])
    merged = merged_structure(np.array([0, 1, 0, 3]), edges)
    assert merged.to_dict() == {"groups": [[0, 2], [1], [3]], "edges": [[0, 1], [0, 2]], "joint_ids": [0, 2]}
    centers = merged.centers(
        np.arange(12.0).reshape(4, 3), np.array([[1, 1, 1], [1, 1, 1], [1, 1, 3], [1, 1, 1]])
    )
    np.testing.assert_allclose(centers[0], 0.25 * np.array([0, 1, 2]) + 0.75 * np.array([6, 7, 8]))
    np.testing.assert_allclose(centers[1:], [[3, 4, 5], [9, 10, 11]])
