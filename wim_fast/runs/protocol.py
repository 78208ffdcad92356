"""`wim-fast protocol`: a published evaluation protocol, measured on one or more runs."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wim_fast.evaluation.metrics import Lpips, load_lpips
from wim_fast.evaluation.protocol_table import (
    COLUMNS,
    DAGGER,
    Line,
    latex,
    mean_line,
    means,
    subject_line,
    table,
)
from wim_fast.evaluation.protocols import JOINTS, PROTOCOLS, Protocol, measured_views, numbers
from wim_fast.files import output_folder
from wim_fast.runs.measuring import Views, finite, measure_groups
from wim_fast.runs.protocol_runs import Candidate, check, check_seeds, find_protocol, named_runs
from wim_fast.terminal import console, say, say_written


def protocol(args: argparse.Namespace) -> None:
    """Checks all runs, then measures, prints and writes."""
    if args.list:
        for known in PROTOCOLS.values():
            describe(known)
        return
    chosen = find_protocol(args.name, args.frames)
    candidates = [check(chosen, text, args.backend, args.anyway) for text in named_runs(args.runs)]
    check_seeds(candidates)
    with output_folder(args.output or Path("runs") / f"protocol-{chosen.name}") as folder:
        lpips = load_lpips() if "lpips" in chosen.metrics else "is no metric of this protocol"
        results = [measure(chosen, candidate, lpips) for candidate in candidates]
        lines = lines_of(results)
        notes = notes_of(chosen, results, lpips)
        console.print(table(chosen, lines))
        for note in notes:
            say(note)
        files = folder / "protocol.json", folder / "table.tex"
        report = report_of(chosen, results, lines, lpips, notes)
        files[0].write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        # what is missing on this machine, and where, is not for publication
        public = [note.split(":")[0] + "." if note.startswith("LPIPS") else note for note in notes]
        files[1].write_text(latex(chosen, lines, public), encoding="utf-8")
        say_written(files)


@dataclass(frozen=True)
class Result:
    """What was measured of a run: a row for each view or frame, and their means."""

    candidate: Candidate
    rows: list[dict[str, float]]
    summary: dict[str, float]


def measure(protocol: Protocol, candidate: Candidate, lpips: Lpips | str) -> Result:
    """Renders and measures all views of the protocol, or regresses the joints of all frames."""
    if protocol.group == JOINTS:
        rows = joint_rows(protocol, candidate)
    else:
        views: Views = measured_views(protocol, candidate.subject, candidate.trained)
        available = None if isinstance(lpips, str) else lpips
        name = candidate.subject.name
        measured = measure_groups(
            candidate.run, {protocol.group: views}, candidate.poses, available, what=name
        )
        rows = measured.rows[protocol.group]
    return Result(candidate, rows, means(rows, protocol.metrics))


def joint_rows(protocol: Protocol, candidate: Candidate) -> list[dict[str, float]]:
    """MPJPE of each test frame in millimetres."""
    found, run = candidate.poses.joint_distances(), candidate.run
    assert found is not None  # checked
    factor = run.coordinate_scale * protocol.millimetres_per_unit
    errors = {"mpjpe": found.paper_ridge, "mpjpe_ridge": found.ridge, "mpjpe_mean_pose": found.mean_pose}
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
        if run.step < run.iterations:
            notes.append(f"{name} is at step {run.step} of {run.iterations} of its training.")
    if protocol.train_frames != (usual := PROTOCOLS[protocol.name].train_frames):
        notes.append(f"Frames {protocol.train_frames} in place of {usual}.")
    if "lpips" in protocol.metrics and isinstance(lpips, str):
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


def report_of(
    protocol: Protocol,
    results: Sequence[Result],
    lines: Sequence[Line],
    lpips: Lpips | str,
    notes: Sequence[str],
) -> dict[str, Any]:
    """What protocol.json holds: the protocol, the table, and of every run all rows that it follows from."""
    return {
        "protocol": dataclasses.asdict(protocol),
        "lpips": lpips if isinstance(lpips, str) else "measured",
        "notes": list(notes),
        "table": [
            {
                "name": line.name,
                "runs": line.runs,
                "as_published": not line.marked,
                **{key: value._asdict() for key, value in line.values.items()},
            }
            for line in lines
        ],
        "runs": [run_report(result) for result in results],
    }


def run_report(result: Result) -> dict[str, Any]:
    """Of one run."""
    candidate, run = result.candidate, result.candidate.run
    return {
        "subject": candidate.subject.name,
        "run": str(run.path),
        "scene": str(candidate.contents.path),
        "seed": run.config.schedule.seed,
        "step": run.step,
        "iterations": run.iterations,
        "size": candidate.trained.size,
        "cameras_trained_on": list(run.camera_ids),
        "frames_trained_on": list(run.frame_ids),
        "differences": candidate.differs,
        "driving": candidate.poses.driving(),
        "summary": result.summary,
        "rows": [{key: finite(value) for key, value in row.items()} for row in result.rows],
    }


def describe(protocol: Protocol) -> None:
    """A protocol for people."""
    cameras: dict[tuple[int, ...], list[str]] = {}
    for subject in protocol.subjects:
        cameras.setdefault(subject.train_cameras, []).append(subject.name)
    say(f"{protocol.name}  {protocol.title}")
    for ids, names in cameras.items():
        say(f"  train     cameras {numbers(ids)}; frames {protocol.train_frames} of {', '.join(names)}")
    count = "all" if protocol.test_count is None else f"{protocol.test_count}"
    where = "all others" if protocol.test_cameras is None else numbers(protocol.test_cameras)
    views = f"cameras {where}; {count} of the frames {protocol.test_frames}"
    say(f"  test      {protocol.group}" + ("" if protocol.group == JOINTS else f": {views}"))
    say(f"  images    {protocol.size} pixels, background {protocol.background:g}")
    say(f"  metrics   {'; '.join(COLUMNS[key].heading for key in protocol.metrics)}")
    say(f"  source    {protocol.source}")
    for number, guess in enumerate(protocol.guesses):
        say(f"  {'' if number else 'guesses':10}{guess}")
    say("")
