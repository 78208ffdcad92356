"""Several trainings at once, each a process of one thread."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from wim_fast.companions import start_tethered
from wim_fast.config import to_yaml
from wim_fast.runs.ablation.jobs import Job
from wim_fast.runs.render import Progress
from wim_fast.training.observer import Stop

POLL_SECONDS = 0.5
PERCENT = 100  # what progress counts in, of each run
STOPPING_SECONDS = 60.0  # for runs to save themselves


@dataclass(frozen=True)
class Training:
    """A run that trains now."""

    job: Job
    process: subprocess.Popen[bytes]

    @staticmethod
    def of(job: Job) -> Training:
        """Begin a run, or go on with one; what it says of errors goes to train.stderr beside it."""
        if not job.folder.config.is_file():
            job.folder.create(to_yaml(job.config))
        arguments = ["train", "--resume", "--output", str(job.folder.path), "--threads", "1"]
        with (job.folder.path / "train.stderr").open("wb") as errors:
            return Training(job, start_tethered(arguments, errors, {"OMP_NUM_THREADS": "1"}))

    @property
    def failure(self) -> str:
        """Why it has ended, in its own words."""
        lines = (self.job.folder.path / "train.stderr").read_text(errors="replace").splitlines()
        said = next((line for line in reversed(lines) if line.strip()), "")
        return said.removeprefix("error: ") or f"exit code {self.process.returncode}"


def train_jobs(
    jobs: Sequence[Job], at_once: int, stop: Stop, on_progress: Progress | None = None
) -> dict[str, str]:
    """Trains what is not finished, so many at once, until all are or `stop` asks.

    Runs that are asked to stop save themselves, and go on from there the next time. What is inside ends with this
    process, however that ends.

    Returns:
        {name of a job: why it has failed}.
    """
    waiting, running = [job for job in jobs if not job.finished], list[Training]()
    failed: dict[str, str] = {}

    def report() -> None:
        if on_progress is not None:
            total = PERCENT * len(jobs)
            done = sum(int(PERCENT * (job.progress if job.name not in failed else 1.0)) for job in jobs)
            on_progress(f"training {len(jobs)} runs, % of each", min(done, total - len(running)), total)

    try:
        while (waiting or running) and not stop.asked:
            while waiting and len(running) < at_once:
                running.append(Training.of(waiting.pop(0)))
            time.sleep(POLL_SECONDS)
            for training in [one for one in running if one.process.poll() is not None]:
                running.remove(training)
                if not training.job.finished:
                    failed[training.job.name] = training.failure
            report()
    finally:
        end(running)
    return failed


def end(running: Sequence[Training]) -> None:
    """Have them save themselves; what does not end in time is killed."""
    for training in running:
        training.process.send_signal(signal.SIGTERM)
    until = time.monotonic() + STOPPING_SECONDS
    for training in running:
        with suppress(subprocess.TimeoutExpired):
            training.process.wait(max(0.0, until - time.monotonic()))
        training.process.kill()
        training.process.wait()
