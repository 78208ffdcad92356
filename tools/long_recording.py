"""Makes a long recording out of a short one, and times reading it and training on it.

The frames of the short one are repeated to and fro by hard links, which costs no room; each is decoded as if it were
new. Timing runs one process for each recording, a few steps of one, then as many of the other, so that whatever else
the machine does meets both alike.

python tools/make_robot_scene.py --robot laikago --size 512 --output short
python tools/long_recording.py make short long --frames 1000
python tools/long_recording.py time short long --parts 20
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

_FRAME = re.compile(r"frame_(\d{5,})_(cam_\d{3,}\.png)")
BLOCK = 20  # steps at a time

ROWS = {
    "images": "{:.0f}",
    "pixels of colour and mask, dense (GB)": "{:.2f}",
    "tiles of them (GB)": "{:.2f}",
    "first reading (s)": "{:.1f}",
    "reading again (s)": "{:.1f}",
    "preparing to train (s)": "{:.1f}",
    "peak memory of reading first (GB)": "{:.2f}",
    "peak memory of the rest, mapped files included (GB)": "{:.2f}",
    "of it not mapped from files, at the end (GB)": "{:.2f}",
    "step (ms)": "{:.2f}",
    "of it drawing pixels and silhouettes (ms)": "{:.2f}",
}


def main() -> None:
    args = arguments()
    if args.task == "make":
        make(args.short, args.long, args.frames)
    else:
        show([args.short, args.long], compare(args))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tasks = parser.add_subparsers(dest="task", required=True)
    maker = tasks.add_parser("make", help="repeat the frames of a raw scene")
    timer = tasks.add_parser("time", help="read and train on both")
    for task in (maker, timer):
        task.add_argument("short", type=Path)
        task.add_argument("long", type=Path)
    maker.add_argument("--frames", type=int, default=1000)
    timer.add_argument("--steps", type=int, default=300)
    timer.add_argument("--parts", type=int, default=20)
    timer.add_argument("--threads", type=int, default=1, help="of each process")
    return parser.parse_args()


def make(short: Path, long: Path, frames: int) -> None:
    """A scene of so many frames, in the raw layout as `short` is."""
    images = [(int(m[1]), m[2], p) for p in sorted(short.iterdir()) if (m := _FRAME.fullmatch(p.name))]
    numbers = sorted({number for number, _, _ in images})
    order = to_and_fro(len(numbers), frames)
    long.mkdir(parents=True)
    for number, rest, file in images:
        for new in np.flatnonzero(order == numbers.index(number)):
            os.link(file, long / f"frame_{new:05d}_{rest}")
    for file in short.glob("cam_*.json"):
        os.link(file, long / file.name)
    if (short / "gt.npz").exists():
        with np.load(short / "gt.npz") as truth:
            np.savez(long / "gt.npz", **{key: truth[key][order] for key in ("joints", "points")})


def to_and_fro(period: int, count: int) -> np.ndarray:
    """0, 1, ..., period - 1, period - 2, ..., 0, 1, ...: `count` of them."""
    phase = np.arange(count) % max(2 * period - 2, 1)
    return np.minimum(phase, 2 * period - 2 - phase) if period > 1 else np.zeros(count, int)


def compare(args: argparse.Namespace) -> list[dict[str, float]]:
    """What `ROWS` names, for both recordings."""
    context = multiprocessing.get_context("spawn")
    paths, results = [args.short, args.long], []
    for path in paths:  # alone, so that its memory is its own, and what is kept is there for what follows
        with context.Pool(1) as pool:
            results.append(pool.apply(read_first, (path,)))
    ends = [context.Pipe() for _ in paths]
    workers = [
        context.Process(target=work, args=(path, args.parts, args.steps, args.threads, theirs), daemon=True)
        for path, (_, theirs) in zip(paths, ends, strict=True)
    ]
    for worker, (ours, theirs), result in zip(workers, ends, results, strict=True):
        worker.start()
        theirs.close()
        result |= ours.recv()
    for _ in range(args.steps // BLOCK):
        for ours, _ in ends:
            ours.send(BLOCK)
            ours.recv()
    for (ours, _), result in zip(ends, results, strict=True):
        ours.send(0)
        result |= ours.recv()
    return results


def read_first(path: Path) -> dict[str, float]:
    from wim_fast.scene.load import load_scene

    start = time.perf_counter()
    footage = load_scene(path).footage
    seconds = time.perf_counter() - start
    tiles = footage.rgba_tiles.nbytes + footage.mask_tiles.nbytes + footage.index.nbytes
    images = footage.counts.shape[0] * footage.counts.shape[1]
    return {
        "images": images,
        "pixels of colour and mask, dense (GB)": 5 * images * footage.size[0] * footage.size[1] / 1e9,
        "tiles of them (GB)": tiles / 1e9,
        "first reading (s)": seconds,
        "peak memory of reading first (GB)": memory("VmHWM"),
    }


def work(path: Path, parts: int, steps: int, threads: int, pipe: Connection) -> None:
    """Reads again, and takes as many steps as it is told until these are 0."""
    import numba
    import torch

    from wim_fast.config import load_config
    from wim_fast.ops.backend import select_backend
    from wim_fast.scene.load import load_scene
    from wim_fast.training.trainer import Trainer
    from wim_fast.training.warm_up import warm_up

    torch.set_num_threads(threads)
    numba.set_num_threads(threads)
    start = time.perf_counter()
    scene = load_scene(path)
    read = time.perf_counter() - start
    config = load_config(None, {"parts": parts, "iterations": steps})
    trainer = Trainer(scene, config, steps, select_backend("auto"))
    prepared = time.perf_counter() - start - read
    warm_up(trainer)
    pipe.send({"reading again (s)": read, "preparing to train (s)": prepared})
    clock = time.process_time if threads == 1 else time.perf_counter
    blocks = []
    while count := pipe.recv():
        start = clock()
        for _ in range(count):
            trainer.train_step()
        blocks.append((clock() - start) / count)
        pipe.send(None)
    pipe.send(
        {
            "step (ms)": 1e3 * float(np.mean(blocks)),
            "of it drawing pixels and silhouettes (ms)": 1e3 * drawing(trainer, clock),
            "peak memory of the rest, mapped files included (GB)": memory("VmHWM"),
            "of it not mapped from files, at the end (GB)": memory("RssAnon"),
        }
    )


def drawing(trainer: Any, clock: Any, repeats: int = 200) -> float:
    """Seconds per step for what a step takes from the images: pixels of rays, and the losses of silhouettes."""
    import torch

    render, sampling, images = trainer.config.render, trainer.config.sampling, trainer.images
    projection = images.cameras.projection()
    generator = torch.Generator(images.device).manual_seed(1)
    seconds = 0.0
    for _ in range(repeats):
        camera, frame = (
            torch.randint(n, (render.images_per_step,), generator=generator)
            for n in (images.num_cameras, images.num_frames)
        )
        with torch.no_grad():
            posed = trainer.model.pose(frame.float(), trainer.backend)[:3]
        direction = torch.randn(len(posed[2]), sampling.surface_points, 3, generator=generator)
        uniform = torch.rand(len(frame), sampling.mask_pixels, generator=generator)
        seen = camera, frame, projection, images.silhouettes.masks
        start = clock()
        images.draw(camera, frame, render.rays_per_image, generator, trainer.backend)
        trainer.backend.silhouette_losses(*posed, direction, uniform, *seen, sampling.dead_zone)
        seconds += clock() - start
    return seconds / repeats


def memory(kind: str) -> float:
    """GB of this process, as Linux counts it."""
    status = Path("/proc/self/status").read_text()
    match = re.search(rf"{kind}:\s+(\d+) kB", status)
    return int(match[1]) * 1024 / 1e9 if match else float("nan")


def show(paths: list[Path], results: list[dict[str, float]]) -> None:
    table = Table("", *(path.name for path in paths))
    for name, form in ROWS.items():
        table.add_row(name, *(form.format(result[name]) for result in results))
    Console().print(table)


if __name__ == "__main__":
    main()
