"""A published evaluation protocol, measured on one or more runs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wim_fast.evaluation.metrics import Lpips, load_lpips
from wim_fast.evaluation.protocols import JOINTS, NOVEL_POSES, OUR_DRIVING, Protocol, measured_views
from wim_fast.evaluation.summary import VIEW_METRICS, Line, mean_line, means, subject_line
from wim_fast.files import output_folder
from wim_fast.runs.evaluate import Views, evaluate_groups, finite
from wim_fast.runs.methods import open_run
from wim_fast.runs.protocol.candidates import JOINTS_MEASURED, Candidate, check_run, check_seeds
from wim_fast.runs.protocol.tables import latex
from wim_fast.runs.recording_poses import RecordingPoses, published_driver
from wim_fast.runs.render import Progress
from wim_fast.runs.result_table import DAGGER
from wim_fast.sections import OURS


@dataclass(frozen=True)
class ProtocolReport:
    """A protocol measured on some runs.

    Attributes:
        lines: of the table: one per subject, and their mean.
        notes: what must be known beside the numbers.
        lpips: "measured", or why it is not.
    """

    protocol: Protocol
    results: list[Result]
    lines: list[Line]
    notes: list[str]
    lpips: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the protocol, the table, and of every run all rows that it follows from."""
        return {
            "protocol": dataclasses.asdict(self.protocol),
            "lpips": self.lpips,
            "notes": self.notes,
            "table": [
                {
                    "name": line.name,
                    "runs": line.runs,
                    "as_published": not line.marked,
                    **{key: value._asdict() for key, value in line.values.items()},
                }
                for line in self.lines
            ],
            "runs": [run_report(result) for result in self.results],
        }


def measure_protocol(
    protocol: Protocol,
    runs: Sequence[tuple[str | None, Path]],
    *,
    backend: str = "auto",
    anyway: bool = False,
    on_progress: Progress | None = None,
) -> ProtocolReport:
    """Checks all runs, then measures them.

    Args:
        runs: names of subjects (None: as the folders of their scenes say) and folders of runs.
        anyway: measure runs that were trained otherwise, and mark them, in place of a UserError.
    """
    candidates = [check_run(protocol, open_run(path, backend), name, anyway) for name, path in runs]
    check_seeds(candidates)
    wanted = "lpips_vgg" in protocol.metrics + protocol.our_metrics
    lpips = load_lpips("vgg") if wanted else "is not a metric of this protocol"
    results = [measure(protocol, candidate, lpips, on_progress) for candidate in candidates]
    notes = notes_of(protocol, results, lpips)
    told = lpips if isinstance(lpips, str) else "measured"
    return ProtocolReport(protocol, results, lines_of(results), notes, told)


