"""The bending test: a chain holds together, one whose tree is wrong comes apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from trained_run import TinyRun

from wim_fast.cli import main
from wim_fast.config import Config, ModelConfig
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.motion import Motion
from wim_fast.ops.backend import select_backend
from wim_fast.runs.bend import bend_joints
from wim_fast.runs.trained_model import TrainedModel

FRAMES, SWING = 9, 50.0  # degrees to either side


def chain(edges: list[tuple[int, int]], candidates: list[tuple[int, int]]) -> TrainedModel:
    """Three ellipsoids along x that overlap; the outer two swing about the end of the first."""
    model = ArticulatedModel(ModelConfig(parts=3, hash_log2_entries=6, decoder_width=16), FRAMES)
    axes = torch.tensor([0.12, 0.03, 0.03]).expand(3, 3)
    centers = np.array([[0.0, 0, 0], [0.2, 0, 0], [0.4, 0, 0]])
    model.start_at(torch.eye(3).expand(3, 3, 3), torch.from_numpy(centers).float(), axes)
    model.joints.choose(torch.tensor(edges), torch.tensor(candidates))
    turn = Rotation.from_euler("z", np.linspace(-SWING, SWING, FRAMES)[:, None], degrees=True).as_matrix()
    rotation = np.tile(np.eye(3), (FRAMES, 3, 1, 1))
    rotation[:, 1:] = turn[:, None]
    joint = np.array([0.1, 0.0, 0.0])
    translation = np.tile(centers, (FRAMES, 1, 1))
    translation[:, 1:] = np.einsum("tab,pb->tpa", turn, centers[1:] - joint) + joint
    run = TrainedModel(
        path=Path("run"),
        config=Config(),
        model=model.requires_grad_(False),
        backend=select_backend("torch"),
        inv_s=90.0,
        frame_ids=tuple(range(FRAMES)),
        camera_ids=(0, 1),
        coordinate_scale=1.0,
        step=1,
        iterations=1,
    )
    run.__dict__["motion"] = Motion(rotation, translation)
    return run


PLUS_X, MINUS_X = 0, 1


def test_a_chain_holds_together() -> None:
    still, *bent = bend_joints(chain([(0, 1), (1, 2)], [(PLUS_X, MINUS_X), (PLUS_X, MINUS_X)]))
    assert (still.node, still.pieces, still.volume) == (-1, 1, 1.0)
    assert [(b.node, b.on, round(b.degrees)) for b in bent] == [
        (1, 0, -60),
        (1, 0, 60),
    ]  # the other joint is still
    assert all(b.pieces == 1 and 0.95 < b.volume < 1.05 for b in bent)


def test_a_wrong_tree_tears() -> None:
    """The outermost hangs on the first, and the one between hangs on it."""
    still, *bent = bend_joints(chain([(0, 2), (1, 2)], [(PLUS_X, MINUS_X), (PLUS_X, MINUS_X)]))
    assert still.pieces == 1
    assert {b.pieces for b in bent if b.node == 2} == {2}


def test_the_command(tiny_run: TinyRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "bends.png"
    assert main(["check", str(tiny_run.path), "--bends", "--output", str(picture)]) == 0
    assert "tear the object" in capsys.readouterr().out
    assert picture.is_file()
    assert main(["check", str(tiny_run.path), "--bends", "--frames", "0:2"]) != 0
