"""Where a body stands at first: in the place and size of what was filmed, whatever its unit and its axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation
from tiny_scene import ring, write_scene
from tiny_template import tiny_template

from wim_fast.baselines.kundu.start import find_stand, surface_moments, turns
from wim_fast.scene.load import load_scene


def test_a_body_finds_its_masks(tmp_path: Path) -> None:
    half = (0.15, 0.3, 0.6)
    write_scene(tmp_path / "scene", frames=1, eyes=ring(5), width=48, solid="ellipsoid", half=half)
    scene = load_scene(tmp_path / "scene", coordinate_scale=1.0)
    body = tiny_template(half)
    lying = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    vertices = 2 * body["vertices"] @ lying.T + 5
    stand = find_stand(scene, 1, vertices, body["faces"])
    np.testing.assert_allclose(stand.place, [0, 0.1, 0.2], atol=0.02)
    assert abs(stand.size - 0.5) < 0.05
    longest = stand.turn @ lying @ np.array([0, 0, 1.0])
    assert abs(longest[2]) > 0.99
    center, _ = surface_moments(vertices, body["faces"])
    reach = np.ptp(stand.of(vertices - center), axis=0)
    np.testing.assert_allclose(reach, 2 * np.array(half), rtol=0.15)


def test_turns_are_rotations_and_none_twice() -> None:
    found = np.array(turns(np.array([0.0, -1.0, 0.0])))
    assert len(found) == 96
    np.testing.assert_allclose(found @ found.transpose(0, 2, 1), np.tile(np.eye(3), (96, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(found), 1)
    apart = np.linalg.norm(found[:, None] - found, axis=(2, 3)) + 9 * np.eye(96)
    assert apart.min() > 0.1