def write_protocol(report: ProtocolReport, output: Path | None = None) -> list[Path]:
    """protocol.json and table.tex. `output`: a folder; None: runs/protocol-NAME."""
    with output_folder(output or Path("runs") / f"protocol-{report.protocol.name}") as folder:
        data, table = folder / "protocol.json", folder / "table.tex"
        data.write_text(json.dumps(report.to_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        # what is missing on this machine, and where, is not for publication
        public = [note.split(":")[0] + "." if note.startswith("LPIPS") else note for note in report.notes]
        table.write_text(latex(report.protocol, report.lines, public), encoding="utf-8")
        return [data, table]


@dataclass(frozen=True)
class Result:
    """What was measured of a run: a row for each view or frame, and their means."""

    candidate: Candidate
    rows: list[dict[str, float]]
    summary: dict[str, float]


def measure(
    protocol: Protocol, candidate: Candidate, lpips: Lpips | str, on_progress: Progress | None = None
) -> Result:
    """Renders and measures all views of the protocol, or regresses the joints of all frames."""
    if protocol.group == JOINTS:
        rows = joint_rows(protocol, candidate)
    elif protocol.group == NOVEL_POSES:
        fit = published_driver(protocol.driving_scale)
        published = RecordingPoses(candidate.run, candidate.contents, fit)
        rows = view_rows(protocol, candidate, published, lpips, on_progress)
        driven_by_us = view_rows(protocol, candidate, candidate.poses, lpips, on_progress)
        for row, ours in zip(rows, driven_by_us, strict=True):
            row |= {f"{key}{OUR_DRIVING}": value for key, value in ours.items() if key in VIEW_METRICS}
    else:
        rows = view_rows(protocol, candidate, candidate.poses, lpips, on_progress)
    return Result(candidate, rows, means(rows, protocol.metrics + protocol.our_metrics))


def view_rows(
    protocol: Protocol,
    candidate: Candidate,
    poses: RecordingPoses,
    lpips: Lpips | str,
    on_progress: Progress | None,
) -> list[dict[str, float]]:
    """The metrics of every view of the protocol, in these poses."""
    views: Views = measured_views(protocol, candidate.subject, candidate.trained)
    available = {} if isinstance(lpips, str) else {"lpips_vgg": lpips}
    name, group = candidate.subject.name, protocol.group
    rows, _ = evaluate_groups(
        candidate.run, {group: views}, poses, available, on_progress=on_progress, what=name
    )
    return rows[group]


def joint_rows(protocol: Protocol, candidate: Candidate) -> list[dict[str, float]]:
    """MPJPE of each test frame in millimetres."""
    found, run = candidate.poses.joint_distances(JOINTS_MEASURED), candidate.run
    assert found is not None  # checked
    factor = run.coordinate_scale * protocol.millimetres_per_unit
    errors = {"mpjpe": found.least_norm, "mpjpe_ridge": found.ridge, "mpjpe_mean_pose": found.mean_pose}
    return [
        {
            "frame": run.frame_ids[frame],
            **{name: float(factor * of[k].mean()) for name, of in errors.items()},
        }
        for k, frame in enumerate(found.test_frames)
    ]


def lines_of(results: Sequence[Result]) -> list[Line]:
    """A line for each subject, in the order given, and their mean."""
    subjects: dict[str, list[Result]] = {}
    for result in results:
        subjects.setdefault(result.candidate.subject.name, []).append(result)
    lines = [
        subject_line(name, [r.summary for r in of], any(r.candidate.differs for r in of))
        for name, of in subjects.items()
    ]
    mean = mean_line(lines)
    return [*lines, mean] if mean else lines


def notes_of(protocol: Protocol, results: Sequence[Result], lpips: Lpips | str) -> list[str]:
    """What must be known beside the numbers."""
    notes = []
    for result in results:
        run = result.candidate.run
        name = f"{result.candidate.subject.name} ({run.path.resolve().name})"
        if differs := result.candidate.differs:
            notes.append(f"{DAGGER} {name} was not trained as the protocol says: {'; '.join(differs)}.")
        if run.config.baseline.method != OURS:
            notes.append(f"{name} is a baseline: {run.config.baseline.label}.")
        if run.step < run.iterations:
            notes.append(f"{name} is at {run.how_far} of its training.")
    if "lpips_vgg" in protocol.metrics + protocol.our_metrics and isinstance(lpips, str):
        notes.append(f"LPIPS is not measured: {lpips}.")
    here = {result.candidate.subject.name for result in results}
    missing = [subject.name for subject in protocol.subjects if subject.name not in here]
    if missing:
        notes.append(f"Subjects of the protocol that are not here: {', '.join(missing)}.")
    if len(here) < len(results):
        seeds = [(r.candidate.subject.name, r.candidate.run.config.schedule.seed) for r in results]
        for name in sorted({name for name, seed in seeds if seeds.count((name, seed)) > 1}):
            notes.append(f"Runs of {name} have the same seed.")
        notes.append("± is the sample standard deviation over the runs of a subject.")
    return notes


def run_report(result: Result) -> dict[str, Any]:
    """Of one run."""
    candidate, run = result.candidate, result.candidate.run
    return {
        "subject": candidate.subject.name,
        "run": str(run.path),
        "method": run.config.baseline.label,
        "scene": str(candidate.contents.path),
        "seed": run.config.schedule.seed,
        "step": run.step,
        "iterations": run.iterations,
        "size": candidate.trained.size,
        "cameras_trained_on": list(run.camera_ids),
        "frames_trained_on": list(run.frame_ids),
        "differences": candidate.differs,
        "our_driving": candidate.poses.driving(),
        "summary": result.summary,
        "rows": [{key: finite(value) for key, value in row.items()} for row in result.rows],
    }
