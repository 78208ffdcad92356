"""The motion of joints: hinges with known axes, moved about as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from wim_fast.posing.joints.motion import joint_motions
from wim_fast.posing.tree import rooted


@pytest.mark.parametrize("frame", [0, 7])
def test_hinges(frame: int) -> None:
    """A root that tumbles, two hinges in a chain on it: axes in the world of the frame, and angles."""
    rng = np.random.default_rng(0)
    root = Rotation.random(20, random_state=1)
    axes = rng.normal(size=(2, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    angles = np.stack([60 * np.sin(np.linspace(0, 5, 20)), 25 * np.cos(np.linspace(0, 5, 20))])
    rest = Rotation.random(2, random_state=2)
    first = root * Rotation.from_rotvec(angles[0][:, None] * axes[0], degrees=True) * rest[0]
    second = first * Rotation.from_rotvec(angles[1][:, None] * axes[1], degrees=True) * rest[1]
    rotation = np.stack([part.as_matrix() for part in (root, first, second)], axis=1)
    motions = joint_motions(rotation, rooted(np.array([[0, 1], [1, 2]]), 0), frame)
    assert list(motions) == [1, 2]
    for part, parent in ((1, root), (2, first)):
        world = parent[frame].apply(axes[part - 1])
        sign = np.sign(world[np.abs(world).argmax()])
        np.testing.assert_allclose(motions[part].axis, sign * world, atol=1e-9)
        expected = sign * (angles[part - 1] - angles[part - 1][frame])
        assert motions[part].least == pytest.approx(min(expected.min(), 0), abs=1e-6)
        assert motions[part].greatest == pytest.approx(max(expected.max(), 0), abs=1e-6)
        assert motions[part].span == pytest.approx(np.ptp(expected), abs=1e-6)


def test_a_stiff_joint_does_not_turn() -> None:
    rotation = np.tile(Rotation.random(2, random_state=0).as_matrix(), (5, 1, 1, 1))
    motion = joint_motions(rotation, rooted(np.array([[0, 1]]), 1), 2)[0]
    assert motion.span == pytest.approx(0.0, abs=1e-6)
    assert np.linalg.norm(motion.axis) == pytest.approx(1.0)
