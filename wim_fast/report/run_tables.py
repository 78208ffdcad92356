"""The tables of runs: what came out, what was measured of one, and which settings they had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wim_fast.config import SETTINGS
from wim_fast.report.course import number
from wim_fast.report.curves import swatch
from wim_fast.report.run_content import GROUPS, RunContent
from wim_fast.report.table import Column, Table
from wim_fast.runs.evaluation_table import LABELS
from wim_fast.sections import OURS
from wim_fast.settings import Setting, as_text

OVERVIEW_METRICS = {
    "psnr": ("PSNR (dB)", ".2f"),
    "ssim": ("SSIM", ".4f"),
    "lpips": ("LPIPS", ".4f"),
    "iou": ("mask IoU", ".4f"),
}
"""{metric of the whole image: (heading, form)}."""
LONGEST = 40  # characters of a setting's value


def overview(runs: Sequence[RunContent]) -> Table:
    """A row for each run. Columns are left out of which no run knows anything, and methods that are all the same."""
    facts = [Column("run"), *(Column(h, is_text=True) for h in ("scene", "method")), *map(Column, COUNTED)]
    views = [Column(heading, group) for group in GROUPS for heading, _ in OVERVIEW_METRICS.values()]
    columns = [*facts, *views, Column("joint error"), Column("measured by", is_text=True)]
    rows = [overview_row(run) for run in runs]
    caption = "Runs"
    if len({row[METHOD] for row in rows}) == 1:
        rows = [[*row[:METHOD], "", *row[METHOD + 1 :]] for row in rows]
    if len({row[-1] for row in rows}) == 1 and rows[0][-1]:
        caption += f", measured by {rows[0][-1]}"
        rows = [[*row[:-1], ""] for row in rows]
    swatches = [swatch(k) for k in range(len(runs))] if len(runs) > 1 else []
    return Table(caption, columns, rows, swatches).without_empty_columns()


METHOD = 2  # its column
COUNTED = ("parts", "steps", "minutes")


def overview_row(run: RunContent) -> list[str]:
    """Cells of `overview`; empty where nothing is known."""
    measured = run.measured
    groups = measured.groups if measured else {}
    views = [
        f"{groups[group][metric]:{form}}" if metric in groups.get(group, {}) else ""
        for group in GROUPS
        for metric, (_, form) in OVERVIEW_METRICS.items()
    ]
    minutes = "" if run.minutes is None else f"{run.minutes:.1f}"
    error = measured.joint_error if measured else None
    return [
        run.name,
        run.scene,
        method(run),
        str(run.config.model.num_parts) if method(run) == OURS else "",
        str(run.steps or ""),
        minutes,
        *views,
        f"{error.error:.2%}".replace("%", " %") if error else "",
        measured.by if measured else "",
    ]


def method(run: RunContent) -> str:
    """The paper's, or the baseline that was trained in its place."""
    return run.config.baseline.method


def metrics_of(run: RunContent) -> Table:
    """All that was measured of the views of a run: a row for each group of them."""
    groups = run.measured.groups if run.measured else {}
    columns = [Column("views"), *(Column(label) for label, _ in LABELS.values()), Column("images")]
    rows = []
    for name, summary in groups.items():
        cells = [form.format(summary[key]) if key in summary else "" for key, (_, form) in LABELS.items()]
        rows.append([name, *cells, f"{summary['images']:.0f}" if "images" in summary else ""])
    return Table(f"{run.name}: views of the recording", columns, rows).without_empty_columns()


def settings_tables(runs: Sequence[RunContent]) -> list[Table]:
    """The settings that differ between runs, and those that they share but that are not the defaults."""
    differing, shared = [], []
    for setting in SETTINGS.values():
        values = [setting.of(run.config) for run in runs]
        if any(value != values[0] for value in values):
            texts = [setting_text(setting, value) for value in values]
            differing.append([setting.key, setting_text(setting, setting.default), *texts])
        elif values[0] not in (setting.default, None):  # None: another setting has taken its place
            default, value = (setting_text(setting, v) for v in (setting.default, values[0]))
            shared.append([setting.key, default, value])
    columns = [Column("setting"), Column("default", is_text=True)]
    both = [*columns, *(Column(run.name, is_text=True) for run in runs)]
    alike = [*columns, Column("all runs" if len(runs) > 1 else runs[0].name, is_text=True)]
    tables = [
        Table("Settings that differ between the runs", both, differing),
        Table("Settings that are not the defaults" + ", in all runs" * (len(runs) > 1), alike, shared),
    ]
    return [table for table in tables if table.rows]


def setting_text(setting: Setting, value: Any) -> str:
    """A value for a table: what is long is cut, and of a path the name is left."""
    text = as_text(value)
    if setting.kind is str:
        text = text.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 10]} … {text[-8:]}"


def machine_lines(run: RunContent) -> list[str]:
    """What a run was trained on: a line for each time that training began or went on elsewhere."""
    if not run.machines:
        return ["The run does not say which machine it was trained on: it is of an older version."]
    lines = [machine_text(entry) for entry in run.machines]
    if len(lines) == 1:
        return lines
    starts = [entry["from_step"] for entry in run.machines]
    return [f"From step {start}: {line}" for start, line in zip(starts, lines, strict=True)]


def machine_text(entry: dict[str, Any]) -> str:
    """An entry of machine.json on a line."""

    def text(key: str) -> str:
        value = entry.get(key)
        return value if isinstance(value, str) else "unknown"

    cores, threads = (number(entry.get(key)) for key in ("cores", "threads"))
    computed = f"{cores or 0:.0f} cores, {threads or 0:.0f} thread{'s' * (threads != 1)}"
    gpu = text("gpu") if entry.get("gpu") else "no GPU"
    commit = f" (commit {text('commit')})" if entry.get("commit") else ""
    versions = f"PyTorch {text('torch')}, Python {text('python')}, wim-fast {text('wim_fast')}{commit}"
    return (
        f"{text('processor')}, {computed}, {gpu}; backend {text('backend')}; {versions}; {text('date')[:10]}."
    )
