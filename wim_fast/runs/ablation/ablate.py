"""Training with and without each term of the method, and one table of what comes out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from wim_fast.companions import cores
from wim_fast.config import SETTINGS
from wim_fast.drawing.images import write_png
from wim_fast.errors import UserError
from wim_fast.evaluation.summary import Line
from wim_fast.files import output_folder, write_atomic
from wim_fast.ops.backend import select_backend
from wim_fast.runs.ablation.jobs import Job, plan_jobs
from wim_fast.runs.ablation.measure import COLUMNS, Measured, content_of, lines_of, measure_run
from wim_fast.runs.ablation.pictures import comparison_sheet
from wim_fast.runs.ablation.pool import train_jobs
from wim_fast.runs.ablation.variants import chosen_variants
from wim_fast.runs.new_run import RUNS
from wim_fast.runs.render import Progress
from wim_fast.runs.result_table import latex_table, text_table
from wim_fast.training.observer import Stop


@dataclass(frozen=True)
class Ablation:
    """Runs of several variants and what was measured of them.

    Attributes:
        jobs: all that were wanted.
        measured: those that finished.
        failed: {name of a job: why}.
        stopped: whether it was asked to stop before all had finished.
    """

    output: Path
    jobs: list[Job]
    measured: list[Measured]
    failed: dict[str, str]
    stopped: bool

    @property
    def title(self) -> str:
        """Of the table."""
        return f"Ablation, {Path(self.jobs[0].config.scene.scene).name}"

    @property
    def lines(self) -> list[Line]:
        """A line of the table for each variant."""
        return lines_of(self.jobs, self.measured)

    @property
    def table(self) -> Table:
        """For people."""
        return text_table(self.title, COLUMNS, self.lines)

    @property
    def notes(self) -> list[str]:
        """What must be known beside the numbers."""
        notes = [f"{name} has failed: {why}." for name, why in self.failed.items()]
        if any(line.runs > 1 for line in self.lines):
            notes.append("± is the sample standard deviation over seeds.")
        if not any("psnr" in line.values for line in self.lines):
            notes.append("There are no novel views: all cameras were trained on (--test-cameras).")
        return notes


def ablate(
    output: Path | None = None,
    variants: Sequence[str] | None = None,
    seeds: int = 3,
    settings: Mapping[str, Any] | None = None,
    *,
    config_file: str | Path | None = None,
    at_once: int | None = None,
    stop: Stop | None = None,
    on_progress: Progress | None = None,
) -> Ablation:
    """Trains what has not finished yet, then measures all and writes table, pictures, JSON and LaTeX.

    Args:
        output: its folder; None: runs/ablation-SCENE. What finished there is not trained again.
        variants: names; None: all.
        seeds: runs of each variant.
        settings: by name, of all runs; `scene` and `minutes` or `iterations` among them.
        config_file: a file of settings in place of the scene's own.
        at_once: trainings; None: one for each core, or one where a GPU trains.
        stop: may be set from outside; then nothing is measured, and the same call goes on later.

    UserError if no run could be trained.
    """
    settings = settings or {}
    chosen = chosen_variants(variants)
    scene = Path(str(settings.get("scene", SETTINGS["scene"].default)))
    folder = output or RUNS / f"ablation-{scene.resolve().name}"
    with output_folder(folder):
        jobs = plan_jobs(folder, chosen, seeds, settings, config_file)
        if at_once is None:
            on_gpu = select_backend(jobs[0].config.render.backend).device.type == "cuda"
            at_once = 1 if on_gpu else cores()
        stop = stop or Stop()
        failed = train_jobs(jobs, at_once, stop, on_progress)
        if stop.asked:
            return Ablation(folder, jobs, [], failed, True)
        finished = [job for job in jobs if job.finished]
        if not finished:
            name, why = next(iter(failed.items()))
            raise UserError(folder / name, f"could not be trained: {why}", "see train.stderr in its folder")
        measured = []
        for job in finished:
            measured.append(measure_run(job))
            if on_progress is not None:
                on_progress("measuring", len(measured), len(finished))
        return Ablation(folder, jobs, measured, failed, False)


def write_ablation(ablation: Ablation) -> list[Path]:
    """ablation.json, table.tex and pictures.png in its folder."""
    with output_folder(ablation.output) as folder:
        content = content_of(ablation.jobs, ablation.measured, ablation.failed, folder)
        content["notes"] = ablation.notes
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        latex = latex_table(f"{ablation.title}.", COLUMNS, ablation.lines, ablation.notes)
        return [
            write_atomic(folder / "ablation.json", text.encode()),
            write_atomic(folder / "table.tex", latex.encode()),
            write_png(folder / "pictures.png", comparison_sheet(ablation.jobs)),
        ]
