"""The CPU's kernels, compiled before they are called, by as many processes as there are cores.

numba compiles on one thread, some 80 s for all kernels, and a first training would wait for that. Each process here
takes the next kernel that none has, runs it once at a small size (`ops/self_test.py`), and so leaves it in numba's
cache on the disk. Whatever cannot be compiled so is compiled when it is called.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from wim_fast.files import sources_digest
from wim_fast.ops.backend import Backend, select_backend
from wim_fast.ops.first_run import remembered

MOST_PROCESSES = 6  # the longest kernels take an eighth of all
PROCESS_BYTES = 600 << 20  # of memory, of each
SLOWEST_FIRST = (
    "articulated_lookup", "merge_loss", "march", "silhouette_losses", "decoder_mlp", "part_encoding", "composite",
    "finer_samples", "near_samples", "shade", "edge_pixels", "occupancy_grids", "camera_rays", "part_poses",
    "visible_samples", "samples_along", "corrected_cameras", "structure_losses", "draw_pixels", "closed_runs",
    "part_seen", "unjudged_points", "shape_losses", "observe_distances", "image_losses",
)  # fmt: skip
"""Fields of `Backend`, all that have kernels of their own."""


def compile_ahead(backend: Backend, processes: int, progress: Callable[[int, int], None]) -> None:
    """Have all kernels on the disk, unless they are there. Nothing is done where `backend` is not the CPU's.

    Args:
        processes: at most so many compile, fewer where memory is short. One alone does nothing, for whoever calls a kernel
            compiles it as fast.
        progress: called with how many kernels are done, and of how many, whenever one is; from any thread.
    """
    count = min(processes, MOST_PROCESSES, psutil.virtual_memory().available // PROCESS_BYTES)
    if backend.name == "numba" and count > 1 and (record := _record()) is not None:
        remembered(_facts(), lambda: _missing(count, progress), record)


def _missing(processes: int, progress: Callable[[int, int], None]) -> list[str]:
    """The kernels that so many processes have not left on the disk."""
    missing, lock = list(SLOWEST_FIRST), threading.Lock()
    todo: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in SLOWEST_FIRST:
        todo.put(name)

    def told(name: str) -> None:
        with lock:
            missing.remove(name)
            progress(len(SLOWEST_FIRST) - len(missing), len(SLOWEST_FIRST))

    progress(0, len(SLOWEST_FIRST))
    children: list[subprocess.Popen[str]] = []
    with suppress(OSError):  # fewer, then
        while len(children) < processes:
            children.append(_start())
    threads = [threading.Thread(target=_employ, args=(child, todo, told), daemon=True) for child in children]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for child in children:
            child.kill()
            child.communicate()
    return missing


def _start() -> subprocess.Popen[str]:
    """A process that compiles the kernels whose names it is given (`main`), and ends when it is given no more."""
    return subprocess.Popen(
        [sys.executable, "-m", "wim_fast.ops.ahead"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def _employ(child: subprocess.Popen[str], todo: queue.SimpleQueue[str], told: Callable[[str], None]) -> None:
    """Give a process one name after another, as long as there are any and it answers."""
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(queue.Empty, OSError, ValueError):  # ValueError: it was killed meanwhile
        while True:
            name = todo.get_nowait()
            child.stdin.write(name + "\n")
            child.stdin.flush()
            if child.stdout.readline().strip() != name:
                return
            told(name)


def _facts() -> dict[str, Any]:
    """All that numba's cache hangs on."""
    import numba
    from llvmlite import binding

    return {
        "sources": sources_digest(Path(__file__).parent),
        "python": sys.version,
        "numba": numba.__version__,
        "processor": [binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()],
    }


def _record() -> Path | None:
    """The file beside the kernels that says that they are there; None where numba has no cache."""
    from wim_fast.ops.articulated import cpu

    folder = cpu._forward.stats.cache_path
    return None if folder is None else Path(folder) / "ahead.json"


def main() -> None:
    """Compile the kernels whose names come on standard input, and say each name when it is done."""
    from wim_fast.ops.self_test import run_once

    backend = select_backend("numba")
    for line in sys.stdin:
        run_once(backend, line.strip())
        sys.stdout.write(line)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
