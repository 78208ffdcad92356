"""Several processes train as one."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import one_step
import pytest
import torch
from errors import refused
from ports import free_port
from tiny_run import OFTEN, differences, flags, newest_checkpoint, start, tiny_scene, wait_for_checkpoint

from wim_fast.cli import main
from wim_fast.companions import cores
from wim_fast.config import Config, RenderConfig, from_yaml
from wim_fast.ops.backend import select_backend
from wim_fast.processes import ALONE, Processes
from wim_fast.scene.load import load_scene
from wim_fast.training.pace import Pace
from wim_fast.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("bare_training")
needs_two_cores = pytest.mark.skipif(cores() < 2, reason="two processes need two cores")
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return tiny_scene(tmp_path_factory.mktemp("scene") / "tiny")


def arguments(scene: Path, run: Path, **changes) -> list[str]:
    return [
        "train",
        "--scene",
        str(scene),
        "--output",
        str(run),
        *flags(**{"iterations": 12, "checkpoint_minutes": OFTEN, **changes}),
    ]


def test_gradients_are_the_mean_over_the_shares(scene, tmp_path, monkeypatch):
    """A step of two processes: each takes half of the images that one alone draws, and both get the mean gradient."""
    together = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }
    other = subprocess.Popen(
        [sys.executable, one_step.__file__, str(scene), str(tmp_path)],
        env={**os.environ, **together, "RANK": "1", "LOCAL_RANK": "1"},
    )
    with monkeypatch.context() as first:
        for name, value in {**together, "RANK": "0", "LOCAL_RANK": "0"}.items():
            first.setenv(name, value)
        one_step.take_shares(scene, tmp_path)
    assert other.wait(60) == 0
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
    whole, parts = (
        [torch.load(tmp_path / f"{way}{rank}.pt", weights_only=True)["parameters"] for rank in (0, 1)]
        for way in ("whole", "parts")
    )
    for name, value in whole[0].items():
        for other in (whole[1], *parts):
            assert torch.equal(value, other[name]), name


@needs_two_cores
def test_two_processes_keep_minutes(scene, tmp_path, capfd):
    """One clock decides: with two, the one that ends later would wait for ever."""
    run = tmp_path / "run"
    command = arguments(scene, run, iterations=None, minutes=0.02)
    assert main([*command, "--processes", "2"]) == 0
    output = capfd.readouterr().out
    assert "2 processes" in output
    assert output.count("0.02 minutes; writing to") == 1  # one speaks for all
    assert (run / "trajectory.npz").is_file()
    pace = from_yaml(run / "config.yaml").schedule.pace
    assert pace is not None
    assert Pace.parse(pace).iterations == newest_checkpoint(run)["step"]


def test_images_that_cannot_be_shared(scene):
    config = Config(render=RenderConfig(images_per_step=3))
    with refused("--images-per-step", "3 images cannot be shared by 2 processes"):
        Trainer(load_scene(scene), config, 10, select_backend("numba"), Processes(0, 2))


def children(process: int) -> list[int]:
    """The processes that it started and that still run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):  # it has ended meanwhile
            facts = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            if int(facts["PPid"]) == process and not facts["State"].strip().startswith("Z"):
                found.append(int(status.parent.name))
    return found


def wait_until_gone(processes: list[int], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while any(running(process) for process in processes):
        assert time.monotonic() < end
        time.sleep(0.05)


def running(process: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


@needs_two_cores
def test_processes_of_one_command_train_one_model(scene, tmp_path, capfd):
    """The same numbers each time, and whatever the number of threads."""
    runs = [tmp_path / "a", tmp_path / "b"]
    for run, threads in zip(runs, ("2", "1"), strict=True):
        assert main([*arguments(scene, run), "--processes", "2", "--threads", threads]) == 0
        output, errors = capfd.readouterr()
        assert output.count("12 iterations; writing to") == 1
        assert "2 processes" in output
        assert "Warning" not in errors
    assert not differences(*(newest_checkpoint(run) for run in runs))
    assert not list(Path("/dev/shm").glob("wim_fast_*"))


@contextmanager
def once_saved(run: Path, act: Callable[[int], None]) -> Iterator[list[int]]:
    """When the training inside has saved its first checkpoint, `act` on its other process, whose number is given."""
    before, other = set(children(os.getpid())), []

    def wait() -> None:
        while not list(run.glob("checkpoints/*.pt")):
            time.sleep(0.01)
        other.extend(set(children(os.getpid())) - before)
        act(other[0])

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    yield other
    thread.join()


@needs_two_cores
@needs_proc
def test_a_process_that_is_killed_ends_all(scene, tmp_path, capfd):
    endless = arguments(scene, tmp_path / "run", iterations=100000)
    with once_saved(tmp_path / "run", lambda other: os.kill(other, signal.SIGKILL)) as other:
        assert main([*endless, "--processes", "2"]) == 2
    wait_until_gone(other)
    errors = capfd.readouterr().err
    assert errors.count("process 2 of 2 was killed (SIGKILL)") == 1
    assert "Traceback" not in errors
    assert "--resume" in errors


@needs_two_cores
@needs_proc
def test_none_outlives_the_first(scene, tmp_path):
    run = tmp_path / "run"
    command = start(*arguments(scene, run, iterations=100000), "--processes", "2")
    wait_for_checkpoint(run, command)
    (child,) = children(command.pid)
    command.kill()
    command.communicate(timeout=60)
    wait_until_gone([child])


@needs_two_cores
@needs_proc
def test_a_stop_stops_all_and_saves(scene, tmp_path):
    run = tmp_path / "run"
    stop = lambda other: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    with once_saved(run, stop) as other, pytest.raises(SystemExit) as stopped:
        main([*arguments(scene, run, iterations=100000), "--processes", "2"])
    assert stopped.value.code == 128 + signal.SIGTERM
    assert (run / "trajectory.npz").is_file()
    wait_until_gone(other)


@pytest.mark.parametrize(
    ("count", "problem"),
    [("0", "0 processes are not possible"), ("1000", "1000 processes are not possible")],
)
def test_impossible_numbers(scene, tmp_path, capsys, count, problem):
    assert main([*arguments(scene, tmp_path / "run"), "--processes", count]) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert f"from 1 to {cores()}" in error


def test_images_that_do_not_divide(scene, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("wim_fast.companions.cores", lambda: 6)
    assert main([*arguments(scene, tmp_path / "run", images_per_step=8), "--processes", "3"]) == 2
    error = capsys.readouterr().err
    assert "8 images cannot be shared by 3 processes" in error
    assert "Give 1 or 2 or 4" in error


@needs_two_cores
def test_a_process_that_fails_to_start_is_told_of(scene, tmp_path, capsys, monkeypatch):
    """The others do not wait for it."""
    monkeypatch.setattr("wim_fast.companions.sys.executable", "/bin/false")
    assert main([*arguments(scene, tmp_path / "run"), "--processes", "2"]) == 2
    assert "process 2 of 2 ended: exit code 1" in capsys.readouterr().err
