"""The runs that a protocol is measured on: opened, and checked before anything is rendered."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wim_fast.config import load_config
from wim_fast.errors import UserError
from wim_fast.evaluation.protocols import (
    JOINTS,
    NOVEL_POSES,
    NOVEL_VIEWS,
    PROTOCOLS,
    Protocol,
    Subject,
    Trained,
    differences,
    find_subject,
    measured_views,
)
from wim_fast.files import check_named_once
from wim_fast.runs.baseline_run import AnyRun
from wim_fast.runs.recording_poses import RecordingPoses
from wim_fast.scene.scene import SceneContents
from wim_fast.settings import as_text

JOINTS_MEASURED = 23  # the first ones, of SMPL or SMPL-X


def find_protocol(name: str | None) -> Protocol:
    """The protocol of that name; UserError if there is none."""
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    close = difflib.get_close_matches(name or "", PROTOCOLS, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"choose from {', '.join(PROTOCOLS)}"
    problem = f"there is no protocol {name}" if name else "no protocol was named"
    raise UserError("wim-fast protocol", problem, f"{remedy} (wim-fast protocol --list)")


def named_runs(texts: Sequence[str]) -> list[tuple[str | None, Path]]:
    """`SUBJECT=RUN` or `RUN` as pairs."""
    pairs: list[tuple[str | None, Path]] = []
    for text in texts:
        name, equals, path = text.partition("=")
        named = bool(equals) and not Path(text).exists()
        pairs.append((name.strip(), Path(path)) if named else (None, Path(text)))
        if named and not name.strip():
            raise UserError(text, "names no subject", "write SUBJECT=RUN")
    if not pairs:
        raise UserError("wim-fast protocol", "no run was named", "give folders that `wim-fast train` made")
    check_named_once([path for _, path in pairs], "run")
    return pairs


@dataclass(frozen=True)
class Candidate:
    """A run that is to be measured."""

    run: AnyRun
    contents: SceneContents
    subject: Subject
    poses: RecordingPoses
    trained: Trained
    differs: list[str]


def check_run(protocol: Protocol, run: AnyRun, name: str | None, anyway: bool) -> Candidate:
    """UserError if a run cannot be measured, or was not trained as the protocol says and `anyway` is off.

    Args:
        name: of the subject; None: as the folder of its scene says.
    """
    contents = run.scan_recording()
    subject = find_subject(protocol, run.config.scene.scene, name)
    poses = RecordingPoses(run, contents)
    first = run.load_scene(cameras=run.camera_ids[:1], frames=poses.trained[:1])
    trained = Trained(
        cameras=run.camera_ids,
        frames=run.frame_ids,
        recorded_cameras=contents.camera_ids,
        recorded_frames=contents.frame_ids,
        size=max(first.size),
        background=run.config.scene.background,
        driven_by=None if poses.driver is None else poses.driver.name,
        scene=run.config.scene.scene,
    )
    differs = differences(protocol, subject, trained)
    if differs and not anyway:
        command = shlex.join(train_command(protocol, subject, trained.scene))
        problem = f"was not trained as {protocol.name} says: {'; '.join(differs)}"
        raise UserError(
            run.path, problem, f"train it with: {command} (or measure it as it is, marked: --anyway)"
        )
    if protocol.group == JOINTS and poses.joint_distances(JOINTS_MEASURED) is None:
        problem = "the recording has no true joints, or too few frames, to measure joints with"
        remedy = "put the body model beside it (docs/data.md), or joints into gt.npz"
        raise UserError(contents.path, problem, remedy)
    if protocol.group == NOVEL_POSES and poses.driver is None:
        problem = "there are no true points to drive the novel poses with"
        remedy = "put the body model beside it (docs/data.md), or points into gt.npz"
        if len(run.frame_ids) == len(contents.frame_ids):
            problem, remedy = "all its frames were trained on", f"train on {protocol.train_frames}"
        raise UserError(contents.path, problem, remedy)
    if protocol.group != JOINTS:
        measured_views(protocol, subject, trained)  # says what is missing before anything is rendered
    return Candidate(run, contents, subject, poses, trained, differs)


def check_seeds(candidates: Sequence[Candidate]) -> None:
    """UserError when the runs of one subject differ in more than their seeds."""
    firsts: dict[str, Candidate] = {}
    for candidate in candidates:
        first = firsts.setdefault(candidate.subject.name, candidate)
        a, b = first.trained, candidate.trained
        if a.scene != b.scene:
            what = "recordings"
        elif set(a.cameras) != set(b.cameras):
            what = "cameras"
        elif set(a.frames) != set(b.frames):
            what = "frames"
        elif (a.size, a.background) != (b.size, b.background):
            what = "images"
        else:
            continue
        name = candidate.subject.name
        problem = (
            f"and {first.run.path} are both {name}, but trained on different {what}: no seeds to average"
        )
        raise UserError(candidate.run.path, problem, "measure them separately")


def train_command(protocol: Protocol, subject: Subject, scene: str) -> list[str]:
    """The command line that trains as the protocol says; only what the settings do not say already."""
    wanted: dict[str, Any] = {
        "train_cameras": subject.train_cameras,
        "frames": protocol.train_frames,
        "size": protocol.size,
        "background": protocol.background,
    }
    if protocol.group == NOVEL_VIEWS and protocol.test_cameras:
        wanted["test_cameras"] = protocol.test_cameras
    command = ["wim-fast", "train"]
    if subject.config:
        command += ["--config", subject.config]
    command += ["--scene", scene]
    had = load_config(scene, config_file=subject.config).scene
    for name, value in wanted.items():
        if getattr(had, name) != value:
            command += [f"--{name.replace('_', '-')}", *as_text(value).split()]
    return command
