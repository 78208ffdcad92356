"""The writer of the raw layout: cameras that see everything, coverage that is true."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import raw_scene


def test_directions_are_spread_however_few_are_taken() -> None:
    directions = raw_scene.hemisphere_directions(20, azimuth=30.0)
    assert np.allclose(np.linalg.norm(directions, axis=1), 1)
    elevation = np.degrees(np.arcsin(directions[:, 2]))
    assert elevation.min() > 4
    assert elevation.max() < 76
    azimuth = np.sort(np.degrees(np.arctan2(directions[:5, 1], directions[:5, 0])) % 360)
    gaps = np.diff(np.append(azimuth, azimuth[0] + 360))
    assert gaps.max() < 130


@pytest.mark.parametrize("together", [True, False])
def test_cameras_hold_all_points_and_no_more(together: bool) -> None:
    points = np.random.default_rng(0).normal(size=(500, 3)) * [1.0, 0.3, 0.5] + [3.0, -1.0, 0.5]
    directions = raw_scene.hemisphere_directions(7)
    if together:
        cameras = raw_scene.fit_cameras(directions, points, size=100, fov=40.0, margin=0.05)
    else:
        cameras = [raw_scene.fit_camera(d, points, size=100, fov=40.0, margin=0.05) for d in directions]
    pixels = np.stack([camera.project(points) for camera in cameras])
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    assert low.min() > 5 - 1e-6
    assert high.max() < 95 + 1e-6
    touching = np.isclose(low, 5).any(axis=1) | np.isclose(high, 95).any(axis=1)
    assert touching.any() if together else touching.all()


def test_coverage_is_counted_and_colour_is_the_objects() -> None:
    color = np.full((4, 4, 3), 255, np.uint8)
    coverage = np.zeros((4, 4), bool)
    coverage[:2, :1] = True
    coverage[2:, 2:] = True
    color[:2, :1] = [10, 20, 30]
    color[2:, 2:] = [[100, 0, 0], [200, 0, 0]]
    rgba = raw_scene.antialiased(color, coverage, 2)
    assert rgba.shape == (2, 2, 4)
    assert rgba[0, 0].tolist() == [10, 20, 30, 128]
    assert rgba[1, 1].tolist() == [150, 0, 0, 255]
    assert rgba[0, 1, 3] == 0
