"""`--preset paper` trains, learns and resumes: its batch and networks made small, all else as it is."""

import pytest
import torch
from tiny_run import differences
from tiny_scene import ring, write_scene

from wim_fast.config import load_config
from wim_fast.ops.backend import select_backend
from wim_fast.scene.load import load_scene
from wim_fast.training.checkpoint import TrainedOn, load_checkpoint, restore, save_checkpoint, snapshot
from wim_fast.training.trainer import Trainer

STEPS = 240
SMALL = {
    "parts": 8,
    "iterations": STEPS,
    "images_per_step": 4,
    "rays_per_image": 128,  # with 64 in a step, luck decides whether the mask loss falls
    "eikonal_points": 256,
    "mask_pixels": 128,
    "pose_width": 32,
    "decoder_width": 32,
    "hash_log2_entries": 8,
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene") / "tiny"
    write_scene(folder, frames=6, eyes=ring(5), width=32, solid="ellipsoid")
    return load_scene(folder)


def make_trainer(scene):
    return Trainer(scene, load_config("x", SMALL | {"preset": "paper"}), STEPS, select_backend("numba"))


def test_the_papers_preset_trains_and_resumes(scene, tmp_path):
    trainer = make_trainer(scene)
    assert trainer.inv_s == 600  # from the first step
    assert trainer.model.field.lighting is None
    reports = [trainer.train_step() for _ in range(STEPS - 60)]
    assert all(report.values.isfinite().all() for report in reports)
    assert set(reports[0].losses) == {
        "photo", "mask", "eikonal", "volume", "silhouette", "part_center", "joint", "separation",
    }  # fmt: skip
    assert reports[0].losses["volume"] == 0
    for name in ("mask", "part_center", "silhouette"):
        values = torch.tensor([report.losses[name] for report in reports])
        assert values[-40:].mean() < values[:40].mean(), name
    save_checkpoint(tmp_path / "state.pt", trainer, TrainedOn((0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 4), 1.0))
    other = make_trainer(scene)
    restore(other, load_checkpoint(tmp_path / "state.pt"))
    for _ in range(20):  # across the beginning of the merge loss
        last, again = trainer.train_step(), other.train_step()
    assert last.losses == again.losses
    assert last.losses["merge"] > 0
    assert differences(snapshot(trainer), snapshot(other)) == []
