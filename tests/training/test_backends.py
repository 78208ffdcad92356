"""A whole training step on every backend."""

import pytest
import torch
from errors import refused
from small_trainer import available, small_trainer
from tiny_scene import ring, write_scene

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
    return small_trainer(scene, backend(name))


def backend(name: str):
    chosen = available(name)
    return chosen._replace(device=torch.device("cpu")) if name == "torch" else chosen


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


@pytest.mark.parametrize("name", ["torch", "tcnn"])
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
