"""What a long computation asks of the machine: threads and memory."""

from __future__ import annotations

import ctypes
import platform

from wim_fast.errors import UserError


def use_threads(count: int | None) -> None:
    """Limit the threads of torch and of the compiled kernels; None: leave them. UserError for an impossible number."""
    if count is None:
        return
    import numba
    import torch

    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if not 1 <= count <= most:
        raise UserError("--threads", f"{count} threads are not possible", f"give a number from 1 to {most}")
    torch.set_num_threads(count)
    numba.set_num_threads(count)


def keep_memory() -> None:
    """Ask glibc to keep freed buffers: giving them back at every step takes 10 to 20 % of it (docs/log.md)."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            libc.mallopt(parameter, 1 << 30)
