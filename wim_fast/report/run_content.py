"""What the folder of a run says, read as files: settings, course, measurements, machine, pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

from wim_fast.config import Config, from_yaml
from wim_fast.evaluation.abrupt_turns import AbruptTurns
from wim_fast.evaluation.confirmation import Unconfirmed
from wim_fast.evaluation.joints import JointError
from wim_fast.evaluation.protocols import NOVEL_POSES, NOVEL_VIEWS
from wim_fast.evaluation.summary import VIEW_METRICS
from wim_fast.report.course import Course, number, read_course
from wim_fast.runs.evaluate import ALIGNED_VIEWS, TRAINING_VIEWS
from wim_fast.runs.evaluation_table import driving_note
from wim_fast.runs.final_evaluation import FILED_AS
from wim_fast.training.machine import read_machines
from wim_fast.training.run_folder import RunFolder

GROUPS = (TRAINING_VIEWS, NOVEL_VIEWS, ALIGNED_VIEWS, NOVEL_POSES)

Made = TypeVar("Made")


@dataclass(frozen=True)
class Measured:
    """What was measured of a run, as far as its file could be understood.

    Attributes:
        by: the command: `wim-fast evaluate`, or `wim-fast train` when it ended.
        groups: {group of views: {metric: mean}}.
        driving: what drives the novel poses, on a line; empty without these.
    """

    by: str
    step: float | None
    groups: dict[str, dict[str, float]]
    joint_error: JointError | None
    unconfirmed: Unconfirmed | None
    abrupt_turns: AbruptTurns | None
    driving: str


@dataclass(frozen=True)
class RunContent:
    """A run as its files have it.

    Attributes:
        name: on the page; no two runs share one.
        measured: the fullest measurement of its last step; None if there is none.
        machines: see `training.machine`.
        previews: of the training, oldest first.
        comparisons: film and rendering side by side, from `wim-fast evaluate`.
        problems: what could not be read.
    """

    name: str
    folder: RunFolder
    config: Config
    course: Course
    measured: Measured | None
    machines: list[dict[str, Any]]
    previews: list[Path]
    comparisons: list[Path]
    videos: list[Path]
    problems: list[str]

    @property
    def scene(self) -> str:
        """Its name; where it lies is no reader's business."""
        return Path(self.config.scene.scene).name

    @property
    def steps(self) -> int | None:
        """That were taken, as far as is known."""
        known = [
            *self.course.steps[-1:],
            *([self.measured.step] if self.measured and self.measured.step else []),
        ]
        return int(max(known)) if known else None

    @property
    def minutes(self) -> float | None:
        """Of training, from its first step to its last."""
        return float(self.course.seconds[-1]) / 60 if len(self.course) else None


def read_run(path: Path, name: str) -> RunContent:
    """UserError if its config.yaml cannot be read; all else may be missing or damaged."""
    folder = RunFolder(path)
    config, course = from_yaml(folder.config), read_course(folder.metrics)
    problems = []
    if damaged := course.damaged:
        where = ", ".join(map(str, damaged[:5])) + (", ..." if len(damaged) > 5 else "")
        lines = "line" if len(damaged) == 1 else "lines"
        problems.append(f"metrics.jsonl: {len(damaged)} damaged {lines} left out (number {where}).")
    evaluation = path / "evaluation"
    return RunContent(
        name=name,
        folder=folder,
        config=config,
        course=course,
        measured=measurement(folder.evaluation, evaluation / "metrics.json", problems),
        machines=read_machines(folder.machine),
        previews=files_inside(path, "preview/step_*.png"),
        comparisons=files_inside(path, "evaluation/comparison.png"),
        videos=files_inside(path, "**/*.mp4"),
        problems=problems,
    )


def files_inside(folder: Path, pattern: str) -> list[Path]:
    """Files of that pattern, by name; no links that lead out of the folder, which may come from anybody."""
    root = folder.resolve()
    return sorted(p for p in folder.glob(pattern) if p.is_file() and p.resolve().is_relative_to(root))


def measurement(at_the_end: Path, by_command: Path, problems: list[str]) -> Measured | None:
    """What `wim-fast evaluate` measured, unless training has gone on since then; else what training did."""
    final, asked = read_json(at_the_end, problems), read_json(by_command, problems)
    if final is not None and asked is not None and final.get("step") != asked.get("step"):
        problems.append("evaluation/ is of another step than evaluation.json, and is not shown.")
        asked = None
    if asked is not None:
        groups = asked.get("summary")
        return measured("wim-fast evaluate", asked, groups if isinstance(groups, dict) else {}, "joint_error")
    if final is not None:
        groups = {name: final[key] for name, key in FILED_AS.items() if key in final}
        return measured("wim-fast train", final, groups, "joints")
    problems.append("It is not measured: wim-fast evaluate does that.")
    return None


def measured(by: str, content: Mapping[str, Any], groups: Mapping[str, Any], joints: str) -> Measured:
    """What a measurement's JSON says."""
    summaries = {}
    for name in GROUPS:
        found = numbers(groups.get(name), (*VIEW_METRICS, "images"))
        if found:
            summaries[name] = found
    error = made(JointError, numbers(content.get(joints)))
    unconfirmed = made(Unconfirmed, numbers(content.get("unconfirmed")))
    turns, driving = turns_filed(content.get("abrupt_turns")), driving_text(content.get("driving"))
    return Measured(by, number(content.get("step")), summaries, error, unconfirmed, turns, driving)


def turns_filed(content: Any) -> AbruptTurns | None:
    """Of an evaluation's JSON; None if it has none, or is damaged there."""
    if not isinstance(content, dict):
        return None
    parts, frames = (integers(content.get(name)) for name in AbruptTurns._fields)
    return None if parts is None or frames is None else AbruptTurns(parts, frames)


def integers(content: Any) -> tuple[int, ...] | None:
    """A JSON list of whole numbers; None if it is anything else."""
    whole = isinstance(content, list) and all(type(n) is int for n in content)
    return tuple(content) if whole else None


def driving_text(content: Any) -> str:
    """The note of an evaluation's JSON; empty if nothing was driven."""
    if not isinstance(content, dict):
        return ""
    driver, error = content.get("driven_by"), number(content.get("held_out_error"))
    return driving_note(driver, error) if isinstance(driver, str) and error is not None else ""


def numbers(content: Any, keys: tuple[str, ...] | None = None) -> dict[str, float]:
    """The numbers among the values of a JSON object, of these keys or of all."""
    if not isinstance(content, dict):
        return {}
    found = {key: number(content.get(key)) for key in (content if keys is None else keys)}
    return {key: value for key, value in found.items() if value is not None}


def made(cls: Callable[..., Made], content: dict[str, float]) -> Made | None:
    """A class of numbers; None if its file lacks some, as one of an older version may."""
    wanted = signature(cls).parameters
    return cls(**{name: content[name] for name in wanted}) if wanted.keys() <= content.keys() else None


def read_json(path: Path, problems: list[str]) -> dict[str, Any] | None:
    """A JSON object; None if there is no such file, or it is something else, which `problems` then says."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        problems.append(f"{path.name} is damaged.")
        return None
    return content
