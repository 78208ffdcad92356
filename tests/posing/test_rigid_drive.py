"""Driving rigid parts: unseen poses of chains, by points on every link or by few, and what a linear map makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from driven_chain import articulated, moving_points
from scipy.spatial.transform import Rotation

from wim_fast.posing.drive import drive, fit_drive
from wim_fast.posing.regression import rest_points
from wim_fast.posing.rigid_drive import RigidFit, drive_rigid, fit_rigid

TRAIN, TEST = slice(0, 60), slice(60, 80)


def noisy(scene: dict, seed: int, turn: float = 0.02, shift: float = 0.004) -> tuple[np.ndarray, np.ndarray]:
    """Poses as they are learned: turned (radians) and shifted (world units) at random."""
    rng = np.random.default_rng(seed)
    off = Rotation.from_rotvec(turn * rng.normal(size=(scene["rotation"][..., 0].size // 3, 3))).as_matrix()
    rotation = scene["rotation"] @ off.reshape(scene["rotation"].shape)
    return rotation, scene["translation"] + shift * rng.normal(size=scene["translation"].shape)


def fitted(scene: dict, points: np.ndarray, frames: slice = TRAIN) -> RigidFit:
    rotation, translation = noisy(scene, 0)
    return fit_rigid(points[frames], rotation[frames], translation[frames], rest_points(scene["semi_axes"]))


def error(found: np.ndarray, scene: dict, frames: slice = TEST) -> float:
    """Mean distance from where the points of the parts truly are."""
    return float(np.linalg.norm(found - moving_points(scene)[frames], axis=-1).mean())


def linear_error(scene: dict, points: np.ndarray) -> float:
    rotation, translation = noisy(scene, 0)
    learned = {**scene, "rotation": rotation, "translation": translation}
    fit = fit_drive(points[TRAIN], moving_points(learned)[TRAIN])
    return error(drive(fit, points[TEST]), scene)


@pytest.mark.parametrize("travel", [False, True])
def test_points_on_every_link(travel: bool) -> None:
    """Each part follows its own link, though its learned poses are off by 4 mm and 2 degrees."""
    scene = articulated(80, 1, travel=travel)
    fit = fitted(scene, scene["points"])
    own = np.repeat(np.eye(7, dtype=bool), 5, axis=1)  # (P, M)
    assert (fit.weights[own] > 0.1).all()
    assert fit.weights[~own].mean() < 0.02
    assert error(drive_rigid(fit, scene["points"][TEST]), scene) < 0.6 * linear_error(scene, scene["points"])
    assert fit.held_out_error < 0.01


def test_joints_alone_are_completed_by_the_linear_map() -> None:
    ours, linear = [], []
    for seed in range(3):
        scene = articulated(80, seed)
        ours.append(error(drive_rigid(fitted(scene, scene["joints"]), scene["joints"][TEST]), scene))
        linear.append(linear_error(scene, scene["joints"]))
    assert np.mean(ours) < 0.9 * np.mean(linear)


def test_poses_follow_when_the_whole_object_is_moved() -> None:
    scene = articulated(40, 4, travel=True)
    fit = fitted(scene, scene["points"], slice(0, 40))
    turn, shift = Rotation.random(random_state=0).as_matrix(), np.array([5.0, -3.0, 2.0])
    moved = drive_rigid(fit, scene["points"] @ turn.T + shift)
    np.testing.assert_allclose(moved, drive_rigid(fit, scene["points"]) @ turn.T + shift, atol=1e-9)


def test_what_procrustes_misses_comes_back_in_like_poses() -> None:
    """A part that slides along its link as the joint below it turns: held out, it is where it was seen in like poses."""
    scene = articulated(60, 0, num_links=3)
    turned = np.swapaxes(scene["rotation"][:, 1], -1, -2) @ scene["rotation"][:, 2]
    slide = 0.1 * np.sin(Rotation.from_matrix(turned).magnitude())[:, None]
    slid = scene["translation"].copy()
    slid[:, 2] += slide * scene["rotation"][:, 2, :, 0]
    fit = fit_rigid(scene["points"], scene["rotation"], slid, rest_points(scene["semi_axes"]))
    assert fit.held_out_error < 1e-3 < 0.1 * slide.std()


def test_one_frame_and_one_point() -> None:
    scene = articulated(1, 3)
    fit = fitted(scene, scene["points"][:, :1], slice(0, 1))
    assert drive_rigid(fit, scene["points"][:, :1]).shape == (1, 49, 3)
    assert np.isfinite(fit.held_out_error)
