"""Times a training step and an image on this machine, and beside them the paper's own step on the same rays.

With one thread, seconds are those of the processor, which other work on the machine disturbs little; with more they
are those of the clock on the wall.

python tools/benchmark.py                          # the embedded dog, 20 parts, 4 x 384 rays; minutes
python tools/benchmark.py --scene FOLDER --json results.json --skip-growth
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import torch
from paper_step import SAMPLES_PER_RAY, PaperModel, PaperStep
from rich.console import Console
from rich.table import Table
from stopwatch import STAGES, timed_stages
from torch.utils.flop_counter import FlopCounterMode

import wim_fast
from wim_fast.commands.train import keep_memory, use_threads
from wim_fast.config import Config, load_config, named_config, replace
from wim_fast.ops.backend import select_backend
from wim_fast.rendering.image import render_image
from wim_fast.scene.scene import Scene
from wim_fast.training.recording import read_recording
from wim_fast.training.step import StepReport
from wim_fast.training.trainer import Trainer

LATE = 0.9  # share of the schedule at which steps are timed: full sharpness, all frames, all losses
RAYS, PARTS, SIZES = (512, 1024, 2048, 4096), (10, 20, 40), (64, 128, 256)  # how the step grows
clock = time.perf_counter
console = Console()
Results = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """What is timed: a model in training, and what it is trained on."""

    trainer: Trainer
    scene: Scene

    def step(self) -> StepReport:
        """One step, always at the same place of the schedule."""
        self.trainer.step = round(LATE * self.trainer.iterations)
        return self.trainer.train_step()


def main() -> None:
    args = arguments()
    use_threads(args.threads)
    keep_memory()
    global clock
    clock = time.process_time if args.threads == 1 else time.perf_counter
    results: Results = {"machine": machine(args), "scene": args.scene}
    table("Machine", ["", ""], results["machine"].items())

    subject = trained(settings(args), args.warm_steps)
    results["step"] = step_results(subject, args.repeats)
    show_step(results["step"])
    results["image_seconds"] = image_seconds(subject)
    results["peak_mebibytes"] = peak_mebibytes()
    size = "x".join(map(str, reversed(subject.scene.size)))
    console.print(
        f"An image of {size}: {1e3 * results['image_seconds']:.0f} ms. "
        f"Peak memory, training included: {results['peak_mebibytes']:.0f} MiB.\n"
    )
    if not args.skip_paper:
        results["paper"] = paper_results(subject, args.paper_repeats)
        show_paper(results["paper"])
    if not args.skip_growth:
        results["growth"] = growth_results(subject, args)
        show_growth(results["growth"])
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")
        console.print(f"Wrote {args.json}.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scene", default="dog", help="a scene that ships with wim-fast, or a folder")
    parser.add_argument("--train-cameras", type=int, nargs="+", help="default: as its configuration says")
    parser.add_argument("--parts", type=int, default=20)
    parser.add_argument("--images", type=int, default=4, help="images per step")
    parser.add_argument("--rays", type=int, default=384, help="rays per image")
    parser.add_argument("--size", type=int, default=128, help="longer image side")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--warm-steps", type=int, default=300, help="steps of training before anything is timed"
    )
    parser.add_argument("--repeats", type=int, default=40, help="steps that are timed")
    parser.add_argument("--paper-repeats", type=int, default=3, help="steps of the paper that are timed")
    parser.add_argument("--skip-paper", action="store_true")
    parser.add_argument("--skip-growth", action="store_true", help="leave out rays, parts and resolutions")
    parser.add_argument("--json", type=Path, help="write all numbers to this file")
    return parser.parse_args()


def settings(args: argparse.Namespace, **changes: Any) -> Config:
    """The scene's configuration with the benchmark's sizes."""
    overrides = {
        "scene": args.scene, "train_cameras": tuple(args.train_cameras) if args.train_cameras else None,
        "parts": args.parts, "images_per_step": args.images, "rays_per_image": args.rays, "size": args.size,
        "iterations": args.warm_steps, **changes,
    }  # fmt: skip
    name = args.scene if named_config(args.scene) else None
    return load_config(name, {key: value for key, value in overrides.items() if value is not None})


def machine(args: argparse.Namespace) -> Results:
    """What the numbers depend on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "processor": model, "cores": os.cpu_count(), "threads": args.threads,
        "python": platform.python_version(),
        "torch": torch.__version__, "numba": numba.__version__, "wim-fast": wim_fast.__version__,
        "load before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else "unknown",
    }  # fmt: skip


