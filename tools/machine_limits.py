"""What the machine is, and how fast it computes and copies at most: what `benchmark.py` compares with."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any, NamedTuple

import torch

import wim_fast
from wim_fast.training.machine import processor_name

PACKAGES = ("torch", "triton", "nerfacc", "tinycudann", "numba")
REPEATS = 5

Clock = Callable[[], float]


class Limits(NamedTuple):
    """The best of several measurements."""

    float32_flops_per_second: float  # of a large matrix product
    half_flops_per_second: float | None  # on a GPU; no kernel for the CPU computes in half precision
    bytes_per_second: float  # of a large copy, read and written


def machine() -> dict[str, Any]:
    """What all numbers depend on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    load = round(os.getloadavg()[0], 2) if os.name == "posix" else "unknown"
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "processor": processor_name(), "cores": os.cpu_count(), "GPU": gpu, "load before": load,
        "python": platform.python_version(), "CUDA": torch.version.cuda or "none", **versions,
        "wim-fast": wim_fast.__version__,
    }  # fmt: skip


def clock_for(device: torch.device, threads: int) -> Clock:
    """Seconds on the wall; of the processor for one thread of it, which other work disturbs little."""
    return time.process_time if threads == 1 and device.type == "cpu" else wall_clock(device)


def wall_clock(device: torch.device) -> Clock:
    """Seconds on the wall, on a GPU when it has done all that it was given."""
    if device.type == "cuda":

        def when_done() -> float:
            torch.cuda.synchronize(device)
            return time.perf_counter()

        return when_done
    return time.perf_counter


def measure_limits(device: torch.device, clock: Clock) -> Limits:
    """Of the device, now, with the threads that torch has."""
    on_gpu = device.type == "cuda"
    side, count = (8192, 1 << 28) if on_gpu else (1024, 1 << 26)
    source = torch.zeros(count, device=device)
    target = torch.empty_like(source)
    copy = best_seconds(lambda: target.copy_(source), clock)
    return Limits(
        matrix_flops_per_second(side, torch.float32, device, clock),
        matrix_flops_per_second(side, torch.float16, device, clock) if on_gpu else None,
        2 * source.numel() * source.element_size() / copy,
    )


def matrix_flops_per_second(side: int, dtype: torch.dtype, device: torch.device, clock: Clock) -> float:
    """In a product of two square matrices."""
    a, b = torch.randn(2, side, side, device=device).to(dtype)
    return 2 * side**3 / best_seconds(lambda: a @ b, clock)


def best_seconds(function: Callable[[], Any], clock: Clock) -> float:
    """The least time of several calls, after one that is not timed."""
    function()
    times = []
    for _ in range(REPEATS):
        start = clock()
        function()
        times.append(clock() - start)
    return min(times)
