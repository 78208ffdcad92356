"""`benchmark.py --to-quality`: how long training takes until novel views are as good as asked.

What a run of N iterations reaches is known when it ends, for its schedule is in shares of N. So runs twice as long each
time are trained until the last goal is passed, and the time to a goal is read off between two of them, on a straight line
of PSNR against the logarithm of the time. Each run is a process of its own; its time ends with its last step, and begins
with the reading of the scene.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from benchmark_tables import console, table

HERE = Path(__file__).resolve().parents[1]
GOALS = {"dog": (25.0, 27.0)}
OTHER_GOALS = (28.0, 30.0)  # of an arm
TRAIN = """
import json, sys, time, wim_fast
from wim_fast.processes import use_threads
settings, cameras, frames, threads = json.loads(sys.argv[1])
use_threads(threads)
start, now = (time.perf_counter(), time.process_time()), {}
def note(step):
    now["wall"], now["processor"] = time.perf_counter() - start[0], time.process_time() - start[1]
run = wim_fast.train(**settings, on_step=note)
psnr = run.evaluate(cameras, frames).summary["novel views"]["psnr"]
print(json.dumps({"seconds": now["wall"], "processor": now["processor"], "psnr": psnr}))
"""


class Trained(NamedTuple):
    """What a run of so many iterations took and reached."""

    iterations: int
    seconds: float  # on the wall
    processor: float  # seconds of all cores together
    psnr: float  # of novel views, dB


def to_quality(args: argparse.Namespace) -> dict[str, Any]:
    """Trains, prints tables, and returns their numbers."""
    goals = tuple(args.goals or GOALS.get(args.scene, OTHER_GOALS))
    codes = {"this code": HERE} | ({str(args.against): args.against.resolve()} if args.against else {})
    subjects = [(name, threads) for threads in ([args.threads] if args.threads else [1, 2]) for name in codes]
    for code in codes.values():
        train(code, args, 1, 2)  # kernels are compiled
    ladders: dict[tuple[str, int], list[Trained]] = {subject: [] for subject in subjects}
    iterations = args.first_iterations
    while any(not ladder or ladder[-1].psnr < max(goals) for ladder in ladders.values()):
        for name, threads in subjects:  # in turn, so that what else the machine does disturbs them alike
            ladder = ladders[name, threads]
            if not ladder or ladder[-1].psnr < max(goals):
                ladder.append(train(codes[name], args, threads, iterations))
                console.print(f"{name}, {threads} threads: {ladder[-1]}", highlight=False)
        iterations *= 2
        if iterations > args.most_iterations:
            break
    for subject, ladder in ladders.items():
        show(subject, ladder, goals)
    return {
        f"{name}, {threads} threads": [run._asdict() for run in runs]
        for (name, threads), runs in ladders.items()
    }


def train(code: Path, args: argparse.Namespace, threads: int, iterations: int) -> Trained:
    """One run by the package in the folder `code`, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "scene": args.scene,
            "output": f"{folder}/run",
            "iterations": iterations,
            "parts": args.parts,
        }
        if args.train_cameras:
            settings["train_cameras"] = args.train_cameras
        job = json.dumps([settings, args.unseen_cameras, args.unseen_frames, threads])
        done = subprocess.run(
            [sys.executable, "-c", TRAIN, job], env=os.environ | {"PYTHONPATH": str(code)}, cwd=folder,
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    return Trained(iterations, **json.loads(done.stdout.splitlines()[-1]))


def show(subject: tuple[str, int], ladder: list[Trained], goals: tuple[float, ...]) -> None:
    """Print the runs, and when each goal is reached."""
    rows = [
        [f"{run.iterations} steps", f"{run.seconds:.0f}", f"{run.processor:.0f}", f"{run.psnr:.2f} dB"]
        for run in ladder
    ]
    for goal in goals:
        wall, processor = (reached(ladder, field, goal) for field in ("seconds", "processor"))
        rows.append([f"to {goal:g} dB", *("-" if x is None else f"{x:.0f}" for x in (wall, processor)), ""])
    name, threads = subject
    columns = ["", "seconds", "processor seconds", "novel views"]
    table(f"{name}, {threads} thread{'s' * (threads > 1)}", columns, rows)


def reached(ladder: list[Trained], field: str, goal: float) -> float | None:
    """Seconds until the goal is reached; None if no run did, of the first run if that one already did."""
    for i, run in enumerate(ladder):
        if run.psnr >= goal:
            after = getattr(run, field)
            if i == 0:
                return after
            before = getattr(ladder[i - 1], field)
            share = (goal - ladder[i - 1].psnr) / (run.psnr - ladder[i - 1].psnr)
            return math.exp(math.log(before) + share * (math.log(after) - math.log(before)))
    return None