def trained(config: Config, steps: int) -> Subject:
    """Trained briefly, so that ellipsoids and samples are like those of real training."""
    recording = read_recording(config)
    subject = Subject(
        Trainer(recording.scene, recording.config, steps, select_backend(config.render.backend)),
        recording.scene,
    )
    start = time.perf_counter()
    for _ in range(steps):
        subject.trainer.train_step()
    took = time.perf_counter() - start
    parts, size = config.model.parts, config.scene.size
    console.print(f"[dim]trained {parts} parts at {size} pixels for {steps} steps, {took:.0f} s[/dim]")
    return subject


def seconds(function: Callable[[], Any]) -> float:
    """How long a call takes."""
    start = clock()
    function()
    return clock() - start


def matrix_flops(function: Callable[[], Any]) -> int:
    """Floating point operations in matrix products, forward and backward, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def step_results(subject: Subject, repeats: int) -> Results:
    """Median time of a step, whole and, in other steps between these, by stage."""
    flops, (marched, decoded) = matrix_flops(subject.step), mean_samples(subject)
    whole, split = [], []
    for _ in range(repeats):
        whole.append(seconds(subject.step))
        with timed_stages(subject.trainer, clock) as watch:
            subject.step()
        split.append(watch.seconds)
    step, rays = statistics.median(whole), subject.step().num_rays
    return {
        "seconds": step,
        "stages": {stage: statistics.median(s[stage] for s in split) for stage in STAGES},
        "rays": rays,
        "samples_marched": marched,
        "samples_decoded": decoded,
        "matrix_flops": flops,
        "rays_per_second": rays / step,
        "samples_per_second": marched / step,
        "flops_per_second": flops / step,
    }


def mean_samples(subject: Subject, steps: int = 10) -> tuple[int, int]:
    """Samples in one step: those that the march finds, and those that show and are decoded with gradients."""
    backend, counts = subject.trainer.backend, []

    def march(*arguments: Any) -> Any:
        samples = backend.march(*arguments)
        counts.append(len(samples.t))
        return samples

    subject.trainer.backend = backend._replace(march=march)
    decoded = [subject.step().num_samples for _ in range(steps)]
    subject.trainer.backend = backend
    return round(statistics.mean(counts)), round(statistics.mean(decoded))


def image_seconds(subject: Subject, count: int = 9) -> float:
    """Median time of a whole anti-aliased image, over cameras and frames."""
    trainer, scene = subject.trainer, subject.scene
    times = []
    with torch.no_grad():
        for i in range(count + 1):
            frame = torch.tensor([i * scene.num_frames // (count + 1)])
            view = i % scene.num_cameras
            arguments = trainer.model, trainer.model.pose(frame, trainer.backend), scene.cameras, view
            times.append(seconds(lambda a=arguments: render_image(*a, trainer.final_inv_s, trainer.backend)))
    return statistics.median(times[1:])


def peak_mebibytes() -> float:
    """The most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def paper_results(subject: Subject, repeats: int) -> Results:
    """The paper's step and ours in turn, on the same rays; ratios of neighbours in time."""
    trainer = subject.trainer
    paper = PaperModel(trainer.config.model.parts, subject.scene.num_frames)
    with torch.no_grad():
        rotation, translation, semi_axes, *_ = trainer.model.pose(torch.tensor([0]), trainer.backend)
        paper.start_at(rotation[0], translation[0], semi_axes)
    paper_step = PaperStep(paper)
    batches = []

    def draw(*arguments: Any) -> Any:
        batches.append(type(trainer.images).draw(trainer.images, *arguments))
        return batches[-1]

    trainer.images.draw = draw  # type: ignore[method-assign]
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(statistics.median(seconds(subject.step) for _ in range(11)))
        theirs.append(seconds(lambda: paper_step.step(batches[-1])))
    del trainer.images.draw
    return {
        "seconds": statistics.median(theirs),
        "our_seconds": statistics.median(ours),
        "ratio": statistics.median(t / o for t, o in zip(theirs, ours, strict=True)),
        "ratios": [t / o for t, o in zip(theirs, ours, strict=True)],
        "rays": len(batches[-1].alpha),
        "samples": len(batches[-1].alpha) * SAMPLES_PER_RAY,
        "matrix_flops": paper_step.matrix_flops(len(batches[-1].alpha)),
        "peak_mebibytes": peak_mebibytes(),
    }


