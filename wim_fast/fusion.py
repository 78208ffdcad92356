"""Pure functions of tensors that a GPU may run as a few kernels in place of many small ones.

On a GPU a step is bound by its number of launches. Functions that carry `fused` are compiled by torch.compile where
`fusing(True)` asks for it; everywhere else they run as they are written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

Function = TypeVar("Function", bound=Callable)
Runner = Callable[[Callable, tuple[Any, ...]], Any]
_runner: Runner | None = None


def fused(function: Function) -> Function:
    """For functions of tensors that have no side effect and draw no random numbers."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return function(*arguments) if _runner is None else _runner(function, arguments)

    return call  # type: ignore[return-value]


@contextmanager
def fusing(by: bool | Runner) -> Iterator[None]:
    """Within the context functions with `fused` are compiled, or run by something else, or as they are written."""
    global _runner
    before, _runner = _runner, (_run_compiled if by else None) if isinstance(by, bool) else by
    try:
        yield
    finally:
        _runner = before


@functools.cache
def _compiled(function: Callable) -> Callable:
    return torch.compile(function, fullgraph=True)


def _run_compiled(function: Callable, arguments: tuple[Any, ...]) -> Any:
    return _compiled(function)(*arguments)
