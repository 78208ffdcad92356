"""The benchmark: every backend taken to pieces without a change to what it computes, and the whole command."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from small_trainer import available, small_trainer
from tiny_scene import ring, write_scene
from torch.profiler import ProfilerActivity, profile, record_function

from wim_fast.ops.backend import select_backend
from wim_fast.ops.mlp import reference
from wim_fast.scene.load import load_scene
from wim_fast.training.trainer import Trainer

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import benchmark
import beside
import step_stages
import step_work

TOOLS = Path(step_stages.__file__).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("benchmark") / "tiny"
    write_scene(path, frames=3, eyes=ring(3), width=16, solid="ellipsoid")
    return path


def make_trainer(folder: Path, name: str, lighting: bool = True) -> Trainer:
    """Late enough that all losses count."""
    trainer = small_trainer(load_scene(folder), available(name), lighting)
    trainer.step = 9
    return trainer


@pytest.mark.parametrize("name", ["numba", "torch", "triton", "tcnn"])
def test_a_step_under_the_profiler_is_the_same(folder: Path, name: str) -> None:
    """The same losses and gradients; every stage is there, and together they take no more than all of it."""
    if name == "triton" and not torch.cuda.is_available():
        pytest.skip("too slow in Triton's interpreter")
    plain, profiled = make_trainer(folder, name), make_trainer(folder, name)
    reports = []
    profiled.train_step, take = lambda: reports.append(take()), profiled.train_step
    with step_stages.unrecorded(plain):
        expected = plain.train_step()
    backend = profiled.backend
    stages = step_stages.profiled_step(profiled)
    assert profiled.backend is backend
    on_cpu = backend.device.type == "cpu"  # sums on a GPU have no order
    assert torch.allclose(reports[0].values, expected.values, rtol=0 if on_cpu else 1e-3, atol=0)
    for a, b in zip(profiled.model.parameters(), plain.model.parameters(), strict=True):
        assert a.grad is not None
        torch.testing.assert_close(
            a.grad, b.grad, rtol=1e-5 if on_cpu else 1e-2, atol=1e-7 if on_cpu else 1e-3
        )
    assert tuple(stages.seconds) == step_stages.STAGES
    assert min(stages.seconds.values()) > 0
    assert sum(stages.seconds.values()) < 1.5 * stages.total


def test_calls_of_a_step(folder: Path) -> None:
    """Samples are looked up to be culled, then with their taps and the hull's core with gradients; all else once."""
    calls = step_stages.profiled_step(make_trainer(folder, "numba")).calls
    assert set(calls) == set(step_stages.FORWARD)
    assert calls["march"] == 3  # and where its samples are, and those that show
    assert calls["losses"] == 6  # all of the forward pass, and five kernels within it
    assert calls["encoding"] == 2
    assert calls["lookup"] == 2
    assert calls["composite"] == 2  # which samples show, and what they look like
    assert calls["pose"] == 3  # network and poses within the model's, those for the merge loss too
    assert calls["decoder"] == 5
    assert calls["data"] > 1


def test_the_backward_pass_of_a_stage_is_its_own() -> None:
    """A stage without gradients takes none of it; what takes all the time backward is known by its stage."""

    class Slow(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, grad):
            time.sleep(0.05)
            return 2 * grad

    x = torch.ones(3, requires_grad=True)
    with profile(activities=[ProfilerActivity.CPU]) as profiler, record_function("optimiser"):
        with record_function("losses"):
            with record_function("march"), torch.no_grad():
                x.exp()
            with record_function("lookup"):
                y = Slow.apply(x)
            with record_function("composite"):
                y = y.exp()
            loss = y.sum()
        loss.backward()
    stages = step_stages.stage_times(profiler.events(), on_gpu=False)
    seconds = stages.seconds
    assert seconds["lookup backward"] > 0.05
    assert seconds["composite backward"] > 0
    assert seconds["decoder"] == seconds["decoder backward"] == seconds["data"] == 0
    assert sum(seconds.values()) == pytest.approx(stages.total, rel=1e-3)
    assert stages.calls["lookup"] == 1


def test_every_kernel_has_a_stage() -> None:
    """But those that only pictures need."""
    kernels = {n: f.__module__ for n, f in select_backend("numba")._asdict().items() if callable(f)}
    of_pictures = {name for name, module in kernels.items() if module.startswith("wim_fast.ops.pictures")}
    assert set(step_stages.KERNELS) == set(kernels) - of_pictures
    assert len(of_pictures) == 5
    assert set(step_stages.KERNELS.values()) < set(step_stages.STAGES)


