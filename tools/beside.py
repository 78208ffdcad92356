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
from wim_fast.training.thread_choice import ThreadChoice

TURNS = 5  # of steps alone and beside others
FIRST = 40  # steps of each turn that are not counted: training chooses its threads anew
BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): sum(range(9999))"  # until its parent ends


def measure_beside(name: str, args: argparse.Namespace) -> Results:
    """Thousand rays per second of whole steps on the wall, in each turn; a UserError where the backend cannot run."""
    use_threads(args.threads)
    keep_memory()
    subject = trained(settings(args, backend=name), args)
    subject.settle()
    threads = ThreadChoice.of(subject.trainer)
    alone, beside = [], []
    for _ in range(TURNS):
        alone.append(thousand_rays_per_second(subject, threads, args.repeats))
        with busy_processes(args.beside):
            beside.append(thousand_rays_per_second(subject, threads, args.repeats))
    threads.end()
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


def thousand_rays_per_second(subject: Subject, threads: ThreadChoice, steps: int) -> float:
    """Of so many whole steps, as the training loop takes them, after the `FIRST`."""
    trainer = subject.trainer
    clock = wall_clock(trainer.backend.device)
    start = clock()
    for step in range(FIRST + steps):
        if step == FIRST:
            start = clock()
        trainer.train_step()
        threads.stepped()
    drawn = trainer.config.for_masks()
    return steps * drawn.images_per_step * drawn.rays_per_image / (clock() - start) / 1e3


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
