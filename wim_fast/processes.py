"""What training takes of the machine: processes, threads, memory.

Several processes train one model, each on its share of the images: `wim-fast train --processes N` starts them
(`wim_fast.companions`), or torchrun, also on several machines.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from wim_fast.companions import meet, process_count
from wim_fast.errors import UserError

MOST_THREADS = 16  # of a kernel: most deal their work out in so many pieces, whatever the number of threads
LARGE_PAGE = 2 << 20  # bytes
LARGE_PAGED = 256 << 20  # bytes of buffers that lie in them, about what a training of the dog keeps
PATIENCE = timedelta(days=1)  # of processes that wait for each other: the first may read a long recording


class SharedMeans:
    """Means over the processes of one machine, in memory that all of them see.

    Each adds up its part of the numbers, in the order of the processes, so that all get the same. The work of one
    does not grow with their number, and it is less than gloo's messages take (docs/results.md).
    """

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count = rank, count
        self.rows, self.means = torch.empty(count, 0), torch.empty(0)

    @torch.no_grad()
    def row(self, tensors: Sequence[Tensor]) -> Tensor:
        """All elements (n,) float32, where the other processes see them. All processes make this call."""
        size = sum(tensor.numel() for tensor in tensors)
        if size > len(self.means):
            self._allocate(size)
        return torch.cat([tensor.flatten() for tensor in tensors], out=self.rows[self.rank, :size])

    @torch.no_grad()
    def __call__(self, size: int) -> Tensor:
        """The means (size,) of all rows; they hold until the next call, which all processes make."""
        dist.barrier()
        mine = slice(size * self.rank // self.count, size * (self.rank + 1) // self.count)
        torch.sum(self.rows[:, mine], 0, out=self.means[mine]).div_(self.count)
        dist.barrier()
        return self.means[:size]

    def _allocate(self, size: int) -> None:
        numbers = size * (self.count + 1)
        path = [shared_file(4 * numbers) if self.rank == 0 else ""]
        dist.broadcast_object_list(path)
        memory = torch.from_file(path[0], shared=True, size=numbers).view(self.count + 1, size)
        dist.barrier()
        if self.rank == 0:
            with suppress(OSError):  # Windows keeps a file that is in use
                os.unlink(path[0])
        self.rows, self.means = memory[:-1], memory[-1]


def shared_file(size: int) -> str:
    """A new file of so many bytes, in memory where there is room (Linux), else in the folder for temporary files."""
    for folder in ("/dev/shm", tempfile.gettempdir()):
        with suppress(OSError):
            handle, path = tempfile.mkstemp(prefix="wim_fast_", dir=folder)
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(handle, 0, size)
                else:
                    os.truncate(handle, size)
                return path
            except OSError:
                Path(path).unlink()
                raise
            finally:
                os.close(handle)
    raise UserError(
        tempfile.gettempdir(), f"has no room for {size >> 20} MiB", "make room, or use --processes 1"
    )


@dataclass(frozen=True)
class Processes:
    """Which of how many this process is."""

    rank: int = 0
    count: int = 1
    shared_means: SharedMeans | None = None  # of processes of one machine, on the CPU

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all: it alone writes and prints."""
        return self.rank == 0

    def share(self, items: Tensor) -> Tensor:
        """This process's part of the rows of `items`, which `count` divides."""
        return items.chunk(self.count)[self.rank] if self.count > 1 else items

    def part(self, number: int) -> int:
        """This process's part of so many things that are drawn, rounded up."""
        return -(-number // self.count)

    def message(self, tensors: Sequence[Tensor]) -> Tensor | None:
        """Tensors of one device as one, to be exchanged; None for a process alone."""
        if self.count == 1:
            return None
        if self.shared_means is not None:
            return self.shared_means.row(tensors)
        return torch.cat([tensor.detach().flatten() for tensor in tensors])

    def exchange(self, message: Tensor | None) -> Tensor | None:
        """The means of all processes' messages, at a place that stays the same. Does not wait for a GPU."""
        if message is None:
            return None
        if self.shared_means is not None:
            return self.shared_means(len(message))
        if message.is_cuda:
            dist.all_reduce(message, dist.ReduceOp.AVG)
        else:  # gloo only adds
            dist.all_reduce(message)
            message /= self.count
        return message

    def deliver(self, means: Tensor | None, tensors: Sequence[Tensor]) -> None:
        """Replace the tensors of a `message` by their means."""
        if means is not None:
            parts = means.split([tensor.numel() for tensor in tensors])
            views = [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
            torch._foreach_copy_(list(tensors), views)

    def first(self, value: float, device: torch.device) -> float:
        """The first process's value, for all."""
        if self.count == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=device)
        dist.broadcast(told, 0)
        return told.item()

    def any(self, value: bool, device: torch.device) -> bool:
        """Whether it holds in any process."""
        if self.count == 1:
            return value
        told = torch.tensor([float(value)], device=device)
        dist.all_reduce(told, dist.ReduceOp.MAX)
        return bool(told.item())

    @contextmanager
    def first_goes_ahead(self) -> Iterator[None]:
        """What one process of each machine does before the others, so that they find what it leaves on disk."""
        goes_ahead = local_rank() == 0
        if self.count > 1 and not goes_ahead:
            dist.barrier()
        try:
            yield
        finally:
            if self.count > 1 and goes_ahead:
                dist.barrier()


ALONE = Processes()


def local_rank() -> int:
    """Which of this machine's processes this is: the GPU it uses."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def join_processes(device: torch.device) -> Processes:
    """All that were started with this one, connected (NCCL between GPUs, else gloo); one started alone is alone.

    RuntimeError when one of them is gone.
    """
    rank, count = int(os.environ.get("RANK", "0")), process_count()
    if count == 1:
        return ALONE
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    address = meet(rank, count)
    if address is not None:
        use_loopback()
    dist.init_process_group(
        "nccl" if on_gpu else "gloo", init_method=address, rank=rank, world_size=count, timeout=PATIENCE
    )
    together = os.environ.get("LOCAL_WORLD_SIZE") == str(count)
    return Processes(rank, count, SharedMeans(rank, count) if together and not on_gpu else None)


def leave_processes() -> None:
    """Close the connections of `join_processes`, if there are any."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def use_loopback() -> None:
    """Have gloo listen where only this machine can reach it, unless the environment names an interface."""
    names = [name for _, name in socket.if_nameindex()] if hasattr(socket, "if_nameindex") else []
    if loopback := next((name for name in ("lo", "lo0") if name in names), None):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)


