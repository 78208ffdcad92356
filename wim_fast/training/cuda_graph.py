"""A training step as a CUDA graph: recorded once, launched as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch

from wim_fast.training.schedule import Phase
from wim_fast.training.step import StepReport

WARM_UP = 3  # steps taken as they are, on a stream of their own, before one is recorded


class RecordedStep:
    """Replays `take_step(phase)`: a graph for each phase.

    Memory that the graphs use must stay where it is: after parameters or the optimiser's state were replaced, `forget`.
    """

    def __init__(self, take_step: Callable[[Phase], StepReport], generator: torch.Generator) -> None:
        self._take_step = take_step
        self._generator = generator
        self.forget()

    def forget(self) -> None:
        """Record anew at the next steps."""
        self._graphs: dict[Phase, tuple[torch.cuda.CUDAGraph, StepReport]] = {}
        self._taken: Counter[Phase] = Counter()

    def __call__(self, phase: Phase) -> StepReport:
        if phase not in self._graphs:
            if self._taken[phase] < WARM_UP:
                self._taken[phase] += 1
                return self._on_its_own_stream(phase)
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(self._generator)
            with torch.cuda.graph(graph):
                report = self._take_step(phase)
            self._graphs[phase] = graph, report
        graph, report = self._graphs[phase]
        graph.replay()
        return report._replace(values=report.values.clone())

    def _on_its_own_stream(self, phase: Phase) -> StepReport:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            report = self._take_step(phase)
        torch.cuda.current_stream().wait_stream(stream)
        return report
