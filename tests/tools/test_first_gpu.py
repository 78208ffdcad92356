"""What is for the first GPU is tried without one: its stages, its report, and the launches of a step."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from tiny_scene import ring, write_scene

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
pytest.importorskip("triton", reason="triton is not installed")
import first_gpu
import gpu_stages
import step_launches

from wim_fast.ops import backend as backends

# Launches of a step on a GPU: with the motion loss, in the first third, while cameras are corrected, at the end. They may
# fall, not grow: under 200 in every phase.
BOUNDS = 180, 165, 192, 199


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> gpu_stages.Bench:
    folder = tmp_path_factory.mktemp("first_gpu") / "tiny"
    write_scene(folder, frames=3, eyes=ring(3), width=32, solid="ellipsoid")
    return gpu_stages.Bench(str(folder), gpu_stages.TINY)


@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels run here: python tools/first_gpu.py")
def test_a_step_launches_no_more_than_it_did_and_waits_for_nothing(bench: gpu_stages.Bench) -> None:
    for phase, bound in zip(step_launches.PHASES, BOUNDS, strict=True):
        with step_launches.sleeping_kernels():
            launches = step_launches.count(bench.trainer("triton"), phase)
        assert not launches.waits
        assert launches.kernels.total() > 20
        assert launches.total <= bound


@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels run here: python tools/first_gpu.py")
def test_stages_at_small_sizes(bench: gpu_stages.Bench, tmp_path: Path, monkeypatch) -> None:
    """With numba's kernels and arrays of fixed size in place of Triton's, which are slow in the interpreter."""

    def select(name: str) -> backends.Backend:
        fixed = {"name": "triton", "needs_capacity": True} if name == "triton" else {}
        return backends.select_backend("numba" if name == "triton" else name)._replace(**fixed)

    def broken(_: gpu_stages.Bench) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(gpu_stages, "select_backend", select)
    left_out = gpu_stages.waiting, gpu_stages.launches, gpu_stages.self_test
    stages = [broken, *(stage for stage in gpu_stages.STAGES if stage not in left_out), first_gpu.sanitized]
    report = dict(first_gpu.run(stages, bench))
    first_gpu.write(report, tmp_path)
    assert json.loads((tmp_path / "gpu_report.json").read_text()) == json.loads(json.dumps(report))
    status = {name: outcome["status"] for name, outcome in report.items()}
    assert status.pop("broken") == "failed"
    assert {name for name, what in status.items() if what == "skipped"} == {"capture", "replays", "sanitized"}
    assert "failed" not in status.values(), report
    table = (tmp_path / "gpu_report.md").read_text()
    assert "| broken | failed |" in table
    assert "out of order" in table
    assert all(f"| {name} |" in table for name in status)
    compared = report["kernels"]["result"]["triton"]
    assert max(compared.values()) < 1e-3


def test_a_wrong_kernel_is_found(bench: gpu_stages.Bench, monkeypatch) -> None:
    trainer = bench.trainer("numba")
    right = trainer.backend.shade
    monkeypatch.setattr(
        trainer, "backend", trainer.backend._replace(shade=lambda *x: right(x[0], 1.01 * x[1], *x[2:]))
    )
    with pytest.raises(AssertionError, match="shade"):
        gpu_stages.compare_kernels(trainer)
