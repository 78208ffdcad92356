"""What `tools/structure_benchmark.py` calls the bodies of a robot, and right; by hand, nothing is trained."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import structure_benchmark as tool


def robot(degrees: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A chain of links: 20 frames in which each turns by so much against the one before; rotation, translation, parents."""
    turns = np.linspace(0, 1, 20)[:, None] * np.cumsum([0.0, *degrees])
    rotation = Rotation.from_euler("z", turns.reshape(-1, 1), degrees=True).as_matrix().reshape(20, -1, 3, 3)
    steps = np.einsum("tlij,j->tli", rotation, [1.0, 0.0, 0.0])
    return rotation, np.cumsum(steps, axis=1) - steps, np.arange(-1, len(degrees))


def test_links_that_did_not_turn_are_one_body() -> None:
    truth = tool.true_bodies(*robot([30.0, 3.0, 30.0]), np.full(4, 0.25))
    assert truth.body_of_link.tolist() == [0, 1, 1, 2]
    assert truth.edges.tolist() == [[0, 1], [1, 2]]


def test_links_without_a_surface_are_no_bodies() -> None:
    """What hangs from them hangs from what carries them."""
    truth = tool.true_bodies(*robot([30.0, 30.0, 30.0]), np.array([0.4, 0.0, 0.3, 0.3]))
    assert truth.body_of_link.tolist() == [0, -1, 1, 2]
    assert truth.edges.tolist() == [[0, 1], [1, 2]]
    truth = tool.true_bodies(*robot([30.0, 30.0]), np.array([0.0, 0.5, 0.5]))
    assert truth.body_of_link.tolist() == [-1, 0, 1]
    assert truth.edges.tolist() == [[0, 1]]


def test_score() -> None:
    truth = tool.TrueBodies(np.array([0, 1, 2]), np.array([[0, 1], [1, 2]]))
    links = np.array([0, 0, 1, 1, 2, 2])
    weight = np.ones(6)
    right = tool.score(truth, links, weight, np.array([2, 2, 0, 0, 1, 1]), np.array([[0, 2], [0, 1]]))
    assert (right.true, right.found, right.edges, right.surface) == (3, 3, 1.0, 1.0)
    wrong_tree = tool.score(truth, links, weight, np.array([2, 2, 0, 0, 1, 1]), np.array([[0, 2], [1, 2]]))
    assert (wrong_tree.edges, wrong_tree.surface) == (0.5, 1.0)
    merged = tool.score(truth, links, weight, np.array([0, 0, 0, 0, 1, 1]), np.array([[0, 1]]))
    assert (merged.found, merged.surface) == (2, pytest.approx(4 / 6))
    split = tool.score(truth, links, weight, np.array([0, 1, 2, 2, 3, 3]), np.array([[0, 1], [1, 2], [2, 3]]))
    assert split.found == 4
    assert split.surface == pytest.approx(5 / 6)
    assert split.edges == pytest.approx(1 / 3) or split.edges == pytest.approx(2 / 3)


def test_table() -> None:
    table = tool.report(
        {"arm:1": (tool.Score(8, 7, 1.0, 0.95), 0.5), "dog:2": (tool.Score(13, 10, 0.5, 0.85), 0.5)}
    )
    assert table.row_count == 2
    assert "within one: 1 of 2" in str(table.title)
    assert "edges right 75%" in str(table.title)
