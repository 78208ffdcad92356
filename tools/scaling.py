"""How a training step scales: one thread, more threads, more processes, in turn, and what that predicts for more cores.

All are trained briefly and then take steps by turns, so that other work on the machine disturbs them alike. The work of a
process is what one alone computes (processor time) when it takes 1/n of the images: a + b / n. `a` is what every process
repeats, and with the exchange of gradients it is what no number of cores makes faster.

python tools/scaling.py                                    # the embedded dog, the default batch
python tools/scaling.py --scene FOLDER --parts 10 --train-cameras 0 1 2 3 4
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from backend_timing import settings, trained
from benchmark_tables import table

from wim_fast.companions import cores, environment
from wim_fast.ops.backend import select_backend
from wim_fast.processes import Processes, join_processes, keep_memory, use_threads

TWO = "2 processes of 1 thread"
PREDICTED = (2, 4, 8, 16)


@dataclass(frozen=True)
class Apart(Processes):
    """Takes its share as one of several would, and exchanges nothing."""

    def message(self, tensors: Sequence[torch.Tensor]) -> None:
        return None


def main() -> None:
    args = arguments()
    with ExitStack() as running:
        one = running.enter_context(workers(args, 1, 1))
        more = cores()
        subjects = {"1 process, 1 thread": one}
        if more > 1:
            subjects[f"1 process, {more} threads"] = running.enter_context(workers(args, 1, more))
            subjects[TWO] = running.enter_context(workers(args, 2, 1))
        seconds: dict[str, list[dict[str, float]]] = {name: [] for name in subjects}
        shares = [n for n in (1, 2, 4, 8) if args.images % n == 0]
        work: dict[int, list[float]] = {n: [] for n in shares}
        for _ in range(args.turns):
            for name, pipes in subjects.items():
                seconds[name].append(take(pipes, args.repeats))
            for n in shares:
                work[n].append(take(one, args.repeats, share=n)["processor"])
    show(seconds, {n: statistics.median(times) for n, times in work.items()}, args)


def show(
    seconds: dict[str, list[dict[str, float]]], work: dict[int, float], args: argparse.Namespace
) -> None:
    """Print what was measured (seconds) and what it predicts."""
    median = {
        name: {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        for name, turns in seconds.items()
    }
    first = next(iter(median.values()))
    table(
        f"A step of {args.images} images with {args.rays} rays each, ms; medians of {args.turns} turns",
        ["", "wall", "least", "times as fast", "processor, per process", "waiting for others"],
        [
            (
                name,
                f"{1e3 * m['wall']:.1f}",
                f"{1e3 * min(turn['wall'] for turn in seconds[name]):.1f}",
                f"{first['wall'] / m['wall']:.2f}",
                f"{1e3 * m['processor']:.1f}",
                f"{1e3 * m['waiting']:.1f}",
            )
            for name, m in median.items()
        ],
    )
    fixed, shared = fit(work)
    exchange = median.get(TWO, {"exchange": 0.0})["exchange"]
    table(
        "Processor time of one process of n",
        ["n", "measured, ms", "fitted, ms"],
        [(str(n), f"{1e3 * t:.1f}", f"{1e3 * (fixed + shared / n):.1f}") for n, t in work.items()],
    )
    table(
        f"Predicted: {1e3 * fixed:.1f} ms repeated by each, {1e3 * shared:.1f} ms shared, {1e3 * exchange:.1f} ms exchange",
        ["processes", "ms", "times as fast"],
        [
            (str(n), f"{1e3 * (t := fixed + shared / n + exchange):.1f}", f"{(fixed + shared) / t:.2f}")
            for n in PREDICTED
        ],
    )


def fit(work: dict[int, float]) -> tuple[float, float]:
    """(a, b) of the least squares fit `work[n] = a + b / n`."""
    rows = np.array([[1, 1 / n] for n in work])
    if len(work) == 1:
        return 0.0, work[1]
    a, b = np.linalg.lstsq(rows, np.array(list(work.values())), rcond=None)[0]
    return float(a), float(b)


def take(pipes: list[Connection], steps: int, share: int = 0) -> dict[str, float]:
    """Have the processes of one training take steps: what the first says of them."""
    for pipe in pipes:
        pipe.send((steps, share))
    first, *_ = [pipe.recv() for pipe in pipes]
    return first


@contextmanager
def workers(args: argparse.Namespace, count: int, threads: int) -> Iterator[list[Connection]]:
    """The pipes to `count` processes that have trained together and wait."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        pairs = [context.Pipe() for _ in range(count)]
        processes = [
            context.Process(target=work_off, args=(pair[1], args, rank, count, threads, folder), daemon=True)
            for rank, pair in enumerate(pairs)
        ]
        for process in processes:
            process.start()
        for pair in pairs:
            pair[1].close()
        try:
            yield [pair[0] for pair in pairs if pair[0].recv()]
        finally:
            for process in processes:
                process.kill()
                process.join()


def work_off(
    pipe: Connection, args: argparse.Namespace, rank: int, count: int, threads: int, folder: str
) -> None:
    """In a process of its own: train, then take as many steps as the pipe says, until it closes."""
    if count > 1:
        os.environ.update(environment(Path(folder), rank, count))
    use_threads(threads)
    keep_memory()
    processes = join_processes(select_backend("numba").device)
    trainer = trained(settings(args, backend="numba"), args, processes).trainer
    pipe.send(True)
    exchange = exchange_wall = 0.0

    def timed(function: Callable) -> Callable:
        def run(*args: Any) -> Any:
            nonlocal exchange, exchange_wall
            wall, processor = time.perf_counter(), time.process_time()
            result = function(*args)
            exchange += time.process_time() - processor
            exchange_wall += time.perf_counter() - wall
            return result

        return run

    for name in ("message", "exchange", "deliver"):
        setattr(Processes, name, timed(getattr(Processes, name)))
    while True:
        try:
            steps, share = pipe.recv()
        except EOFError:
            return
        trainer.processes = Apart(0, share) if share else processes
        trainer.train_step()  # what others left in the caches is gone
        exchange = exchange_wall = 0.0
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(steps):
            trainer.train_step()
        pipe.send({
            "wall": (time.perf_counter() - wall) / steps,
            "processor": (time.process_time() - processor) / steps,
            "exchange": exchange / steps,
            "waiting": (exchange_wall - exchange) / steps,
        })  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scene", default="dog", help="a scene that ships with wim-fast, or a folder")
    parser.add_argument("--train-cameras", type=int, nargs="+", help="default: as its configuration says")
    parser.add_argument("--parts", type=int, default=20)
    parser.add_argument("--images", type=int, default=8, help="images per step")
    parser.add_argument("--rays", type=int, default=128, help="rays per image")
    parser.add_argument("--size", type=int, default=128, help="longer image side")
    parser.add_argument("--warm-steps", type=int, default=100, help="steps of training before the timed ones")
    parser.add_argument("--repeats", type=int, default=5, help="steps in a turn")
    parser.add_argument("--turns", type=int, default=15)
    args = parser.parse_args()
    args.threads = 1
    return args


if __name__ == "__main__":
    main()
