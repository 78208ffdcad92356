"""Bodies whose poses are off are drawn to where their surface is, and stay where nothing tells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from wim_fast.config import ModelConfig
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.motion import Motion
from wim_fast.ops.backend import select_backend
from wim_fast.posing.bodies.structure import BodyStructure
from wim_fast.posing.bodies.tracking import SurfaceTracker
from wim_fast.posing.rigid import exponential, inverse, logarithm, rigid

FRAMES = 5


def model_of(axes: np.ndarray, motion: Motion) -> ArticulatedModel:
    model = ArticulatedModel(ModelConfig(parts=len(axes), hash_log2_entries=6, decoder_width=16), FRAMES)
    start = (torch.from_numpy(x).float() for x in (motion.rotation[0], motion.translation[0], axes))
    model.start_at(*start)
    return model.requires_grad_(False)


def two_apart() -> Motion:
    """Two parts that turn about axes of their own."""
    turns = [Rotation.from_euler(axis, np.linspace(0, 40, FRAMES)[:, None], degrees=True) for axis in "zy"]
    rotation = np.stack([turn.as_matrix() for turn in turns], axis=1)
    translation = np.zeros((FRAMES, 2, 3))
    translation[:, 1, 0] = 0.5
    return Motion(rotation, translation)


def structure(motion: np.ndarray) -> BodyStructure:
    bodies = motion.shape[1]
    edges = np.stack([np.arange(bodies - 1), np.arange(1, bodies)], axis=1)
    joints = np.zeros((len(motion), bodies - 1, 3))
    return BodyStructure(np.arange(bodies), edges, joints, motion, np.tile(np.eye(6), (bodies, 1, 1)))


def test_bodies_are_drawn_to_their_surface() -> None:
    motion = two_apart()
    model = model_of(np.tile([0.15, 0.08, 0.05], (2, 1)), motion)
    true = rigid(motion.rotation, motion.translation)
    rng = np.random.default_rng(0)
    off = 0.005 * rng.normal(size=(FRAMES, 2, 6)) * [1, 1, 1, 8, 8, 8]
    off -= off[[0]]  # bodies are tied to the surface in the rest frame
    learned = true @ exponential(off)
    tracker = SurfaceTracker(model, motion, 200.0, select_backend("torch"))
    tracked = tracker.tracked(learned, structure(learned))
    before, after = (
        np.abs(logarithm(inverse(true[:, :, None]) @ x[:, :, None])).max() for x in (learned, tracked)
    )
    assert before > 0.05
    assert after < 0.25 * before


def test_what_turns_about_an_axis_round_which_it_is_alike_stays_as_it_was() -> None:
    """A ball tells nothing of how it turns."""
    motion = two_apart()
    model = model_of(np.array([[0.1, 0.1, 0.1], [0.15, 0.08, 0.05]]), motion)
    learned = rigid(motion.rotation, motion.translation)
    learned[:, 0] = learned[:, 0] @ exponential(np.linspace(0, 0.2, FRAMES)[:, None] * [0, 0, 0, 1, 0, 0])
    tracker = SurfaceTracker(model, motion, 200.0, select_backend("torch"))
    tracked = tracker.tracked(learned, structure(learned))
    assert np.abs(logarithm(inverse(learned[:, 0]) @ tracked[:, 0])).max() < 0.02


def test_parts_of_a_body_keep_their_places_on_it() -> None:
    """Two parts of one body, which is off in a frame, and are so to each other."""
    motion = two_apart()
    motion = Motion(motion.rotation[:, [0, 0]], motion.translation * [0.4, 1, 1])
    model = model_of(np.tile([0.15, 0.08, 0.05], (2, 1)), motion)
    learned = rigid(motion.rotation, motion.translation)
    learned[2] = learned[2] @ exponential(np.array([[0.01, 0, 0, 0, 0, 0], [0, 0.01, 0, 0, 0, 0.05]]))
    body = learned[:, [0]]
    bodies = BodyStructure(
        np.zeros(2, int), np.zeros((0, 2), int), np.zeros((FRAMES, 0, 3)), body, np.eye(6)[None]
    )
    tracked = SurfaceTracker(model, motion, 200.0, select_backend("torch")).tracked(learned, bodies)
    assert np.abs(tracked - learned).max() > 0.003
    places = (inverse(x[:, 0]) @ x[:, 1] for x in (learned, tracked))
    np.testing.assert_allclose(*places, atol=1e-9)


@pytest.mark.parametrize(("swing", "lost"), [(0.0, (1, 0)), (60.0, None)])
def test_a_body_is_lost_if_another_takes_its_surface_along(
    swing: float, lost: tuple[int, int] | None
) -> None:
    """The second goes on from the first, and stays on it unless it swings; the third is apart."""
    turn = Rotation.from_euler("z", np.linspace(0, swing, FRAMES)[:, None], degrees=True).as_matrix()
    still = np.tile(np.eye(3), (FRAMES, 1, 1))
    away = Rotation.from_euler("y", np.linspace(0, 40, FRAMES)[:, None], degrees=True).as_matrix()
    rotation = np.stack([still, turn, away], axis=1)
    translation = np.zeros((FRAMES, 3, 3))
    translation[:, 1] = [0.1, 0, 0] + turn @ [0.1, 0, 0]
    translation[:, 2, 0] = 0.6
    motion = Motion(rotation, translation)
    model = model_of(np.array([[0.15, 0.05, 0.06], [0.12, 0.05, 0.06], [0.15, 0.08, 0.05]]), motion)
    tracker = SurfaceTracker(model, motion, 200.0, select_backend("torch"))
    assert tracker.lost(structure(rigid(rotation, translation))) == lost
