"""Several processes train as one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_run import flags, newest_checkpoint, tiny_scene

from wim_fast.cli import main


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return tiny_scene(tmp_path_factory.mktemp("scene") / "tiny")


def arguments(scene: Path, run: Path, **changes) -> list[str]:
    return ["train", "--scene", str(scene), "--output", str(run), *flags(iterations=12, **changes)]


def torchrun(count: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "torch.distributed.run", f"--nproc-per-node={count}", f"--master-port={port}"]
    return subprocess.run(
        [sys.executable, *command, "-m", "wim_fast", *arguments],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_two_processes_match_one(scene, tmp_path):
    """Each takes half of the images of the same batches; what is drawn after that differs, so not to the last bit."""
    together, alone = tmp_path / "together", tmp_path / "alone"
    done = torchrun(2, *arguments(scene, together))
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout
    assert done.stdout.count("12 iterations; writing to") == 1  # one speaks for all
    assert main(arguments(scene, alone)) == 0
    a, b = newest_checkpoint(together), newest_checkpoint(alone)
    assert a["step"] == b["step"] == 12
    for name in ("log_semi_axes", "trajectory.rest", "joints.candidate_distance", "joints.center_distance"):
        torch.testing.assert_close(a["model"][name], b["model"][name], atol=2e-2, rtol=2e-2)
    assert torch.equal(a["model"]["joints.edges"], b["model"]["joints.edges"])
    assert (together / "trajectory.npz").is_file()


def test_images_that_cannot_be_shared(scene, tmp_path):
    done = torchrun(2, *arguments(scene, tmp_path / "run", images_per_step=3))
    assert done.returncode != 0
    assert "3 images cannot be shared by 2 processes" in done.stderr