def test_work_is_that_of_samples_not_of_padding(folder: Path) -> None:
    """Triton's arrays are padded and its MLPs are hidden from torch; what a step does is the same."""
    # without the lighting, which is a product in torch of all rows, padding too
    plain = step_work.count_work(make_trainer(folder, "numba", lighting=False), steps=1)
    padded = step_work.count_work(make_trainer(folder, "triton", lighting=False), steps=1)
    if torch.cuda.is_available():
        pytest.skip("other random numbers than the CPU's")
    assert padded.rays == plain.rays == 12
    assert padded.marched == pytest.approx(plain.marched, abs=2)
    assert min(plain.marched, plain.decoded) > 0
    assert plain.fused_flops == plain.dropped == padded.dropped == 0
    assert padded.flops == pytest.approx(plain.flops, rel=0.1)
    assert padded.fused_flops > 0.3 * padded.flops
    assert padded.bytes == pytest.approx(plain.bytes, rel=0.05)


def test_the_estimate_for_fused_mlps_is_what_torch_counts() -> None:
    weights = [torch.randn(16, 8, requires_grad=True), torch.randn(4, 16, requires_grad=True)]
    x = torch.randn(50, 8, requires_grad=True)
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        reference.mlp(x, weights, "relu").sum().backward()
    assert step_work.fused_flops(len(x), weights) == counter.get_total_flops()


def test_each_backend_is_measured_or_has_a_reason(folder: Path, tmp_path: Path, monkeypatch) -> None:
    """In this process: `test_steps_beside_busy_processes` starts one."""
    monkeypatch.setattr(benchmark, "measure_alone", benchmark.measure)
    output = tmp_path / "results.json"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    sizes = {"parts": 3, "images": 2, "rays": 6, "size": 16}
    effort = {"warm-steps": 3, "repeats": 2, "images-timed": 1, "json": output, "scene": folder}
    options = [f"--{name}={value}" for name, value in {**sizes, **effort}.items()]
    command = ["benchmark.py", "--backend", "each", *options, "--skip-paper", "--skip-growth"]
    monkeypatch.setattr(sys, "argv", command)
    assert benchmark.main() == 0
    results = json.loads(output.read_text())
    assert results["failed"] == {}
    assert all("it needs an NVIDIA GPU" in results["unavailable"][name] for name in ("triton", "tcnn"))
    assert results["batch"] == sizes
    assert set(results["backends"]) == {"numba", "torch"}
    for measured in results["backends"].values():
        step = measured["step"]
        assert measured["device"] == "cpu"
        assert step["recorded_seconds"] is None
        assert step["seconds"] == step["eager_seconds"] > 0
        assert step["minutes_for_200000"] == pytest.approx(200_000 * step["seconds"] / 60)
        assert step["rays"] == 12
        assert min(step["marched"], step["decoded"]) > 0 == step["dropped"]
        assert set(step["stages"]) == set(step_stages.STAGES)
        assert 0 < step["flops_per_second"] < measured["limits"]["float32_flops_per_second"]
        assert 0 < step["bytes_per_second"] < measured["limits"]["bytes_per_second"]
        assert measured["memory"]["host"] > 0
    assert results["backends"]["numba"]["image_seconds"] > 0


def test_steps_beside_busy_processes(folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    output = tmp_path / "results.json"
    sizes = {"parts": 3, "images": 2, "rays": 6, "size": 16, "warm-steps": 3, "repeats": 2}
    options = [f"--{name}={value}" for name, value in {**sizes, "scene": folder, "json": output}.items()]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--backend=numba", "--beside=1", *options])
    assert benchmark.main() == 0
    assert "times slower" in capsys.readouterr().out
    measured = json.loads(output.read_text())["backends"]["numba"]["beside"]
    assert measured["processes"] == 1
    assert all(rate > 0 for rate in [*measured["alone"], *measured["beside"], measured["slower"]])
    assert len(measured["alone"]) == len(measured["beside"]) == beside.TURNS


def test_busy_processes_end_when_interrupted() -> None:
    started = []
    with suppress(KeyboardInterrupt), beside.busy_processes(2) as processes:
        started += [process for process in processes if process.poll() is None]
        raise KeyboardInterrupt
    assert len(started) == 2
    assert None not in [process.poll() for process in started]


def test_busy_processes_end_with_a_tool_that_is_killed() -> None:
    code = (
        "import sys, beside\n"
        "with beside.busy_processes(1) as (process,): print(process.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=TOOLS, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tool:
        assert tool.stdout is not None
        pid = int(tool.stdout.readline())
        assert state(pid) in ("R", "S")
        tool.kill()
    until = time.monotonic() + 20
    while state(pid) not in ("", "Z"):
        assert time.monotonic() < until, f"process {pid} is still busy"
        time.sleep(0.1)


def state(pid: int) -> str:
    """As `ps` shows it: nothing for a process that is gone, Z for one whose exit code nobody has asked for."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout[:1]
