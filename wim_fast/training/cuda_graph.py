"""Parts of a training step as CUDA graphs: recorded once, each launched as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from wim_fast.training.schedule import Phase

WARM_UP = 3  # calls taken as they are, on a stream of their own, before one is recorded
# other threads may use the GPU meanwhile: NCCL's watchdog asks how far earlier messages are, a viewer renders
CAPTURE = "thread_local"
Result = TypeVar("Result")


class Recorded:
    """Replays functions of a phase: a graph for each function and phase.

    Memory that the graphs use must stay where it is: after parameters, the optimiser's state or the sizes of arrays were
    replaced, `forget`. What a function returns lies in that memory too, until it is replayed.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self.forget()

    def forget(self) -> None:
        """Record anew at the next calls."""
        self._graphs: dict[tuple[str, Phase], tuple[torch.cuda.CUDAGraph, Any]] = {}
        self._taken: Counter[tuple[str, Phase]] = Counter()

    def __call__(self, function: Callable[..., Result], phase: Phase, *arguments: Tensor | None) -> Result:
        """`function(phase, *arguments)`; for each phase, always with the same tensors."""
        key = function.__name__, phase
        if key not in self._graphs:
            if self._taken[key] < WARM_UP:
                self._taken[key] += 1
                return _on_its_own_stream(function, phase, *arguments)
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(self._generator)
            with torch.cuda.graph(graph, capture_error_mode=CAPTURE):
                result = function(phase, *arguments)
            self._graphs[key] = graph, result
        graph, result = self._graphs[key]
        graph.replay()
        return result


def _on_its_own_stream(function: Callable[..., Result], *arguments: Any) -> Result:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        result = function(*arguments)
    torch.cuda.current_stream().wait_stream(stream)
    return result
