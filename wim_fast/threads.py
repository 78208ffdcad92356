"""How threads wait for each other: for microseconds, then asleep. `import wim_fast` sees to it, before torch or numba read it.

Threads of OpenMP otherwise wait busily, some milliseconds long (GNU's; 200 ms, Intel's and LLVM's). Beside another
program they so take the core that the thread they wait for needs, and training collapses (docs/results.md).
"""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress

ASLEEP = {
    "OMP_WAIT_POLICY": "PASSIVE",  # of all of them
    "GOMP_SPINCOUNT": "2000",  # of GNU's: some microseconds, for a core that has gone to sleep takes long to wake
    "KMP_BLOCKTIME": "0",  # of Intel's and LLVM's (libomp on macOS), which otherwise wait busily all the same
}
CHOICES = (*ASLEEP, "KMP_LIBRARY")
"""The variables by which one chooses how threads wait."""

TORCH_CAME_FIRST = "torch" in sys.modules  # and so has read the environment


def wait_asleep() -> None:
    """Set it in the environment, for the libraries this process loads later and for those it starts.

    Whoever has chosen anything about it has chosen all of it. A library that is loaded already has read its
    environment: `import torch` before `import wim_fast` leaves torch's own threads as they are.
    """
    if not any(name in os.environ for name in CHOICES):
        os.environ.update(ASLEEP)


def load_kernels_threads() -> None:
    """Where torch came first, give numba's kernels their own OpenMP, before they ask for threads.

    They would else find torch's, which waits busily. Only Linux loads a library that prefers what it was built with.
    """
    if TORCH_CAME_FIRST and sys.platform == "linux":
        flags = sys.getdlopenflags()
        sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
        try:
            with suppress(ImportError):  # of a numba without OpenMP, which has its own threads
                importlib.import_module("numba.np.ufunc.omppool")
        finally:
            sys.setdlopenflags(flags)