def use_threads(count: int | None) -> None:
    """Limit the threads of torch and of the compiled kernels; None: leave them. UserError for an impossible number."""
    if count is None:
        return
    import numba

    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if not 1 <= count <= most:
        raise UserError("--threads", f"{count} threads are not possible", f"give a number from 1 to {most}")
    torch.set_num_threads(count)
    numba.set_num_threads(count)


def kernel_threads() -> int:
    """How many threads compiled kernels use."""
    import numba

    return numba.get_num_threads()


@contextmanager
def computing_threads() -> Iterator[None]:
    """Leave the cores to the compiled kernels: torch's threads would wait for each other at every small operation.

    Results then do not depend on the number of threads, and it does not matter how torch's threads wait
    (`wim_fast.threads`), which is too late to change where torch was imported first. Nor do more threads wait for a kernel
    than have anything to do in it.
    """
    import numba

    of_torch, of_kernels = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(min(of_kernels, MOST_THREADS))
    try:
        yield
    finally:
        torch.set_num_threads(of_torch)
        numba.set_num_threads(of_kernels)


def keep_memory() -> None:
    """Ask glibc to keep freed buffers, and Linux for large pages to hold them (docs/results.md).

    Giving them back at every step takes 10 to 20 % of it, looking up where small pages lie 2 to 3 %.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
        libc.mallopt(parameter, 1 << 30)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if room := libc.malloc(LARGE_PAGED):  # kept when it is freed, and takes memory only where it is used
        first, end = -(-room // LARGE_PAGE) * LARGE_PAGE, (room + LARGE_PAGED) // LARGE_PAGE * LARGE_PAGE
        libc.madvise(first, end - first, 14)  # MADV_HUGEPAGE
        libc.free(room)
