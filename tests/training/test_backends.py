"""A whole training step on every backend."""

import dataclasses

import pytest
import torch
from errors import refused
from tiny_scene import ring, write_scene

from wim_fast.config import Config
from wim_fast.errors import UserError
from wim_fast.ops.backend import BACKENDS, select_backend
from wim_fast.scene.load import load_scene
from wim_fast.training.checkpoint import TrainedOn, load_checkpoint, restore, save_checkpoint, snapshot
from wim_fast.training.pace import Pace
from wim_fast.training.trainer import Trainer


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene") / "tiny"
    write_scene(folder, frames=3, eyes=ring(3), width=16, solid="ellipsoid")
    return load_scene(folder)


def make_trainer(scene, name: str) -> Trainer:
    config = Config()
    small = {
        "parts": 3,
        "hash_log2_entries": 8,
        "hash_finest_cell": 0.1,
        "pose_width": 16,
        "decoder_width": 16,
    }
    model = dataclasses.replace(config.model, **small)
    render = dataclasses.replace(config.render, images_per_step=2, rays_per_image=6)
    few = {
        "eikonal_points": 8,
        "void_points": 8,
        "core_points": 8,
        "surface_points": 4,
    }  # Triton's interpreter is slow
    sampling = dataclasses.replace(config.sampling, **few)
    schedule = dataclasses.replace(config.schedule, merge_start=0.0)
    config = dataclasses.replace(config, model=model, render=render, sampling=sampling, schedule=schedule)
    return Trainer(scene, config, 10, backend(name))


def backend(name: str):
    if name == "triton":
        pytest.importorskip("triton", reason="triton is not installed")
    try:
        chosen = select_backend(name)
        return chosen._replace(device=torch.device("cpu")) if name == "torch" else chosen
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ["numba", "triton", "tcnn"])
def test_a_step_is_that_of_the_references(scene, name):
    """The same losses and, after it, the same parameters."""
    trainer, reference = make_trainer(scene, name), make_trainer(scene, "torch")
    if trainer.backend.device.type == "cuda":
        pytest.skip("other random numbers than the CPU's")
    with torch.no_grad():
        for a, b in zip(trainer.model.parameters(), reference.model.parameters(), strict=True):
            a.copy_(b)
    ours, theirs = trainer.train_step(), reference.train_step()
    assert ours.names == theirs.names
    assert ours.num_samples == pytest.approx(theirs.num_samples, abs=2)
    assert ours.num_dropped == 0
    for name, value in theirs.losses.items():
        assert ours.losses[name] == pytest.approx(value, rel=2e-3, abs=3e-4), name
    for (name, a), b in zip(trainer.model.named_parameters(), reference.model.parameters(), strict=True):
        # the first step of AdamW goes by the sign of the gradient: where that is nearly zero it may differ
        assert ((a - b).abs() < 1e-4).float().mean() > 0.9, name


@pytest.mark.parametrize("name", ["torch", "triton", "tcnn"])
def test_a_checkpoint_goes_on_on_every_backend(scene, name, tmp_path):
    trainer, other = make_trainer(scene, "numba"), make_trainer(scene, name)
    for _ in range(2):
        trainer.train_step()
    save_checkpoint(tmp_path / "state.pt", trainer, TrainedOn((0, 1, 2), (0, 1, 2), 1.0))
    restore(other, load_checkpoint(tmp_path / "state.pt"))
    for mine, theirs in zip(trainer.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(mine, theirs.cpu())
    ours, theirs = trainer.train_step(), other.train_step()
    assert other.step == 3
    for term, value in ours.losses.items():  # where the random numbers are the same
        if other.backend.device.type == "cpu":
            assert theirs.losses[term] == pytest.approx(value, rel=2e-3, abs=3e-4), term


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["triton", "tcnn"])
def test_training_on_a_gpu(scene, name):
    """Recorded or not, losses fall and stay finite; and the state goes on on the CPU."""
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    trainer = make_trainer(scene, name)
    trainer.pace = Pace.steady(200)
    reports = [trainer.train_step() for _ in range(100)]
    assert all(r.values.isfinite().all() for r in reports)
    assert reports[-1].losses["photo"] < reports[0].losses["photo"]
    state = snapshot(trainer)
    state["model"] = {key: value.cpu() for key, value in state["model"].items()}
    on_cpu = make_trainer(scene, "numba")
    restore(on_cpu, state)
    assert on_cpu.step == 100
    assert on_cpu.train_step().values.isfinite().all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", ["triton", "tcnn"])
def test_a_gpu_is_asked_for_where_there_is_none(name, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with refused(f"--backend {name}", "NVIDIA GPU", "--backend numba"):
        select_backend(name)


def test_the_fastest_without_a_gpu():
    if not torch.cuda.is_available():
        assert select_backend("auto").name == "numba"
    assert select_backend("torch").name == "torch"
    with refused("backend", "abacus", *BACKENDS):
        select_backend("abacus")
