"""Several processes train as one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import one_step
import pytest
import torch
from tiny_run import flags, newest_checkpoint, tiny_scene

from wim_fast.config import from_yaml
from wim_fast.processes import ALONE
from wim_fast.training.pace import Pace


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return tiny_scene(tmp_path_factory.mktemp("scene") / "tiny")


def arguments(scene: Path, run: Path, **changes) -> list[str]:
    return ["train", "--scene", str(scene), "--output", str(run), *flags(iterations=12, **changes)]


def torchrun(count: int, *command: str) -> subprocess.CompletedProcess[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={count}", f"--master-port={port}"]
    return subprocess.run(
        [sys.executable, *launcher, *command],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_gradients_are_the_mean_over_the_shares(scene, tmp_path):
    """A step of two processes: each takes half of the images that one alone draws, and both get the mean gradient."""
    done = torchrun(2, one_step.__file__, str(scene), str(tmp_path))
    assert done.returncode == 0, done.stderr
    together = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    apart = [one_step.take_step(scene, one_step.Separate(rank, 2)) for rank in (0, 1)]
    alone = one_step.take_step(scene, ALONE)
    assert torch.equal(torch.cat([half["images"] for half in together], dim=1), alone["images"])
    for name, mean in together[0]["gradients"].items():
        a, b = (half["gradients"][name] for half in apart)
        assert not torch.equal(a, b)
        torch.testing.assert_close(mean, (a + b) / 2, rtol=1e-5, atol=1e-6 * float(mean.abs().max()))
    for mean, a, b in zip(*(steps["distances"] for steps in (together[0], *apart)), strict=True):
        torch.testing.assert_close(mean, (a + b) / 2)
    for what in ("gradients", "parameters"):
        for name, value in together[0][what].items():
            assert torch.equal(value, together[1][what][name]), name


def test_two_processes_train(scene, tmp_path):
    run = tmp_path / "run"
    done = torchrun(2, "-m", "wim_fast", *arguments(scene, run))
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout
    assert done.stdout.count("12 iterations; writing to") == 1  # one speaks for all
    assert newest_checkpoint(run)["step"] == 12
    assert (run / "trajectory.npz").is_file()


def test_two_processes_keep_minutes(scene, tmp_path):
    """One clock decides: with two, the one that ends later would wait for ever."""
    run = tmp_path / "run"
    command = ["train", "--scene", str(scene), "--output", str(run), *flags(iterations=None, minutes=0.05)]
    done = torchrun(2, "-m", "wim_fast", *command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("0.05 minutes; writing to") == 1
    pace = from_yaml(run / "config.yaml").schedule.pace
    assert pace is not None
    assert Pace.parse(pace).iterations == newest_checkpoint(run)["step"]


def test_images_that_cannot_be_shared(scene, tmp_path):
    done = torchrun(2, "-m", "wim_fast", *arguments(scene, tmp_path / "run", images_per_step=3))
    assert done.returncode != 0
    assert "3 images cannot be shared by 2 processes" in done.stderr
