"""What commands print: lines, tables, progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console()


def say(text: str, to: Console = console) -> None:
    """A line that is not broken, so that what it names can be copied."""
    to.print(text, highlight=False, markup=False, soft_wrap=True)


def say_written(paths: Sequence[Path]) -> None:
    """Paths, each on a line of its own."""
    for path in paths:
        say(f"wrote {path}")


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar with the time left, on stderr; yields what to call after each of `total` steps."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
