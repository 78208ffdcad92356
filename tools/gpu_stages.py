"""The stages of `first_gpu.py`: what each looks at, at which sizes, and what it expects.

A stage is a function of a `Bench` that returns what it has measured. It raises `Skip` with a reason where it cannot run,
and anything else where something is wrong.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from kernel_check import compare_kernels
from machine_limits import clock_for
from step_launches import PHASES, count, sleeping_kernels
from step_stages import unrecorded
from torch.profiler import ProfilerActivity, profile

from wim_fast.config import load_config
from wim_fast.errors import UserError
from wim_fast.ops.backend import select_backend
from wim_fast.ops.self_test import failures
from wim_fast.rendering.image import render_image
from wim_fast.training.cuda_graph import WARM_UP
from wim_fast.training.metrics_log import psnr
from wim_fast.training.room import Room
from wim_fast.training.split import Split, read_split
from wim_fast.training.step_report import on_host
from wim_fast.training.trainer import Trainer
from wim_fast.training.warm_up import warm_up

GPU_BACKENDS = "triton", "tcnn"
NOISE = 0.5  # dB between two runs with other random numbers
SAME = (
    0.02  # relative difference of a loss between two runs whose sums have another order, after a dozen steps
)
LATE = 0.9  # share of the schedule: full sharpness, all frames, all losses
Result = dict[str, Any]


class Skip(Exception):
    """Why a stage cannot run here."""


@dataclass(frozen=True)
class Sizes:
    """How large everything is. The defaults take a few minutes on a GPU."""

    paper: dict[str, int] = field(
        default_factory=lambda: {"images_per_step": 16, "rays_per_image": 384, "parts": 20, "size": 512}
    )
    usual: dict[str, int] = field(default_factory=dict)  # what the scene's own configuration says
    steps: int = 600  # of training, to be compared with numba's
    replays: int = 1000  # that are timed
    slow_steps: int = 20  # the same of backends that record nothing
    images: int = 10


SMALL = {
    "parts": 3, "hash_finest_cell": 0.1, "hash_log2_entries": 8, "pose_width": 16, "decoder_width": 16,
    "images_per_step": 1, "rays_per_image": 4,
    "size": 32, "frames": "0:3", "eikonal_points": 4, "void_points": 4, "core_points": 4, "surface_points": 4,
    "mask_pixels": 8, "merge_frames": 3,
}  # fmt: skip
TINY = Sizes(SMALL, SMALL, steps=3, replays=2, slow_steps=1, images=1)  # for Triton's interpreter


@dataclass
class Bench:
    """What is measured: a scene, and the backends that are there. `names` maps a backend to why it is not, if so."""

    scene: str
    sizes: Sizes = field(default_factory=Sizes)
    names: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.split = cache(self._split)
        for name in ("numba", *GPU_BACKENDS, "torch"):
            try:
                select_backend(name)
                self.names.setdefault(name, None)
            except UserError as error:
                self.names.setdefault(name, str(error))

    def _split(self, paper: bool) -> Split:
        size = (self.sizes.paper if paper else self.sizes.usual) | {"scene": self.scene, "iterations": 10_000}
        return read_split(load_config(self.scene, size))

    def trainer(
        self, name: str, paper: bool = False, late: bool = False, iterations: int = 10_000
    ) -> Trainer:
        """A new one whose kernels are compiled; `late`: where a training is nearly done."""
        if self.names[name]:
            raise Skip(str(self.names[name]))
        split = self.split(paper)
        trainer = Trainer(split.scene, split.config, iterations, select_backend(name))
        warm_up(trainer)
        if late:
            trainer.step = round(LATE * iterations)
        return trainer

    def each(self, names: tuple[str, ...], stage: Callable[[str], Result]) -> Result:
        """A stage for each backend that is there; Skip where none is."""
        there = [name for name in names if not self.names[name]]
        if not there:
            raise Skip("; ".join(str(self.names[name]) for name in names))
        return {name: stage(name) for name in there}


def needs_cuda() -> None:
    if not torch.cuda.is_available():
        raise Skip("needs a GPU")


def machine(bench: Bench) -> Result:
    facts: Result = {"versions": f"torch {torch.__version__}, CUDA {torch.version.cuda}"}
    if torch.cuda.is_available():
        facts |= {
            "gpu": torch.cuda.get_device_name(),
            "capability": list(torch.cuda.get_device_capability()),
        }
    return facts | {name: why or "there" for name, why in bench.names.items()}


def self_test(bench: Bench) -> Result:
    """What `--backend auto` asks before it takes a GPU."""

    def stage(name: str) -> Result:
        wrong = failures(select_backend(name))
        if wrong:
            raise AssertionError("; ".join(wrong))
        return {"failures": 0}

    return bench.each(GPU_BACKENDS, stage)


def kernels(bench: Bench) -> Result:
    """Every kernel against its reference, forward and backward, on what a step of the paper's batch gives it."""
    return bench.each(GPU_BACKENDS, lambda name: compare_kernels(bench.trainer(name, paper=True, late=True)))


