"""What a person sees in the terminal while a run trains: a live view, or a line every now and then."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from wim_fast.runs.evaluation_table import metrics_table, turn_notes, turntable_note
from wim_fast.runs.train import Trained
from wim_fast.terminal import progress_bars, say, say_table
from wim_fast.training.checkpoint import TrainedOn
from wim_fast.training.learner import Learner
from wim_fast.training.loop import resume_command
from wim_fast.training.observer import Observer, Stop
from wim_fast.training.run_folder import RunFolder
from wim_fast.training.step_report import StepReport
from wim_fast.viewer import live

PLAIN_SECONDS = 10.0  # between lines where there is no terminal


class TerminalObserver(Observer):
    """Shows training in the terminal and, if there is a port to serve it on, in a browser."""

    def __init__(self, console: Console, port: int | None = None) -> None:
        super().__init__()
        self.console, self.port = console, port
        self.view: PlainView | LiveView = PlainView(console, "")
        self.page: live.LiveView | None = None

    def say(self, text: str) -> None:
        say(text, self.console)

    def progress(self) -> AbstractContextManager[Callable[[str, int, int], None]]:
        return progress_bars()

    @contextmanager
    def watching(self, trainer: Learner, folder: RunFolder, trained_on: TrainedOn) -> Iterator[None]:
        if not trainer.processes.is_first:
            with stop_signals(self.stop):
                yield
            return
        about = "~" if trainer.config.schedule.minutes else ""
        if self.console.is_terminal:
            self.view = LiveView(self.console, about, trainer.step, trainer.progress)
        else:
            self.view = PlainView(self.console, about)
        if self.port is not None:
            self.page = live.LiveView(folder.path, trained_on, self.port, self.say)
        try:
            with self.view, stop_signals(self.stop):
                yield
        finally:
            if self.page is not None:
                self.page.close()

    def stepped(self, trainer: Learner, report: StepReport) -> None:
        if self.page is not None:
            self.page.observe(trainer)

    def logged(self, row: Mapping[str, Any]) -> None:
        self.view.show(row)


def duration(seconds: float) -> str:
    """4:05, or 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def count_of(row: Mapping[str, Any], about: str) -> str:
    """20/600; where the end may still move, `about` is a sign to say so: 20/~600."""
    return f"{row['step']}/{about if row['step'] < row['iterations'] else ''}{row['iterations']}"


def thousands(value: float) -> str:
    return f"{value / 1000:.1f}k" if value >= 1000 else f"{value:.0f}"


class PlainView:
    """A line every now and then."""

    def __init__(self, console: Console, about: str) -> None:
        self.console, self.about = console, about
        self.last = -math.inf

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def show(self, row: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if now - self.last < PLAIN_SECONDS and row["step"] < row["iterations"]:
            return
        self.last = now
        losses = "  ".join(f"{name} {value:.2g}" for name, value in row["losses"].items())
        say(
            f"step {count_of(row, self.about)}  {duration(row['seconds_left'])} left  "
            f"PSNR {row['psnr']:.2f} dB  {thousands(row['rays_per_second'])} rays/s  "
            f"{thousands(row['samples_per_second'])} samples/s  loss {row['loss']:.4f}: {losses}",
            self.console,
        )


class LiveView:
    """A progress bar and two short tables that stay in place."""

    def __init__(self, console: Console, about: str, step: int, progress: float) -> None:
        self.about = about
        self.progress = Progress(
            TextColumn("training"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]} left"),
            console=console,
            expand=True,
        )
        self.task = self.progress.add_task("", total=1.0, count=str(step), left="-:--")
        self.progress.update(self.task, completed=progress)
        self.row: Mapping[str, Any] | None = None
        self.live = Live(console=console, refresh_per_second=2, get_renderable=self.render)

    def __enter__(self) -> LiveView:
        self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def show(self, row: Mapping[str, Any]) -> None:
        self.row = row
        count, left = count_of(row, self.about), duration(row["seconds_left"])
        self.progress.update(self.task, completed=row["progress"], count=count, left=left)

    def render(self) -> RenderableType:
        row = self.row
        if row is None:
            return self.progress
        table = Table.grid(padding=(0, 4, 0, 0))
        losses = [("loss", f"{row['loss']:.5f}")] + [(f"  {n}", f"{v:.5f}") for n, v in row["losses"].items()]
        facts = [
            ("PSNR of the rays", f"{row['psnr']:.2f} dB"),
            ("frames in use", str(row["frames"])),
            *([("sharpness", f"{row['inv_s']:.0f}")] if "inv_s" in row else []),
            ("steps/s", f"{row['steps_per_second']:.1f}"),
            ("rays/s", thousands(row["rays_per_second"])),
            ("samples/s", thousands(row["samples_per_second"])),
        ]
        table.add_row(_pairs(facts), _pairs(losses))
        return Group(self.progress, table)


def _pairs(pairs: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(justify="right")
    for pair in pairs:
        table.add_row(*pair)
    return table


def show_result(trained: Trained, folder: RunFolder, console: Console) -> None:
    """The table of a training that has ended and where everything lies; how to go on with one that was stopped."""
    evaluation = trained.evaluation
    if trained.stopped:
        say(f"stopped at step {trained.step}, {trained.progress:.0%} of the way, and saved", console)
        say(f"continue with: {resume_command(folder)}", console)
    if evaluation is None:
        return
    say_table(metrics_table(evaluation.groups), console)
    if evaluation.unconfirmed is not None:
        say(turntable_note(evaluation.unconfirmed), console)
    for note in turn_notes(evaluation.abrupt_turns):
        say(note, console)
    if error := evaluation.joint_error:
        say(f"joint error {100 * error.error:.2f} % of the object's extent (A.10)", console)
    for path, what in (
        (folder.config, "all settings"),
        (folder.all_checkpoints()[-1], "the model"),
        (folder.trajectory, "poses and joints"),
        (folder.metrics, "the course of training; tensorboard --logdir shows it too"),
        (folder.evaluation, "the table above"),
        (folder.preview, "pictures"),
    ):
        say(f"{path}  {what}", console)


@contextmanager
def stop_signals(stop: Stop) -> Iterator[None]:
    """SIGINT and SIGTERM ask training inside to stop; a second one interrupts at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked, stop.signal = True, number

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
