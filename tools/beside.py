"""`benchmark.py --beside N`: the same steps alone and beside N other programs that keep a core busy each, in turn."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from backend_timing import Results, Subject, settings, trained
from machine_limits import wall_clock

from wim_fast.processes import keep_memory, use_threads

TURNS = 5  # of steps alone and beside others
BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): sum(range(9999))"  # until its parent ends


def measure_beside(name: str, args: argparse.Namespace) -> Results:
    """Thousand rays per second of whole steps on the wall, in each turn; a UserError where the backend cannot run."""
    use_threads(args.threads)
    keep_memory()
    subject = trained(settings(args, backend=name), args)
    subject.settle()
    alone, beside = [], []
    for _ in range(TURNS):
        alone.append(thousand_rays_per_second(subject, args.repeats))
        with busy_processes(args.beside):
            beside.append(thousand_rays_per_second(subject, args.repeats))
    backend = subject.trainer.backend
    slower = [a / b for a, b in zip(alone, beside, strict=True)]
    return {
        "backend": backend.name,
        "device": str(backend.device),
        "beside": {
            "processes": args.beside,
            "alone": alone,
            "beside": beside,
            "slower": statistics.median(slower),
        },
    }


def thousand_rays_per_second(subject: Subject, steps: int) -> float:
    """Of so many whole steps, after one that others may have disturbed."""
    trainer = subject.trainer
    clock = wall_clock(trainer.backend.device)
    trainer.train_step()
    start = clock()
    for _ in range(steps):
        trainer.train_step()
    render = trainer.config.render
    return steps * render.images_per_step * render.rays_per_image / (clock() - start) / 1e3


@contextmanager
def busy_processes(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many loops that never wait, each a program of its own to the system; they end with what is inside."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            command = [sys.executable, "-c", BUSY, str(os.getpid())]
            processes.append(subprocess.Popen(command, start_new_session=True))
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
