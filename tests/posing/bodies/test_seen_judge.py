"""What rays see of parts that move otherwise: nothing where they are hidden or look the same, else what was moved."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wim_fast.config import ModelConfig
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.ops.backend import select_backend
from wim_fast.posing.bodies.seen_judge import SeenJudge, parallel_rays
from wim_fast.posing.bodies.unions import Moved
from wim_fast.posing.rigid import exponential, rigid

AXES = np.array([[0.2, 0.1, 0.1], [0.1, 0.1, 0.1], [0.05, 0.03, 0.03]])
CENTERS = np.array([[0.0, 0.0, 0.0], [0.4, 0.0, 0.0], [0.05, 0.0, 0.0]])  # the last is inside of the first
FRAMES = 3


def judge_of(backend: str = "torch") -> tuple[SeenJudge, np.ndarray]:
    """Three ellipsoids of one colour, and their poses (T, 3, 4, 4): they drift."""
    torch.manual_seed(0)
    model = ArticulatedModel(ModelConfig(parts=3, hash_log2_entries=6, decoder_width=16), FRAMES)
    start = np.tile(np.eye(3), (3, 1, 1)), CENTERS, AXES
    model.start_at(*(torch.from_numpy(x).float() for x in start))
    drift = rigid(np.eye(3), 0.1 * np.arange(FRAMES)[:, None] * np.ones(3))
    poses = drift[:, None] @ rigid(np.eye(3), CENTERS)
    return SeenJudge(model.requires_grad_(False), poses, 200.0, select_backend(backend)), poses


def moved(poses: np.ndarray, part: int, *twist: float) -> Moved:
    return Moved([part], poses[:, [part]] @ exponential(np.array(twist, float)))


def test_what_looks_the_same_costs_nothing() -> None:
    judge, poses = judge_of()
    still, hidden, turned, shifted = judge.trials(
        [
            moved(poses, 0, 0, 0, 0, 0, 0, 0),
            moved(poses, 2, 0.02, 0, 0, 0, 0, 1),
            moved(poses, 1, 0, 0, 0, 1, 2, 0),  # a ball
            moved(poses, 1, 0, 0.05, 0, 0, 0, 0),
        ]
    )
    assert still.cost < 1e-9
    assert hidden.cost < 1e-9
    assert turned.cost < 0.01 * shifted.cost


def test_cost_is_the_share_of_what_is_seen() -> None:
    """Of a ball that goes far away: its rays, four times 1, for it was black before white."""
    judge, poses = judge_of()
    far = judge.trials([moved(poses, 1, 0, 0, 9, 0, 0, 0)])[0]
    color = judge.color.numpy()
    alone = judge.sees[:, 1] & ~judge.sees[:, 0]
    expected = ((1 - color[alone, :3]) ** 2).sum() + (color[alone, 3] ** 2).sum()
    assert far.cost == pytest.approx(expected / judge.met, rel=0.15)
    assert 0.1 < (color[:, 3] > 0.5).mean() < 1


def test_costs_are_counted_from_what_was_taken() -> None:
    judge, poses = judge_of()
    there = moved(poses, 1, 0, 0.05, 0, 0, 0, 0)
    first = judge.trials([there])[0]
    judge.take(first)
    again, back = judge.trials([there, moved(poses, 1, 0, 0, 0, 0, 0, 0)])
    assert abs(again.cost) < 1e-9
    assert back.cost == pytest.approx(-first.cost, rel=1e-6)


def test_backends_agree() -> None:
    trials = []
    for backend in ("torch", "numba"):
        judge, poses = judge_of(backend)
        trials.append(
            [t.cost for t in judge.trials([moved(poses, k, 0, 0.02, 0.01, 0, 0, 0) for k in (0, 1)])]
        )
    np.testing.assert_allclose(*trials, rtol=0.05)


def test_rays_look_at_balls_from_all_around() -> None:
    centers, radii = CENTERS[None] + np.array([[[1.0, 2, 3]], [[0, 0, 0]]]), AXES.max(axis=1)
    rays = parallel_rays(centers, radii, np.random.default_rng(0))
    origins, directions = rays.origins.numpy(), rays.directions.numpy()
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0, atol=1e-6)
    to_ball = centers[rays.pose_ids.numpy()] - origins[:, None]  # (R, P, 3)
    ahead = np.einsum("rpk,rk->rp", to_ball, directions)
    assert (ahead > radii - 1e-4).all()
    distance = np.linalg.norm(to_ball - ahead[..., None] * directions[:, None], axis=-1)
    for frame in (0, 1):
        meets = (distance < radii)[rays.pose_ids.numpy() == frame]
        np.testing.assert_allclose(meets.mean(axis=0) / meets[:, 0].mean(), (radii / radii[0]) ** 2, rtol=0.1)
    around = np.unique(directions.round(4), axis=0)
    assert np.linalg.norm(around.mean(axis=0)) < 0.2


def test_a_part_astray_hides_no_other() -> None:
    centers = np.stack([np.arange(6.0), np.zeros(6), np.zeros(6)], axis=1)[None].repeat(2, axis=0)
    centers[1, 5] = 1e5
    rays = parallel_rays(centers, np.full(6, 0.5), np.random.default_rng(0))
    assert rays.origins[rays.pose_ids == 1].abs().max() < 20


def test_where_nothing_is_seen_nothing_changes() -> None:
    model = ArticulatedModel(ModelConfig(parts=2, hash_log2_entries=6, decoder_width=16), 1)
    poses = np.tile(np.eye(4), (1, 2, 1, 1))
    poses[0, 1, :3, 3] = 1e4
    start = np.tile(np.eye(3), (2, 1, 1)), poses[0, :, :3, 3], AXES[:2]
    model.start_at(*(torch.from_numpy(x).float() for x in start))
    judge = SeenJudge(model.requires_grad_(False), poses, 200.0, select_backend("numba"))
    assert judge.trials([moved(poses, 0, 1, 0, 0, 0, 0, 0)])[0].cost == 0
