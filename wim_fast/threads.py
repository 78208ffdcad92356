"""How threads wait for each other: asleep. `import wim_fast` sees to it, before torch or numba read it.

Threads of OpenMP otherwise wait busily, some milliseconds long (GNU's; 200 ms, Intel's and LLVM's). Beside another
program they so take the core that the thread they wait for needs, and training collapses (docs/results.md).
"""

from __future__ import annotations

import os

ASLEEP = {
    "OMP_WAIT_POLICY": "PASSIVE",  # all; GNU's libgomp then never waits busily
    "KMP_BLOCKTIME": "0",  # of Intel's and LLVM's (libomp on macOS), which otherwise wait busily all the same
}
CHOICES = (*ASLEEP, "GOMP_SPINCOUNT", "KMP_LIBRARY")
"""The variables by which one chooses how threads wait."""


def wait_asleep() -> None:
    """Set it in the environment, for the libraries this process loads later and for those it starts.

    Whoever has chosen anything about it has chosen all of it. A library that is loaded already has read its
    environment: `import torch` before `import wim_fast` leaves torch's own threads as they are.
    """
    if not any(name in os.environ for name in CHOICES):
        os.environ.update(ASLEEP)
