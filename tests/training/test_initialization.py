import numpy as np
import pytest
import torch
from kernel_cases import random_rotations
from scipy.optimize import linear_sum_assignment

from wim_fast.errors import UserError
from wim_fast.sections import LEAST_AUTO, MOST_AUTO
from wim_fast.training import initialization
from wim_fast.training.initialization import (
    LIMB_CELLS,
    enough_parts,
    parts_from_points,
    random_parts,
    starting_frame,
)


def solid_ellipsoids(parts=3, points=6000, seed=0):
    """Points that fill ellipsoids which lie well apart, and their poses and semi-axes."""
    rng = np.random.default_rng(seed)
    rotation = random_rotations(parts, generator=torch.Generator().manual_seed(seed)).numpy()
    centers = np.stack([[0.0, 1.5 * p, 0.3 * p] for p in range(parts)])
    axes = np.sort(rng.uniform(0.1, 0.35, (parts, 3)), axis=1) * [0.6, 1.0, 1.4]
    ball = rng.normal(size=(parts, points, 3))
    ball *= rng.uniform(size=(parts, points, 1)) ** (1 / 3) / np.linalg.norm(ball, axis=-1, keepdims=True)
    world = np.einsum("pab,pnb->pna", rotation, ball * axes[:, None]) + centers[:, None]
    return world.reshape(-1, 3), rotation, centers, axes


def test_known_ellipsoids_are_recovered():
    points, rotation, centers, axes = solid_ellipsoids()
    found_rotation, found_centers, found_axes = parts_from_points(points, 3, 0.02, 0.8, seed=1)
    _, match = linear_sum_assignment(np.linalg.norm(centers[:, None] - found_centers[None], axis=-1))
    for part, i in enumerate(match):
        np.testing.assert_allclose(found_centers[i], centers[part], atol=0.01)
        np.testing.assert_allclose(np.sort(found_axes[i]) / 0.8, axes[part], rtol=0.05)
        found = found_rotation[i][:, np.argsort(found_axes[i])]
        alignment = np.abs(np.diag(found.T @ rotation[part]))
        assert (alignment > 0.98).all()


def test_rotations_are_proper():
    rotation, _, _ = parts_from_points(solid_ellipsoids()[0], 7, 0.02, 0.8, seed=0)
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (7, 1, 1)), atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-5)


def test_flat_objects_keep_a_least_thickness():
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (3000, 3)) * [1, 1, 0]
    for axes in parts_from_points(points, 4, 0.02, 0.8, seed=0)[2]:
        assert axes.min() >= 0.02
        assert axes.max() > 0.1


def test_more_parts_than_clusters_of_points():
    points = np.random.default_rng(0).normal(size=(12, 3))
    rotation, centers, axes = parts_from_points(points, 10, 0.02, 0.8, seed=0)
    assert np.isfinite(rotation).all()
    assert np.isfinite(centers).all()
    assert (axes > 0.02).all()


def test_seed_decides():
    points = solid_ellipsoids()[0]
    first, again = (parts_from_points(points, 6, 0.02, 0.8, seed=5) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a, b)
        assert a.dtype == np.float32


@pytest.mark.parametrize(
    ("limbs", "parts"),
    [([0, 0, 0], LEAST_AUTO), ([2, 2, 2], LEAST_AUTO), ([2, 3, 9], 30), ([5, 4, 6], MOST_AUTO)],
)
def test_what_has_more_limbs_gets_more_parts(monkeypatch, limbs, parts):
    monkeypatch.setattr(initialization, "_limbs", lambda scene, frame: limbs[frame - 1])
    assert enough_parts(Seen([2, 3, 3, 3, 1])) == parts  # of the frames that most cameras see, the median


@pytest.mark.parametrize(("thick", "parts"), [(4, MOST_AUTO), (1, LEAST_AUTO)])
def test_what_is_too_thin_for_many_parts_has_few(monkeypatch, thick, parts):
    """A cross whose arms are so many cells thick, of a scene that needs no pictures."""
    side = (np.arange(LIMB_CELLS) + 0.5) / LIMB_CELLS * 2 - 1
    points = np.stack(np.meshgrid(side, side, side, indexing="ij"), axis=-1).reshape(-1, 3)
    away = np.sort(np.abs(points), axis=1)
    monkeypatch.setattr(initialization, "visual_hull", lambda *_: points[away[:, 1] < thick / LIMB_CELLS])
    scene = Seen([3])
    scene.cameras, scene.mask = None, np.zeros((3, 1, 1, 1))
    assert enough_parts(scene) == parts


class Seen:
    """What `starting_frame` asks of a scene: how many of 3 cameras see each frame."""

    name, num_cameras = "scene", 3

    def __init__(self, counts):
        self.sees_object = np.arange(3)[:, None] < np.array(counts)


@pytest.mark.parametrize(
    ("counts", "frame"),
    [
        ([3, 3, 3], 0),
        ([2, 3, 3], 1),  # the one that most see, the earliest of several
        ([1, 2, 3, 0], 1),  # of the frames that training begins with, here 2
        ([1, 0, 2, 3], 3),  # of all if those do not do
    ],
)
def test_parts_begin_in_the_frame_that_most_cameras_see(counts, frame):
    assert starting_frame(Seen(counts), initial_frames=2) == frame


def test_a_hull_needs_two_cameras():
    with pytest.raises(UserError, match="no frame shows the object in 2 cameras"):
        starting_frame(Seen([1, 0, 1]), initial_frames=2)


def test_random_parts_lie_about_the_middle():
    middle = np.array([2.0, -1.0, 3.0])
    rotation, translation, semi_axes = random_parts(middle, 2000, seed=4)
    np.testing.assert_allclose(translation.mean(0), middle, atol=0.01)
    np.testing.assert_allclose(translation.std(0), 0.1, atol=0.01)
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (2000, 1, 1)), atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-5)
    np.testing.assert_allclose(rotation.mean(0), 0, atol=0.05)
    assert (semi_axes == np.float32(0.07)).all()
    assert (random_parts(middle, 5, seed=4)[1] == random_parts(middle, 5, seed=4)[1]).all()
    assert (random_parts(middle, 5, seed=4)[1] != random_parts(middle, 5, seed=5)[1]).all()
