"""What a person sees of a run: a live view in the terminal, metrics.jsonl, and events for TensorBoard."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from wim_fast.terminal import say
from wim_fast.training import schedule
from wim_fast.training.run_folder import RunFolder
from wim_fast.training.step import StepReport
from wim_fast.training.trainer import Trainer

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

PLAIN_SECONDS = 10.0  # between lines where there is no terminal


class Monitor:
    """Collects step results and shows their means every `log_every` steps. A context manager.

    On going on from a checkpoint, what was written after it is taken back: the run will write it again.
    """

    def __init__(
        self, folder: RunFolder, step: int, iterations: int, log_every: int, console: Console
    ) -> None:
        self.log_every = log_every
        self.console = console
        self.view = LiveView(console, step, iterations) if console.is_terminal else PlainView(console)
        self.path = folder.metrics
        self.step = step
        self.events_folder = folder.path
        self.window: list[StepReport] = []
        self.has_warned = False
        self.since = time.perf_counter()
        self.rate = RemainingTime(step)

    def __enter__(self) -> Monitor:
        from torch.utils.tensorboard import SummaryWriter

        keep_until(self.path, self.step)
        self.file = self.path.open("a", encoding="utf-8")
        self.events: SummaryWriter = SummaryWriter(str(self.events_folder), purge_step=self.step + 1)
        self.view.__enter__()
        self.since = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.view.__exit__(*error)
        self.events.close()
        self.file.close()

    def observe(self, report: StepReport, trainer: Trainer) -> None:
        """Take in one step."""
        self.window.append(report)
        if trainer.step % self.log_every and trainer.step < trainer.iterations:
            return
        row = self._row(trainer)
        self.window = []
        if row["samples_dropped"] and not self.has_warned:
            self.has_warned = True
            dropped = f"{row['samples_dropped']} samples were dropped by step {trainer.step} for want of room"
            self.say(f"{dropped}; if this goes on, raise --marched-per-ray and --decoded-per-ray")
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
        for name, value in scalars(row).items():
            self.events.add_scalar(name, value, trainer.step)
        self.view.show(row)

    def picture(self, image: np.ndarray, step: int) -> None:
        """Show a picture (H, W, 3) uint8 in TensorBoard."""
        self.events.add_image("preview", image, step, dataformats="HWC")

    def say(self, text: str) -> None:
        """A line above the live view."""
        say(text, self.console)

    def _row(self, trainer: Trainer) -> dict[str, Any]:
        """Means over the steps since the last row."""
        now = time.perf_counter()
        seconds, self.since = now - self.since, now
        terms = [report.losses for report in self.window]
        names = dict.fromkeys(name for losses in terms for name in losses)
        losses = {name: mean([row[name] for row in terms if name in row]) for name in names}
        squared_error = mean([report.squared_error for report in self.window])
        frames = schedule.active_frames(trainer.progress, trainer.images.num_frames, trainer.config.schedule)
        return {
            "step": trainer.step,
            "iterations": trainer.iterations,
            "psnr": -10 * math.log10(max(squared_error, 1e-10)),
            "loss": sum(losses.values()),
            "losses": losses,
            "frames": frames,
            "inv_s": trainer.inv_s,
            "steps_per_second": len(self.window) / seconds,
            "rays_per_second": sum(r.num_rays for r in self.window) / seconds,
            "samples_per_second": sum(r.num_samples for r in self.window) / seconds,
            "samples_dropped": sum(r.num_dropped for r in self.window),
            "seconds_left": self.rate.left(trainer.step, trainer.iterations),
        }


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """A row by TensorBoard's names."""
    named = {f"loss/{name}": value for name, value in row["losses"].items()}
    named |= {f"speed/{name}": row[name] for name in row if name.endswith("_per_second")}
    return named | {"loss/total": row["loss"], "train/psnr": row["psnr"], "train/frames": row["frames"]}


def keep_until(path: Path, step: int) -> None:
    """Drop the rows after `step` from a metrics file, and a row that was not written to its end."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            break
        if row["step"] > step:
            break
        kept.append(line + "\n")
    path.write_text("".join(kept), encoding="utf-8")


class RemainingTime:
    """From the steps of the last half minute or so."""

    def __init__(self, step: int) -> None:
        self.marks = [(time.perf_counter(), step)]

    def left(self, step: int, iterations: int) -> float:
        """Seconds."""
        now = time.perf_counter()
        self.marks.append((now, step))
        while len(self.marks) > 2 and now - self.marks[1][0] > 30:
            self.marks.pop(0)
        then, before = self.marks[0]
        return (iterations - step) * (now - then) / max(step - before, 1)


def duration(seconds: float) -> str:
    """4:05, or 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def thousands(value: float) -> str:
    return f"{value / 1000:.1f}k" if value >= 1000 else f"{value:.0f}"


class PlainView:
    """A line every now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console
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
            f"step {row['step']}/{row['iterations']}  {duration(row['seconds_left'])} left  "
            f"PSNR {row['psnr']:.2f} dB  {thousands(row['rays_per_second'])} rays/s  "
            f"{thousands(row['samples_per_second'])} samples/s  loss {row['loss']:.4f}: {losses}",
            self.console,
        )


class LiveView:
    """A progress bar and two short tables that stay in place."""

    def __init__(self, console: Console, step: int, iterations: int) -> None:
        self.progress = Progress(
            TextColumn("training"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]} left"),
            console=console,
            expand=True,
        )
        self.task = self.progress.add_task("", total=iterations, completed=step, left="-:--")
        self.row: Mapping[str, Any] | None = None
        self.live = Live(console=console, refresh_per_second=2, get_renderable=self.render)

    def __enter__(self) -> LiveView:
        self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def show(self, row: Mapping[str, Any]) -> None:
        self.row = row
        self.progress.update(self.task, completed=row["step"], left=duration(row["seconds_left"]))

    def render(self) -> RenderableType:
        row = self.row
        if row is None:
            return self.progress
        table = Table.grid(padding=(0, 4, 0, 0))
        losses = [("loss", f"{row['loss']:.5f}")] + [(f"  {n}", f"{v:.5f}") for n, v in row["losses"].items()]
        facts = [
            ("PSNR of the rays", f"{row['psnr']:.2f} dB"),
            ("frames in use", str(row["frames"])),
            ("sharpness", f"{row['inv_s']:.0f}"),
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
