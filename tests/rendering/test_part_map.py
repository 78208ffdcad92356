"""Pictures of parts: shading against a sphere that is known, painting by hand."""

from __future__ import annotations

import numpy as np

from wim_fast.compositing import over_uint8
from wim_fast.recordings.cameras import Cameras, pixel_rays
from wim_fast.rendering.part_map import PartMap, facing


def sphere(size: int, distance: float = 4.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, Cameras]:
    """Depth, hits and true cosines (H, W) of a unit sphere seen by a camera that is not at the origin."""
    K = np.array([[1.5 * size, 0, size / 2], [0, 1.5 * size, size / 2], [0, 0, 1]])
    T = np.eye(4)
    T[:3, 3] = [0.3, -0.2, 0.5]
    camera = Cameras((0,), K[None], T[None], size, size)
    y, x = np.mgrid[:size, :size] + 0.5
    origins, directions = pixel_rays(K, T, np.stack([x, y], -1))
    center = np.array([0, 0, distance]) - T[:3, 3]
    o = origins - center
    b, c = (o * directions).sum(-1), (o * o).sum(-1) - 1
    disc = b * b - c
    hit = disc > 0
    depth = np.where(hit, -b - np.sqrt(np.maximum(disc, 0)), 0.0)
    normal = o + depth[..., None] * directions
    return depth, hit, np.abs((normal * directions).sum(-1)), camera


def test_facing_of_a_sphere() -> None:
    depth, hit, cosine, camera = sphere(96)
    found = facing(depth, hit, camera)
    inner = hit & (cosine > 0.35)
    assert np.abs(found - cosine)[inner].max() < 0.05
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-9


def test_facing_does_not_see_what_lies_behind() -> None:
    """A far wall round the sphere changes nothing on the sphere."""
    depth, hit, _, camera = sphere(64)
    alone = facing(depth, hit, camera)
    walled = facing(np.where(hit, depth, 9.0), np.ones_like(hit), camera)
    np.testing.assert_array_equal(alone[hit], walled[hit])


def test_facing_of_nothing() -> None:
    _, _, _, camera = sphere(8)
    assert (facing(np.zeros((8, 8)), np.zeros((8, 8), bool), camera) == 0.5).all()


def test_paint() -> None:
    """Two rays a side: a full pixel, a half-covered one of two parts, an empty one."""
    part = np.array([[0, 0, 1, -1, -1, -1], [0, 0, 0, -1, -1, -1]])
    colors = np.array([[200, 100, 0], [0, 50, 250]], np.uint8)
    picture = PartMap(part, np.full(part.shape, 0.5)).paint(colors)
    np.testing.assert_array_equal(picture[0], [[100, 50, 0, 255], [50, 38, 62, 128], [0, 0, 0, 0]])


def test_on_background() -> None:
    picture = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]], np.uint8)
    np.testing.assert_array_equal(
        over_uint8(picture, 1.0)[0], [[200, 100, 0], [255, 255, 255], [244, 224, 204]]
    )
    opaque = picture[..., :3]
    assert over_uint8(opaque, 0.0) is opaque
