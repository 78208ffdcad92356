"""Which implementation of each kernel runs: chosen once, by name, never in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from wim_fast.errors import UserError

BACKENDS = ("auto", "numba", "torch")


class Backend(NamedTuple):
    """One implementation of every operation; the signatures are those of the references."""

    name: str
    articulated_lookup: Callable
    part_encoding: Callable
    march: Callable
    composite: Callable
    visible_samples: Callable


def select_backend(name: str) -> Backend:
    """`numba`: compiled for the CPU, multi-threaded. `torch`: the references, on any device. `auto`: the fastest there is."""
    if name in ("auto", "numba"):
        from wim_fast.ops.articulated.cpu import articulated_lookup
        from wim_fast.ops.composite.cpu import composite, visible_samples
        from wim_fast.ops.march.cpu import march
        from wim_fast.ops.part_encoding.cpu import part_encoding

        return Backend("numba", articulated_lookup, part_encoding, march, composite, visible_samples)
    if name == "torch":
        from wim_fast.ops.articulated.reference import articulated_lookup
        from wim_fast.ops.composite.reference import composite, visible_samples
        from wim_fast.ops.march.reference import march
        from wim_fast.ops.part_encoding.reference import part_encoding

        return Backend("torch", articulated_lookup, part_encoding, march, composite, visible_samples)
    raise UserError("backend", f"there is no backend {name!r}", f"choose from {', '.join(BACKENDS)}")
