"""Nodes that carry parts: a body's parts stay as they lie on it, and parts by themselves are as they were turned."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from wim_fast.model.motion import Motion
from wim_fast.posing.rigid import inverse, rigid
from wim_fast.posing.skeleton import Skeleton


def random_motion(frames: int, nodes: int, seed: int) -> Motion:
    rotation = Rotation.random(frames * nodes, random_state=seed).as_matrix().reshape(frames, nodes, 3, 3)
    return Motion(rotation, np.random.default_rng(seed).normal(size=(frames, nodes, 3)))


def test_parts_keep_their_place_on_their_body() -> None:
    body_of_part = np.array([0, 1, 0])
    skeleton = Skeleton(
        "body", body_of_part, np.array([[0, 1]]), np.zeros((2, 1, 3)), random_motion(2, 2, seed=0), root=1
    )
    assert (skeleton.count, skeleton.tree.root) == (2, 1)
    parts, nodes = random_motion(1, 3, seed=1), random_motion(4, 2, seed=2)
    carried = skeleton.carried(1, nodes, parts)
    before, after = rigid(parts.rotation, parts.translation), rigid(carried.rotation, carried.translation)
    start, end = (rigid(m.rotation, m.translation)[:, body_of_part] for m in (skeleton.motion, nodes))
    np.testing.assert_allclose(inverse(end) @ after, np.tile(inverse(start[1]) @ before, (4, 1, 1, 1)))


def test_parts_by_themselves_are_the_nodes() -> None:
    motion, posed = random_motion(2, 3, seed=3), random_motion(1, 3, seed=4)
    skeleton = Skeleton("part", np.arange(3), np.array([[0, 1], [1, 2]]), np.zeros((2, 2, 3)), motion, root=0)
    carried = skeleton.carried(0, posed, motion.at([0]))
    np.testing.assert_allclose(carried.rotation, posed.rotation, atol=1e-12)
    np.testing.assert_allclose(carried.translation, posed.translation, atol=1e-12)
