"""Further processes of one command on this machine, which train with this one: they start, end and fail together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from wim_fast.errors import UserError

TETHERED = "WIM_FAST_TETHERED"  # set in a process that is to end with the one that started it
MEETING = "WIM_FAST_MEETING"  # a folder where the processes of one command find each other
FAILED = "failed"  # a file in it: one of them has ended too early
POLL_SECONDS = 0.02
LAST_SECONDS = 60.0  # for the others to end by themselves once the first has


def cores() -> int:
    """How many of the machine's cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_count() -> int:
    """How many there are: one, unless `companions` or torchrun started several."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def wanted_processes(asked: int | None, images: int) -> int:
    """How many are to share a step of so many images: those that were started already, else those asked for, else one.

    UserError for a number that there are not the cores for, or that does not divide the images.
    """
    started = process_count()
    if started > 1 or asked is None:
        return started
    where = "--processes"
    if not 1 <= asked <= cores():
        raise UserError(where, f"{asked} processes are not possible", f"give a number from 1 to {cores()}")
    if images % asked:
        fitting = [str(n) for n in range(1, min(cores(), images) + 1) if images % n == 0]
        problem = f"{images} images cannot be shared by {asked} processes"
        raise UserError(where, problem, f"give {' or '.join(fitting)}, or other --images-per-step")
    return asked


def end_with_the_first() -> None:
    """In a process of `start_tethered`: end at once when the process that started it is gone, however that ended."""
    if TETHERED in os.environ:

        def watch() -> None:
            sys.stdin.buffer.read()  # until the other end of the pipe is closed
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def start_tethered(
    arguments: Sequence[str], errors: IO[bytes], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """`wim-fast ARGUMENTS` in another process, which does not outlive this one (`end_with_the_first`).

    It writes nothing but to `errors`, and a signal from the terminal does not come to it.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "wim_fast", *arguments],
        env={**os.environ, **environment, TETHERED: "1"},
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True,
    )  # fmt: skip


def meet(rank: int, count: int) -> str | None:
    """Wait until all processes of this command are there: the address at which torch connects them.

    None where `companions` started none. RuntimeError when one has ended before.
    """
    if MEETING not in os.environ:
        return None
    folder = Path(os.environ[MEETING])
    (folder / str(rank)).touch()
    while not all((folder / str(other)).exists() for other in range(count)):
        if (folder / FAILED).exists():
            raise RuntimeError("another process has ended")
        time.sleep(POLL_SECONDS)
    return (folder / "addresses").as_uri()


@contextmanager
def companions(count: int, arguments: Sequence[str]) -> Iterator[None]:
    """Run `wim-fast ARGUMENTS` in `count - 1` further processes, connected with this one (`join_processes`).

    None of them outlives what is inside, nor this process, even a killed one: each reads a pipe whose other end closes
    then. A signal from the terminal comes to this process only. UserError when one of them ends too early: what it
    said last, or the signal that killed it. Where all were started already, by torchrun too, there is nothing to do.
    """
    if count == 1 or "WORLD_SIZE" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="wim_fast_") as name:
        folder, before = Path(name), dict(os.environ)
        os.environ.update(environment(folder, 0, count))
        others: list[subprocess.Popen[bytes]] = []
        ended: list[tuple[int, int]] = []

        def watch(rank: int, process: subprocess.Popen[bytes]) -> None:
            if code := process.wait():
                ended.append((rank, code))
                with suppress(OSError):  # all is over, and the folder is gone
                    (folder / FAILED).touch()

        try:
            for rank in range(1, count):
                with (folder / f"{rank}.stderr").open("wb") as errors:
                    process = start_tethered(arguments, errors, environment(folder, rank, count))
                others.append(process)
                threading.Thread(target=watch, args=(rank, process), daemon=True).start()
            yield
            for process in others:
                process.wait(LAST_SECONDS)
        except RuntimeError as error:  # torch's, of a broken connection
            time.sleep(10 * POLL_SECONDS)  # for `watch` to see why
            if not ended:
                raise
            raise UserError("--processes", said(folder, *ended[0], count), "go on with --resume") from error
        except subprocess.TimeoutExpired:
            pass
        finally:
            for process in others:
                process.kill()
                process.wait()
            os.environ.clear()
            os.environ.update(before)


def environment(folder: Path, rank: int, count: int) -> dict[str, str]:
    """What `wim_fast.processes` reads; torchrun sets the same names."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    return {MEETING: str(folder), **{name: str(number) for name, number in numbers.items()}}


def said(folder: Path, rank: int, code: int, count: int) -> str:
    """Why a process ended, from its exit code and the last line that it wrote."""
    who = f"process {rank + 1} of {count}"
    if code < 0:
        return f"{who} was killed ({signal.Signals(-code).name})"
    lines = (folder / f"{rank}.stderr").read_text(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), f"exit code {code}")
    return f"{who} ended: {last.removeprefix('error: ')}"
