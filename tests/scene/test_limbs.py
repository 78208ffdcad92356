"""Limbs are counted of solids that have them."""

import itertools

import numpy as np
import pytest

from wim_fast.scene.limbs import count_limbs

CELL = 1 / 24


def solid(*rods, radius=0.08):
    """Points of a grid that are within `radius` of any of these polylines (n, 3)."""
    side = np.arange(-24, 25) * CELL
    points = np.stack(np.meshgrid(side, side, side, indexing="ij"), axis=-1).reshape(-1, 3)
    nearest = np.full(len(points), np.inf)
    for rod in rods:
        for a, b in itertools.pairwise(rod):
            along = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
            nearest = np.minimum(nearest, np.linalg.norm(points - a - along[:, None] * (b - a), axis=1))
    return points[nearest < radius]


def star(arms):
    """Rods from the middle, all round."""
    turn = 2 * np.pi * np.arange(arms) / arms
    return [np.array([[0, 0, 0], [0.8 * np.cos(t), 0.8 * np.sin(t), 0.0]]) for t in turn]


BENT = np.array([[-0.6, -0.6, 0], [-0.6, 0.6, 0], [0.3, 0.6, 0], [0.3, -0.2, 0.3]])
APART = [np.array([[-0.5, y, 0], [0.5, y, 0]]) for y in (-0.5, 0.0, 0.5)]
LEGS = [np.array([[x, y, 0], [x, y, -0.7]]) for x in (-0.5, 0.5) for y in (-0.2, 0.2)]


@pytest.mark.parametrize(
    ("points", "limbs"),
    [
        (solid(np.array([[-0.8, 0, 0], [0.8, 0, 0]])), 2),
        (solid(BENT), 2),
        (solid(*star(3)), 3),
        (solid(*star(5)), 5),
        (solid(np.array([[-0.5, 0, 0], [0.5, 0, 0]]), *LEGS, radius=0.12), 4),
        (solid(np.array([[0.0, 0, 0], [0.01, 0, 0]]), radius=0.4), 1),  # a ball
        (np.zeros((0, 3)), 0),
    ],
)
def test_ends_are_counted(points, limbs):
    assert count_limbs(points) == limbs


def test_pieces_count_and_specks_do_not():
    together, apart = solid(APART[0]), solid(*APART)
    assert count_limbs(apart) >= 3
    speck = together[:2] + np.array([0, 0.6, 0])
    assert count_limbs(np.concatenate([together, speck])) == 2
