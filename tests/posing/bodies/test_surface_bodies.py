"""Which body carries which face: what the film tells, short seams, and seams along changes of colour."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from wim_fast.config import ModelConfig
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.distance_grid import distance_grid
from wim_fast.model.motion import Motion, posed_at
from wim_fast.ops.backend import select_backend
from wim_fast.posing.bodies.surface import MOST_OFF, Carrying, areas, carrying, neighbours, share_out
from wim_fast.posing.rigid import rigid

INV_S = 200.0  # 1 / world units


def strip(length: int) -> tuple[np.ndarray, np.ndarray]:
    """A band of so many squares along x, 0.1 wide, of two triangles each: (V, 3), (F, 3)."""
    x = 0.1 * np.arange(length + 1)
    vertices = np.concatenate([np.stack([x, np.full_like(x, y), np.zeros_like(x)], axis=1) for y in (0, 0.1)])
    first = np.arange(length)
    above = first + length + 1
    faces = np.concatenate(
        [np.stack([first, first + 1, above], axis=1), np.stack([first + 1, above + 1, above], axis=1)]
    )
    return vertices, faces


def test_neighbours_share_an_edge() -> None:
    vertices, faces = strip(3)
    pairs, ends = neighbours(faces)
    assert len(pairs) == 5
    for (first, second), edge in zip(pairs, ends, strict=True):
        assert set(faces[first]) & set(faces[second]) == set(edge)
    np.testing.assert_allclose(areas(vertices, faces), 0.005)


@pytest.mark.parametrize("change", [3, 6])
def test_where_nothing_tells_the_seam_lies_where_the_colour_changes(change: int) -> None:
    """Ten squares; the first goes with body 0, the last with body 1, and nothing is known of the others."""
    vertices, faces = strip(10)
    x = vertices[:, 0]
    costs = np.zeros((len(x), 2))
    costs[x < 0.15, 1] = costs[x > 0.85, 0] = MOST_OFF**2
    colors = np.repeat((x > 0.1 * change + 0.05)[:, None], 3, axis=1) * 0.5
    nearest = np.repeat([0, 1], len(x) // 2)
    body = share_out(Carrying(costs, nearest), vertices, faces, colors)
    middle = vertices[faces].mean(axis=1)[:, 0]
    assert (body[middle < 0.1 * change] == 0).all()
    assert (body[middle > 0.1 * (change + 1)] == 1).all()


def test_a_body_that_lost_all_keeps_what_its_parts_hold() -> None:
    vertices, faces = strip(10)
    x = vertices[:, 0]
    costs, nearest = np.zeros((len(x), 2)), (x > 0.75).astype(int)
    body = share_out(Carrying(costs, nearest), vertices, faces, np.ones((len(x), 3)))
    assert (body == (vertices[faces].mean(axis=1)[:, 0] > 0.75)).mean() > 0.9
    costs[:, 1] = 1.0  # but not where it is further off than another
    assert not share_out(Carrying(costs, nearest), vertices, faces, np.ones((len(x), 3))).any()


def test_a_group_carries_what_one_of_its_bodies_does() -> None:
    costs = np.array([[1.0, 2.0, np.inf], [3.0, 0.5, 4.0]])
    united = Carrying(costs, np.array([1, 2])).united(np.array([0, 0, 1]))
    np.testing.assert_array_equal(united.costs, [[1.0, np.inf], [0.5, 4.0]])
    np.testing.assert_array_equal(united.nearest, [0, 1])


def test_the_film_tells_which_body_takes_a_point_along() -> None:
    """Two ellipsoids in a row, the second of which swings: only its own motion keeps a body's tip on the surface."""
    frames, axes = 6, np.tile([0.15, 0.05, 0.06], (2, 1))
    turn = Rotation.from_euler("z", np.linspace(0, 40, frames)[:, None], degrees=True).as_matrix()
    rotation = np.stack([np.tile(np.eye(3), (frames, 1, 1)), turn], axis=1)
    translation = np.zeros((frames, 2, 3))
    translation[:, 1] = [0.13, 0, 0] + (turn @ [0.13, 0, 0])
    motion = Motion(rotation, translation)
    model = ArticulatedModel(ModelConfig(parts=2, hash_log2_entries=6, decoder_width=16), frames)
    model.start_at(*(torch.from_numpy(x).float() for x in (rotation[0], translation[0], axes)))
    model.requires_grad_(False)
    backend = select_backend("torch")
    vertices, faces = distance_grid(model, posed_at(model, motion, 0), 0.02, backend).zero_crossing()
    bodies = rigid(rotation, translation)
    carried = carrying(model, motion, bodies, np.arange(2), 0, vertices, INV_S, backend)
    assert (carried.costs >= 0).all()
    assert (carried.costs[np.isfinite(carried.costs)] <= MOST_OFF**2).all()
    ends = vertices[:, 0] < -0.05, vertices[:, 0] > 0.3
    for own, tip in enumerate(ends):
        assert (carried.nearest[tip] == own).all()
        assert (carried.costs[tip, own] < 1.0).all()
        assert (carried.costs[tip, 1 - own] > 1.0).all()
    body = share_out(carried, vertices, faces, np.ones_like(vertices))
    middle = vertices[faces].mean(axis=1)[:, 0]
    assert (body[middle < 0.1] == 0).all()
    assert (body[middle > 0.16] == 1).all()
