"""One backend measured: a training step, an image, memory, and beside them the paper's own step; for `benchmark.py`."""

from __future__ import annotations

import argparse
import resource
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from machine_limits import Clock, clock_for, measure_limits
from paper_step import SAMPLES_PER_RAY, PaperModel, PaperStep
from step_stages import STAGES, profiled_step, unrecorded
from step_work import count_work

from wim_fast.config import Config, load_config, named_config, replace
from wim_fast.ops.backend import select_backend
from wim_fast.processes import ALONE, Processes, keep_memory, use_threads
from wim_fast.rendering.image import render_image
from wim_fast.scene.scene import Scene
from wim_fast.training.batch import Batch
from wim_fast.training.cuda_graph import WARM_UP
from wim_fast.training.pace import Pace
from wim_fast.training.split import read_split
from wim_fast.training.trainer import Trainer
from wim_fast.training.warm_up import warm_up

ITERATIONS = 200_000  # of the paper
LATE = 0.9  # share of them at which steps are timed: full sharpness, all frames, all losses
BURST = 20  # steps between two readings of the clock on a GPU, which lags behind the host
RAYS, PARTS, SIZES = (512, 1024, 2048, 4096), (10, 20, 40), (64, 128, 256)  # how the step grows
Results = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """What is timed: a model in training, what it is trained on, and the clock for its device."""

    trainer: Trainer
    scene: Scene
    clock: Clock
    dropped: int  # samples, for want of room, while it was trained

    def seconds(self, function: Callable[[], Any], times: int = 1) -> float:
        """How long a call takes, the mean over several."""
        start = self.clock()
        for _ in range(times):
            function()
        return (self.clock() - start) / times

    def step_seconds(self) -> float:
        """How long a step takes, as training takes it: replayed where it is recorded."""
        on_gpu = self.trainer.backend.device.type == "cuda"
        return self.seconds(self.trainer.train_step, BURST if on_gpu else 1)

    def settle(self) -> None:
        """Take steps until they are like all later ones: memory is there and, where it is recorded, the graph."""
        for _ in range(WARM_UP + 2):
            self.trainer.train_step()


def measure(name: str, args: argparse.Namespace) -> Results:
    """All that `benchmark.py` says of a backend; a UserError where it cannot run."""
    use_threads(args.threads)
    keep_memory()
    subject = trained(settings(args, backend=name), args)
    backend = subject.trainer.backend
    # the references look at all points of all rays: those of a whole image do not fit into memory
    images = 0 if backend.name == "torch" else args.images_timed
    results: Results = {
        "backend": backend.name,
        "device": str(backend.device),
        "step": step_results(subject, args.repeats),
        "image_seconds": image_seconds(subject, images),
        "memory": peak_mebibytes(backend.device),
    }
    if not args.skip_paper:
        results["paper"] = paper_results(subject, args.paper_repeats)
    if not args.skip_growth:
        results["growth"] = growth_results(subject, args, images)
    results["limits"] = measure_limits(backend.device, subject.clock)._asdict()
    return results


def settings(args: argparse.Namespace, **changes: Any) -> Config:
    """The scene's configuration with the benchmark's sizes."""
    overrides = {
        "scene": args.scene, "train_cameras": tuple(args.train_cameras) if args.train_cameras else None,
        "parts": args.parts, "images_per_step": args.images, "rays_per_image": args.rays, "size": args.size,
        "iterations": args.warm_steps, **changes,
    }  # fmt: skip
    name = args.scene if named_config(args.scene) else None
    return load_config(name, {key: value for key, value in overrides.items() if value is not None})


def trained(config: Config, args: argparse.Namespace, processes: Processes = ALONE) -> Subject:
    """Trained briefly, so that ellipsoids and samples are like those of real training, and now late in a long one."""
    backend = select_backend(config.render.backend)
    split = read_split(config)
    trainer = Trainer(split.scene, split.config, args.warm_steps, backend, processes)
    warm_up(trainer)
    reports = [trainer.train_step() for _ in range(args.warm_steps)]
    trainer.pace, trainer.step = Pace.steady(ITERATIONS), round(LATE * ITERATIONS)
    clock = clock_for(backend.device, args.threads)
    return Subject(trainer, split.scene, clock, sum(report.num_dropped for report in reports))


