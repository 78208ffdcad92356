"""What commands print: lines, tables, progress bars."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

console = Console()


def say(text: str, to: Console = console) -> None:
    """A line that is not broken, so that what it names can be copied."""
    to.print(text, highlight=False, markup=False, soft_wrap=True)


def say_table(table: Table, to: Console = console) -> None:
    """A table, as wide as the terminal allows."""
    to.print(table)


def say_written(paths: Sequence[Path]) -> None:
    """Paths, each on a line of its own."""
    for path in paths:
        say(f"wrote {path}")


def _progress() -> Progress:
    """Bars with the time left, on stderr."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    return Progress(*columns, console=Console(stderr=True))


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for one thing after another; yields what to call after each step: what is done, how much of it, of how much."""
    bars = _progress()
    running: list[TaskID] = []

    def show(what: str, done: int, total: int) -> None:
        bars.start()  # if it has not; an empty list of bars would leave an empty line
        if not running or bars.finished:
            running.append(bars.add_task(what, total=total))
        bars.update(running[-1], completed=done)

    try:
        yield show
    finally:
        if running:
            bars.stop()


def counted(bars: Callable[[str, int, int], None], what: str, total: int) -> Callable[[], None]:
    """What to call after each of `total` steps, from any thread, for `bars` of `progress_bars` to show them."""
    done = itertools.count(1)
    return lambda: bars(what, next(done), total)
