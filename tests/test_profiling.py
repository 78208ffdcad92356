"""Stages are ranges of the profiler, and nothing where it does not run."""

from __future__ import annotations

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from wim_fast.profiling import stage


@stage("doubling")
def double(x: torch.Tensor, times: int = 1) -> torch.Tensor:
    """Twice as much."""
    return x * 2**times


def test_calls_under_the_profiler_are_ranges() -> None:
    x = torch.ones(3)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        y = double(double(x), times=2)
    assert y.tolist() == [8.0, 8.0, 8.0]
    assert [event.name for event in profiler.events()].count("doubling") == 2


def test_calls_without_it_are_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.profiler, "record_function", None)
    assert double(torch.ones(1), times=3).item() == 8.0
    assert double.__doc__ == "Twice as much."