def step_results(subject: Subject, repeats: int) -> Results:
    """Median time of a step, replayed and as it is, least time by stage in profiled ones, and what it does."""
    trainer = subject.trainer
    work = count_work(trainer)
    subject.settle()
    recorded, eager, split = [], [], []
    for _ in range(repeats):
        if trainer.recorded:
            recorded.append(subject.step_seconds())
        with unrecorded(trainer):
            eager.append(subject.step_seconds())
        split.append(profiled_step(trainer).seconds)
    seconds = statistics.median(recorded or eager)
    return {
        "seconds": seconds,
        "eager_seconds": statistics.median(eager),
        "recorded_seconds": statistics.median(recorded) if recorded else None,
        "stages": {stage: min(seconds[stage] for seconds in split) for stage in STAGES},
        "iterations_per_second": 1 / seconds,
        "minutes_for_200000": ITERATIONS * seconds / 60,
        **work._asdict(),
        "dropped_in_training": subject.dropped,
        "rays_per_second": work.rays / seconds,
        "samples_per_second": work.marched / seconds,
        "flops_per_second": work.flops / seconds,
        "bytes_per_second": work.bytes / seconds,
    }


def image_seconds(subject: Subject, count: int) -> float | None:
    """Median time of a whole anti-aliased image, over cameras and frames; None without any."""
    trainer, scene, times = subject.trainer, subject.scene, []
    with torch.no_grad():
        for i in range(count + 1 if count else 0):
            frame = torch.tensor([i * scene.num_frames // (count + 1)], device=trainer.backend.device)
            view = i % scene.num_cameras
            image = trainer.model, trainer.model.pose(frame, trainer.backend), scene.cameras, view
            times.append(
                subject.seconds(lambda a=image: render_image(*a, trainer.sharpness.final, trainer.backend))
            )
    return statistics.median(times[1:]) if times else None


def peak_mebibytes(device: torch.device) -> Results:
    """The most memory that this process has held so far: the host's, and the GPU's in tensors."""
    on_gpu = device.type == "cuda"
    return {
        "host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "device": torch.cuda.max_memory_allocated(device) / 2**20 if on_gpu else None,
    }


def paper_results(subject: Subject, repeats: int) -> Results:
    """The paper's step and ours in turn, on rays drawn alike; ratios of neighbours in time."""
    trainer, device = subject.trainer, subject.trainer.backend.device
    paper = PaperModel(trainer.config.model.num_parts, subject.scene.num_frames).to(device)
    with torch.no_grad():
        rotation, translation, semi_axes, *_ = trainer.model.pose(
            torch.tensor([0], device=device), trainer.backend
        )
        paper.start_at(rotation[0], translation[0], semi_axes)
    paper_step = PaperStep(paper)
    generator = torch.Generator(device).manual_seed(0)
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(statistics.median(subject.step_seconds() for _ in range(11)))
        batch = draw(trainer, generator)
        theirs.append(subject.seconds(lambda b=batch: paper_step.step(b)))
    ratios = [t / o for t, o in zip(theirs, ours, strict=True)]
    rays = len(batch.alpha)
    return {
        "seconds": statistics.median(theirs),
        "our_seconds": statistics.median(ours),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "rays": rays,
        "samples": rays * SAMPLES_PER_RAY,
        "matrix_flops": paper_step.matrix_flops(rays),
        "memory": peak_mebibytes(device),
    }


def draw(trainer: Trainer, generator: torch.Generator) -> Batch:
    """A batch of all frames and cameras alike."""
    images, render, device = trainer.images, trainer.config.render, trainer.backend.device
    frame, camera = (
        torch.randint(count, (render.images_per_step,), generator=generator, device=device)
        for count in (images.num_frames, images.num_cameras)
    )
    return images.draw(camera, frame, render.rays_per_image, generator, trainer.backend)


def growth_results(subject: Subject, args: argparse.Namespace, images: int) -> Results:
    """Steps with more rays, with more parts, and on larger images; all else as asked for."""
    growth: Results = {"rays": {}, "parts": {}, "size": {}}
    trainer, config = subject.trainer, subject.trainer.config
    for rays in RAYS:
        resize(trainer, replace(config, rays_per_image=rays // args.images))
        growth["rays"][rays] = step_size(subject, args.repeats)
    resize(trainer, config)
    name = trainer.backend.name
    for parts in PARTS:
        other = subject if parts == args.parts else trained(settings(args, backend=name, parts=parts), args)
        growth["parts"][parts] = step_size(other, args.repeats)
    for size in SIZES:
        other = subject if size == args.size else trained(settings(args, backend=name, size=size), args)
        image = image_seconds(other, images)
        growth["size"][size] = step_size(other, args.repeats) | {"image_seconds": image}
    return growth


def resize(trainer: Trainer, config: Config) -> None:
    """Let its next steps have the sizes of this configuration."""
    trainer.config = config
    warm_up(trainer)  # room for as many samples, and recorded anew


def step_size(subject: Subject, repeats: int) -> Results:
    """Time and samples of a step."""
    subject.settle()
    seconds = statistics.median(subject.step_seconds() for _ in range(repeats))
    return {"seconds": seconds, **count_work(subject.trainer)._asdict()}
