"""What training takes of the machine: processes, threads, memory.

Several processes train one model, each on its share of the images: `torchrun -m wim_fast train ...`.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from wim_fast.errors import UserError


@dataclass(frozen=True)
class Processes:
    """Which of how many this process is."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all: it alone writes and prints."""
        return self.rank == 0

    def share(self, items: Tensor) -> Tensor:
        """This process's part of the rows of `items`, which `count` divides."""
        return items.chunk(self.count)[self.rank] if self.count > 1 else items

    def average_(self, *tensors: Tensor) -> None:
        """Replace tensors of one device by their means over all processes, in one message."""
        if self.count > 1:
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            dist.all_reduce(flat)
            means = (flat / self.count).split([tensor.numel() for tensor in tensors])
            for tensor, mean in zip(tensors, means, strict=True):
                tensor.copy_(mean.view_as(tensor))

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Means over all processes; a gradient that a process lacks counts as zero."""
        if self.count > 1:
            parameters = list(parameters)
            for parameter in parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            self.average_(*(parameter.grad for parameter in parameters if parameter.grad is not None))

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


def process_count() -> int:
    """How many there are: one, unless torchrun started several."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join_processes(device: torch.device) -> Processes:
    """Those that torchrun started, connected (NCCL between GPUs, else gloo); a process started alone is alone."""
    if process_count() == 1:
        return ALONE
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Processes(dist.get_rank(), process_count())


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


@contextmanager
def torch_on_one_thread() -> Iterator[None]:
    """Leave the other cores to the compiled kernels: torch's threads would wait for each other at every small operation.

    Results then do not depend on the number of threads, and it does not matter how torch's threads wait
    (`wim_fast.threads`), which is too late to change where torch was imported first.
    """
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


def keep_memory() -> None:
    """Ask glibc to keep freed buffers: giving them back at every step takes 10 to 20 % of it (docs/results.md)."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            libc.mallopt(parameter, 1 << 30)