def waiting(bench: Bench) -> Result:
    """Steps that do not wait for the GPU: it would raise an error. Without one, operations that would wait are counted."""
    if not torch.cuda.is_available():
        with sleeping_kernels():
            found = [waits for phase in PHASES if (waits := count(bench.trainer("triton"), phase).waits)]
        if found:
            raise AssertionError(f"would wait: {[dict(waits) for waits in found]}")
        return {"phases": len(PHASES)}
    trainer = bench.trainer("triton", late=True)
    with unrecorded(trainer):
        trainer.train_step()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for phase in PHASES:
                trainer._take_step(phase)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return {"phases": len(PHASES)}


def capture(bench: Bench) -> Result:
    """A recorded training against one that is not, with the same random numbers."""
    needs_cuda()
    recorded, eager = (bench.trainer("triton", late=True) for _ in range(2))
    reports = [recorded.train_step() for _ in range(4 * WARM_UP)]
    with unrecorded(eager):
        expected = [eager.train_step() for _ in range(4 * WARM_UP)]
    pairs = zip(on_host(reports), on_host(expected), strict=True)
    worst = max(abs(sum(a.losses.values()) / sum(b.losses.values()) - 1) for a, b in pairs)
    if not worst < SAME:
        raise AssertionError(f"losses differ by {worst:.2%}")
    return {"largest difference of the loss": worst}


def replays(bench: Bench) -> Result:
    """Two replays draw other random numbers, and each changes the model."""
    needs_cuda()
    trainer = bench.trainer("triton", late=True)
    for _ in range(WARM_UP + 1):
        trainer.train_step()
    before = [p.detach().clone() for p in trainer.parameters()]
    first, second = (trainer.train_step() for _ in range(2))
    if torch.equal(first.values, second.values):
        raise AssertionError("two replays gave the same losses: the random numbers stand still")
    still = [torch.equal(p, q) for p, q in zip(trainer.parameters(), before, strict=True)]
    return {"parameters that did not move": sum(still), "of": len(still)}


def overflow(bench: Bench) -> Result:
    """Samples that have no room are counted, and have room once it was made."""

    def stage(name: str) -> Result:
        trainer = bench.trainer(name, late=True)
        measured = trainer.room
        trainer.make_room(Room(1, 1))
        (crowded,) = on_host([trainer.train_step()])
        trainer.make_room(measured)
        reports = on_host([trainer.train_step() for _ in range(2 * WARM_UP)])
        dropped = sum(report.num_dropped for report in reports)
        if crowded.num_dropped == 0 or dropped:
            raise AssertionError(f"{crowded.num_dropped} dropped with room for one, {dropped} with enough")
        return {
            "marched": reports[-1].num_marched,
            "decoded": reports[-1].num_samples,
            "room": tuple(measured),
        }

    return bench.each(GPU_BACKENDS, stage)


