"""Gives wim-fast damaged input, and sees how it answers: with one clear line, or not at all well.

Scenes, runs, checkpoints, pose files, calibrations and flags are damaged (bits flipped, files cut, types swapped, absurd
values, pipes, devices, links that lead to themselves), and the command that reads them is run in a process of its own with
limits of time and memory. What fails: a traceback, a signal, a hang, too much memory, an exit code that is none of ours,
and input that is accepted although it must be refused.

These processes are forks of one that has imported everything and loaded every kernel, which takes longer than most
commands do; one case in a hundred is a `python -m wim_fast` of its own.

python tools/fuzz.py --cases 1000 --seed 0        # exit code 1 if anything failed
"""

from __future__ import annotations

import argparse
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import psutil
from benchmark_tables import console, table
from fuzz_damage import KINDS, Case, Material

from wim_fast.cli import main as wim_fast_main

SECONDS, MOST_MEMORY = 120, 4 * 2**30  # of a case
FREE_MEMORY = 3 * 2**30  # that a case is told there is: what it estimates to need may be wrong by a quarter
ANEW = 97  # cases, of which one is run by a new Python; a prime, so that every kind has its turn
REFUSED, ACCEPTED = "refused", "accepted"


@dataclass(frozen=True)
class Answer:
    """How a command ended: `what`, and what it said."""

    what: str
    said: str
    seconds: float


def main() -> None:
    args = arguments()
    with tempfile.TemporaryDirectory() as folder:
        material = prepare(Path(folder))
        counts, failures = fuzz(material, args.cases, args.seed, args.kinds)
    show(counts, failures)
    sys.exit(1 if failures else 0)


def prepare(folder: Path) -> Material:
    """A tiny scene, a run trained on it, a recording of another layout and a pose file, none of them damaged.

    All commands are run in this process, which its children inherit from.
    """
    material = Material.make(folder)
    for name, command in material.commands_that_make_it():
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = wim_fast_main(list(command))
        if code:
            raise SystemExit(f"{name} could not be made: exit code {code}\n{said.getvalue()}")
    for thread in threading.enumerate():  # a child has none of them
        if thread is not threading.current_thread():
            thread.join(SECONDS)
    return material


def fuzz(
    material: Material, cases: int, seed: int, kinds: Sequence[str]
) -> tuple[Counter[tuple[str, str]], list[tuple[Case, Answer]]]:
    """Runs so many cases; returns how often each kind ended how, and the cases that failed."""
    counts: Counter[tuple[str, str]] = Counter()
    failures = []
    for number in range(cases):
        kind = kinds[number % len(kinds)]
        with tempfile.TemporaryDirectory(dir=material.folder) as folder:
            case = KINDS[kind](random.Random(f"{seed} {number}"), material, Path(folder))
            answer = run(case.command, Path(folder), anew=number % ANEW == ANEW - 1)
        wrong = problem(case, answer)
        counts[kind, wrong or answer.what] += 1
        if wrong:
            failures.append((case, answer))
            console.print(f"[red]{kind}[/]: {case.damage}: {wrong}", highlight=False)
    return counts, failures


def problem(case: Case, answer: Answer) -> str | None:
    """Why an answer is not a good one; None if it is."""
    if answer.what not in (REFUSED, ACCEPTED):
        return answer.what
    if "Traceback" in answer.said:
        return "traceback"
    if answer.what == ACCEPTED and case.must_be_refused:
        return "accepted in silence"
    if answer.what == REFUSED and not any(line.startswith("error: ") for line in answer.said.splitlines()):
        return "refused without a word"
    return None


def run(command: Sequence[str], folder: Path, seconds: float = SECONDS, anew: bool = False) -> Answer:
    """A command of wim-fast in a child of this process; `anew`: which starts a Python that has imported nothing."""
    output, start = folder / "said", time.monotonic()
    child = os.fork()
    if child == 0:
        _become(command, output, anew)
    what = _wait(child, start + seconds)
    said = output.read_text(errors="replace") if output.exists() else ""
    return Answer(what, said, time.monotonic() - start)


def _become(command: Sequence[str], output: Path, anew: bool) -> None:
    """In the child: run the command and leave."""
    code = 70
    try:
        os.setsid()
        stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for standard in (1, 2):
            os.dup2(stream, standard)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if anew:
            os.execv(sys.executable, [sys.executable, "-m", "wim_fast", *command])
        psutil.virtual_memory = lambda: SimpleNamespace(available=FREE_MEMORY)  # type: ignore[assignment]
        code = wim_fast_main(list(command))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream_of_python in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream_of_python.flush()
        os._exit(code)


def _wait(child: int, until: float) -> str:
    """How a child ended; it is stopped when it takes too long or too much memory."""
    process = psutil.Process(child)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        memory = 0
        with suppress(psutil.Error):
            memory = process.memory_info().rss
        if time.monotonic() > until or memory > MOST_MEMORY:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "hang" if memory <= MOST_MEMORY else "too much memory"
        time.sleep(0.01)
    if os.WIFSIGNALED(status):
        return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
    code = os.WEXITSTATUS(status)
    return {0: ACCEPTED, 2: REFUSED}.get(code, f"exit code {code}")


def show(counts: Counter[tuple[str, str]], failures: Sequence[tuple[Case, Answer]]) -> None:
    """The table, and of every failure how to see it again."""
    ends = sorted({end for _, end in counts}, key=lambda end: (end not in (REFUSED, ACCEPTED), end))
    rows = [
        [kind, *(str(counts[kind, end]) for end in ends)]
        for kind in KINDS
        if any(counts[kind, e] for e in ends)
    ]
    table("How commands answered", ["damaged", *ends], rows)
    for case, answer in failures:
        console.print(f"\n{case.damage}\n  wim-fast {' '.join(case.command)}", highlight=False, markup=False)
        console.print("  " + "\n  ".join(answer.said.splitlines()[-6:]), highlight=False, markup=False)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=tuple(KINDS))
    return parser.parse_args()


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"
    os.environ["NUMBA_THREADING_LAYER"] = "workqueue"  # it outlives a fork
    os.environ["WIM_FAST_CACHE"] = tempfile.mkdtemp(prefix="wim-fast-fuzz-")
    try:
        main()
    finally:
        shutil.rmtree(os.environ["WIM_FAST_CACHE"], ignore_errors=True)
