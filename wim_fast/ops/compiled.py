"""How functions are compiled by numba, and when what is compiled of them is discarded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from torch import Tensor

from wim_fast.files import sources_digest
from wim_fast.threads import load_kernels_threads

# numba optimises a parallel kernel once as it compiles it and once more as it stores it, and runs the one copy in the
# process that compiled, the other in all later ones. Only strict arithmetic makes both give the same bits, and a run
# that goes on must end as one that never stopped. Fast mathematics was not measurably faster.
FASTMATH = False
STAMP = "kernels.sha256"

load_kernels_threads()

device = njit(fastmath=FASTMATH, error_model="numpy")
"""For functions that kernels call."""


@intrinsic  # type: ignore[misc]
def claim(typing_context, counter):
    """The next number of `counter` (1,) int64, which begins at 0; no two threads get the same.

    A kernel's threads so take the next piece of its work when they are ready for it. What is dealt out beforehand waits
    for the slowest: that with the harder pieces, that which was still asleep, that whose core another program has.
    """

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), generate


def arrays(*tensors: Tensor) -> list[np.ndarray]:
    """The same numbers for a kernel, without a copy where they lie one after another. Each torch operation costs a kernel's
    caller about as much as a thousand numbers do, so what is small is computed with numpy."""
    return [(x.detach() if x.requires_grad else x).contiguous().numpy() for x in tensors]


def kernel(function: Callable, parallel: bool = True) -> Callable:
    """Compile at the first call, or take from the cache on disk what the same sources gave before.

    numba compiles a cached function anew when its own file changes. What it takes from other files, functions and
    constants, is compiled into it too, and a change of those would go unnoticed: hence the stamp beside the cache.
    """
    compiled = njit(parallel=parallel, fastmath=FASTMATH, error_model="numpy", cache=True, nogil=True)(
        function
    )
    if compiled.stats.cache_path:
        discard_stale(Path(compiled.stats.cache_path), sources_digest(Path(__file__).parent))
    return compiled


def discard_stale(cache: Path, digest: str) -> None:
    """Empty a folder of numba's cache, unless it was filled from sources with this digest."""
    stamp = cache / STAMP
    with contextlib.suppress(OSError):  # a folder that cannot be written holds nothing of ours
        if not stamp.is_file() or stamp.read_text() != digest:
            for compiled in (*cache.glob("*.nbi"), *cache.glob("*.nbc")):
                compiled.unlink(missing_ok=True)
            stamp.write_text(digest)
