"""Cameras side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

MOST_WORKERS = 8
WORK_BYTES = 3 << 30  # what all workers may need together


def worker_count(cameras: int, need: int) -> int:
    """Cameras at once that need so many bytes each: as many as there are processors and room."""
    return max(1, min(cameras, os.cpu_count() or 1, MOST_WORKERS, WORK_BYTES // need))


def side_by_side(cameras: int, need: int, work: Callable[[int, threading.Event], Result]) -> list[Result]:
    """What `work(v, stop)` returns for each camera v. If one fails, `stop` is set, at which the others should return."""
    stop = threading.Event()

    def run(v: int) -> Result:
        try:
            return work(v, stop)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(max_workers=worker_count(cameras, need)) as pool:
        try:
            return list(pool.map(run, range(cameras)))
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
