"""Seams: neighbours of a learned shape meet, and joints between bodies follow seams rather than ellipsoids."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from errors import refused

from wim_fast.config import ModelConfig
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.distance_grid import COARSER, PLENTY, affordable_cell, distance_grid
from wim_fast.model.motion import Motion, posed_at
from wim_fast.ops.backend import select_backend
from wim_fast.posing.bodies.seams import CELL, Seams, find_seams
from wim_fast.posing.ellipsoids import part_contacts
from wim_fast.posing.rigid import rigid

AXES = np.tile([0.12, 0.05, 0.05], (3, 1))


def in_a_row(gap: float, frames: int) -> Motion:
    """Three ellipsoids along x, the last one apart by `gap` in the first frames, else so near as the others."""
    translation = np.zeros((frames, 3, 3))
    translation[:, :, 0] = [0.0, 0.2, 0.4]
    translation[: frames // 2, 2, 0] += gap
    return Motion(np.tile(np.eye(3), (frames, 3, 1, 1)), translation)


@pytest.mark.parametrize(("gap", "share"), [(0.0, 1.0), (0.3, 0.5)])
def test_neighbours_meet_where_they_pass_into_each_other(gap: float, share: float) -> None:
    model = ArticulatedModel(ModelConfig(parts=3, hash_log2_entries=6, decoder_width=16), 2)
    motion = in_a_row(gap, 2)
    start = (torch.from_numpy(x).float() for x in (motion.rotation[1], motion.translation[1], AXES))
    model.start_at(*start)
    seams = find_seams(model.requires_grad_(False), motion, select_backend("torch"))
    np.testing.assert_allclose(seams.share, [[0, 1, 0], [1, 0, share], [0, share, 0]])
    np.testing.assert_allclose(seams.place[0, 1], [0.1, 0, 0], atol=CELL)
    np.testing.assert_allclose(seams.place[1, 0], [-0.1, 0, 0], atol=CELL)
    np.testing.assert_allclose(seams.place[2, 1], [-0.1, 0, 0], atol=CELL)
    assert (seams.size == seams.size.T).all()
    assert (seams.size > 0).tolist() == (seams.share > 0).tolist()


def test_a_part_astray_takes_no_more_memory() -> None:
    model = ArticulatedModel(ModelConfig(parts=3, hash_log2_entries=6, decoder_width=16), 2)
    motion = in_a_row(1e4, 2)
    model.start_at(*(torch.from_numpy(x).float() for x in (motion.rotation[1], motion.translation[1], AXES)))
    assert find_seams(model.requires_grad_(False), motion, select_backend("torch")).share[0, 1] >= 0.5


def test_a_union_that_swells_takes_no_more_memory() -> None:
    """Far smoother than the ellipsoids are large; a grid of cells as fine as usual is refused."""
    config = ModelConfig(parts=3, hash_log2_entries=6, decoder_width=16, initial_union_sharpness=0.1)
    model, motion, backend = ArticulatedModel(config, 2), in_a_row(0.0, 2), select_backend("numba")
    model.start_at(*(torch.from_numpy(x).float() for x in (motion.rotation[1], motion.translation[1], AXES)))
    find_seams(model.requires_grad_(False), motion, backend)
    posed = posed_at(model, motion, 0)
    with refused("model", "its surface may reach 22.8 units", "larger cells"):
        distance_grid(model, posed, CELL, backend)
    assert affordable_cell(model, posed, CELL) == pytest.approx(22.5 / PLENTY ** (1 / 3), rel=0.05)
    assert affordable_cell(model, posed, 0.1 * CELL) == pytest.approx(0.1 * CELL * COARSER)
    assert affordable_cell(model, posed, 0.1) == 0.1


def test_where_there_are_seams_ellipsoids_say_nothing() -> None:
    motion = in_a_row(0.0, 3)
    contacts = part_contacts(rigid(motion.rotation, motion.translation), AXES)
    share = np.array([[0.0, 0.2, 1.0], [0.2, 0.0, 0.0], [1.0, 0.0, 0.0]])
    seams = Seams(share, 10.0 * share, np.ones((3, 3, 3)))
    changed = seams.instead(contacts)
    assert changed.gap[0, 2] < 0 == changed.gap[0, 0] < changed.gap[0, 1] < changed.gap[1, 2]
    np.testing.assert_array_equal(changed.nearest[0, 2], np.ones(3))
    np.testing.assert_array_equal(changed.nearest[1, 2], contacts.nearest[1, 2])
    assert (changed.touching == contacts.touching).all()