def step_times(
    bench: Bench, names: tuple[str, ...] = ("numba", *GPU_BACKENDS, "torch"), paper: bool = False
) -> Result:
    """Milliseconds of a step, as training takes it."""

    def stage(name: str) -> Result:
        trainer = bench.trainer(name, paper, late=True)
        device = trainer.backend.device
        clock = clock_for(device, 1)
        for _ in range(WARM_UP + 1):
            trainer.train_step()
        steps = (
            bench.sizes.replays
            if trainer.recorded or (device.type == "cuda" and name != "torch")
            else bench.sizes.slow_steps
        )
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        bursts = []
        for _ in range(max(1, steps // 20)):
            start = clock()
            for _ in range(min(20, steps)):
                trainer.train_step()
            bursts.append(1e3 * (clock() - start) / min(20, steps))
        result: Result = {"ms": statistics.median(bursts), "rays": trainer.train_step().num_rays}
        if device.type == "cuda":
            result["peak MiB"] = torch.cuda.max_memory_allocated() / 2**20
        return result

    return bench.each(names, stage)


def paper_batch(bench: Bench) -> Result:
    """The paper's batch on images of its size."""
    return step_times(bench, GPU_BACKENDS, paper=True)


def launches(bench: Bench) -> Result:
    """Kernels of a step, and the ten that take longest; without a GPU, the estimate of `step_launches.py`."""
    if not torch.cuda.is_available():
        with sleeping_kernels():
            trainer = bench.trainer("triton", late=True)
            return {"launches, estimated": count(trainer, trainer.phase).total}
    trainer = bench.trainer("triton", paper=True, late=True)
    with unrecorded(trainer):
        trainer.train_step()
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
            trainer.train_step()
            torch.cuda.synchronize()
    nodes = [event for event in profiler.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    longest: dict[str, float] = {}
    for event in nodes:
        longest[event.name] = longest.get(event.name, 0.0) + event.self_device_time_total
    ten = sorted(longest.items(), key=lambda item: -item[1])[:10]
    return {"nodes": len(nodes), "longest, µs": {name[:60]: round(time, 1) for name, time in ten}}


def training(bench: Bench) -> Result:
    """The error of a short training, against that of numba."""

    def stage(name: str) -> Result:
        trainer = bench.trainer(name, iterations=bench.sizes.steps)
        reports = on_host([trainer.train_step() for _ in range(bench.sizes.steps)])
        last = reports[-max(1, len(reports) // 10) :]
        return {"dB": psnr(statistics.mean(report.squared_error for report in last))}

    found = bench.each(("numba", *GPU_BACKENDS), stage)
    if len(found) == 1:
        raise Skip("nothing to compare numba with")
    off = {name: x["dB"] - found["numba"]["dB"] for name, x in found.items()}
    if bench.sizes.steps > 100 and min(off.values()) < -NOISE:
        raise AssertionError(f"dB above numba: {off}")
    return found


def image(bench: Bench) -> Result:
    """Milliseconds of a whole image of the paper's size, anti-aliased."""

    def stage(name: str) -> Result:
        trainer, scene = bench.trainer(name, paper=True), bench.split(True).scene
        clock = clock_for(trainer.backend.device, 1)
        posed = trainer.model.pose(torch.zeros(1, device=trainer.backend.device), trainer.backend)
        times = []
        for _ in range(bench.sizes.images + 1):
            start = clock()
            picture = render_image(
                trainer.model, posed, scene.cameras, 0, trainer.sharpness.final, trainer.backend
            )
            times.append(1e3 * (clock() - start))
        if not picture.opacity.any():
            raise AssertionError("the picture is empty")
        return {"ms": statistics.median(times[1:]), "size": f"{scene.size[1]} x {scene.size[0]}"}

    return bench.each(GPU_BACKENDS, stage)


STAGES = (
    machine,
    kernels,
    waiting,
    capture,
    replays,
    overflow,
    step_times,
    launches,
    training,
    paper_batch,
    image,
)