def growth_results(subject: Subject, args: argparse.Namespace) -> Results:
    """Steps with more rays, with more parts, and on larger images; all else as asked for."""
    growth: Results = {"rays": {}, "parts": {}, "size": {}}
    config = subject.trainer.config
    for rays in RAYS:
        subject.trainer.config = replace(config, rays_per_image=rays // args.images)
        growth["rays"][rays] = step_size(subject, args)
    subject.trainer.config = config
    for parts in PARTS:
        other = subject if parts == args.parts else trained(settings(args, parts=parts), args.warm_steps)
        growth["parts"][parts] = step_size(other, args)
    for size in SIZES:
        other = subject if size == args.size else trained(settings(args, size=size), args.warm_steps)
        growth["size"][size] = step_size(other, args) | {"image_seconds": image_seconds(other)}
    return growth


def step_size(subject: Subject, args: argparse.Namespace) -> Results:
    """Time and samples of a step."""
    subject.step()
    times = [seconds(subject.step) for _ in range(args.repeats)]
    marched, decoded = mean_samples(subject)
    return {"seconds": statistics.median(times), "samples_marched": marched, "samples_decoded": decoded}


def table(title: str, columns: Sequence[str], rows: Any) -> None:
    """Print rows of text; numbers are right-aligned."""
    out = Table(title=title, title_justify="left", width=72)
    for i, name in enumerate(columns):
        out.add_column(name, justify="right" if i else "left")
    for row in rows:
        out.add_row(*(str(cell) for cell in row))
    console.print(out)
    console.print()


def show_step(step: Results) -> None:
    total = sum(step["stages"].values())
    rows = [[stage, f"{1e3 * s:.2f}", f"{s / total:.0%}"] for stage, s in step["stages"].items() if s > 0]
    table(
        f"One step: {1e3 * step['seconds']:.1f} ms ({1e3 * total:.1f} ms under the clock)",
        ["stage", "ms", "share"], [*rows, ["all", f"{1e3 * total:.2f}", ""]],
    )  # fmt: skip
    table("In one step and in a second", ["", "step", "per second"], [
        ["rays", step["rays"], f"{step['rays_per_second']:,.0f}"],
        ["samples marched", step["samples_marched"], f"{step['samples_per_second']:,.0f}"],
        ["samples decoded with gradients", step["samples_decoded"], ""],
        ["FLOP in matrix products", f"{step['matrix_flops']:.2e}", f"{step['flops_per_second']:.2e}"],
    ])  # fmt: skip


def show_paper(paper: Results) -> None:
    rows = [
        ["wim-fast", f"{1e3 * paper['our_seconds']:.1f} ms", ""],
        ["the paper's network", f"{paper['seconds']:.2f} s", f"{paper['samples']:,} samples"],
        ["ratio", f"{paper['ratio']:.0f}", ", ".join(f"{r:.0f}" for r in paper["ratios"])],
        ["its FLOP in matrix products", f"{paper['matrix_flops']:.2e}", ""],
        ["peak memory with it", f"{paper['peak_mebibytes']:.0f} MiB", ""],
    ]
    table(f"The same {paper['rays']} rays, in turn", ["", "", ""], rows)


def show_growth(growth: Results) -> None:
    for what, column in growth.items():
        base = next(iter(column.values()))["seconds"]
        columns = [what, "ms", "times the first", "samples marched", "decoded", "image ms"]
        table(f"Growth with {what}", columns, [
            [n, f"{1e3 * r['seconds']:.1f}", f"{r['seconds'] / base:.2f}", r["samples_marched"],
             r["samples_decoded"], f"{1e3 * r['image_seconds']:.0f}" if "image_seconds" in r else ""]
            for n, r in column.items()
        ])  # fmt: skip


if __name__ == "__main__":
    main()
