#!/usr/bin/env python
"""How well the joints of a trained run are found, where the truth is known (scenes of tools/make_robot_scene.py).

Every joint of the robot that moved is matched with one axis of the fitted mechanism: by direction, place and how their
values go together. A kind is right if it is the robot's; the error of an axis is between the lines in the world, rms
over the frames.

    python tools/joint_benchmark.py runs/franka_1 --parts-found auto
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import linear_sum_assignment

from wim_fast.commands.model_flags import add_parts_found
from wim_fast.posing.joints.mechanism import AXIAL, stage_frames
from wim_fast.posing.skeleton import PartsFound
from wim_fast.runs.mechanism import fit_run
from wim_fast.runs.run import load_run

MOVED = {"revolute": np.radians(5.0), "prismatic": 0.05}
"""A joint of the robot that went less far, radians or units of the scene, is not asked for."""


@dataclass(frozen=True)
class Axis:
    """An axis over T frames: direction and a point (T, 3), values (T,), radians or units of the scene."""

    name: str
    kind: str
    direction: np.ndarray
    point: np.ndarray
    values: np.ndarray

    @property
    def span(self) -> float:
        return float(np.ptp(self.values))


def true_axes(file: Path, frames: list[int]) -> list[Axis]:
    """Of the robot's joints that moved."""
    truth = np.load(file)
    if "joint_axes" not in truth:
        raise SystemExit(f"error: {file}: holds no axes of joints. Make the scene again with this version")
    found = [
        Axis(
            str(name), str(kind), *(truth[key][frames, k] for key in ("joint_axes", "joints", "joint_values"))
        )
        for k, (name, kind) in enumerate(zip(truth["joint_names"], truth["joint_kinds"], strict=True))
    ]
    return [axis for axis in found if axis.span > MOVED.get(axis.kind, 0.0)]


def found_axes(path: Path, parts_found: PartsFound) -> tuple[list[Axis], list[int]]:
    """Of the mechanism of a run, units of the scene, and the frames it was trained on."""
    run = load_run(path)
    fitted = fit_run(run, parts_found).mechanism
    frames = stage_frames(fitted, len(run.frame_ids))
    axes = []
    for part, joint in enumerate(fitted.joints):
        if joint.kind in AXIAL:
            for k, values in enumerate(joint.values().T):
                place = frames[part][k + 1]
                scale = run.coordinate_scale
                values = values * (scale if joint.kind == "prismatic" else 1.0)
                name = f"{fitted.tree.parent[part]} to {part}"
                axes.append(Axis(name, joint.kind, place[:, :3, 2], scale * place[:, :3, 3], values))
        elif joint.kind in ("ball", "fixed") and fitted.tree.parent[part] >= 0:
            print(f"part {fitted.tree.parent[part]} to {part}: {joint.kind}")
    return axes, list(run.frame_ids)


def angle(a: Axis, b: Axis) -> float:
    """Degrees between the lines, rms over the frames."""
    cosine = np.clip(np.abs((a.direction * b.direction).sum(axis=1)), 0, 1)
    return float(np.degrees(np.sqrt((np.arccos(cosine) ** 2).mean())))


def distance(a: Axis, b: Axis) -> float:
    """Of the shortest way between the lines, mean over the frames; of a slide, none."""
    if "prismatic" in (a.kind, b.kind):
        return 0.0
    normal = np.cross(a.direction, b.direction)
    length = np.linalg.norm(normal, axis=1)
    apart = b.point - a.point
    across = apart - (apart * a.direction).sum(axis=1, keepdims=True) * a.direction
    skew = np.abs((apart * normal).sum(axis=1)) / np.maximum(length, 1e-9)
    return float(np.where(length > 0.2, skew, np.linalg.norm(across, axis=1)).mean())


def together(a: Axis, b: Axis) -> float:
    """|correlation| of the values."""
    return float(abs(np.corrcoef(a.values, b.values)[0, 1])) if min(a.span, b.span) > 0 else 0.0


def report(truth: list[Axis], found: list[Axis], extent: float) -> Table:
    """A row per joint of the robot, and what is right in the title."""
    cost = np.array(
        [
            [angle(t, f) / 20 + distance(t, f) / (0.1 * extent) + 2 * (1 - together(t, f)) for f in found]
            for t in truth
        ]
    )
    rows, columns = linear_sum_assignment(cost.reshape(len(truth), len(found)))
    match = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    table = Table()
    for heading in ("joint", "kind", "span", "parts", "found", "axis off", "apart", "span", "correlation"):
        table.add_column(heading)
    right, close = 0, 0
    for k, t in enumerate(truth):
        if k not in match:
            table.add_row(t.name, t.kind, _span(t), "none")
            continue
        f = found[match[k]]
        right += f.kind == t.kind and cost[k, match[k]] < 3
        close += angle(t, f) < 3
        apart = f"{distance(t, f) / extent:.1%}"
        table.add_row(
            t.name,
            t.kind,
            _span(t),
            f.name,
            f.kind,
            f"{angle(t, f):.1f}°",
            apart,
            _span(f),
            f"{together(t, f):.3f}",
        )
    kinds = f"{right} of {len(truth)} kinds right ({len(found)} axes found)"
    table.title = f"{kinds}, {close} of {len(truth)} axes within 3°"
    return table


def _span(axis: Axis) -> str:
    return f"{axis.span:.3g}" if axis.kind == "prismatic" else f"{np.degrees(axis.span):.0f}°"


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n    python")[0])
    parser.add_argument("run", type=Path, nargs="+", help="trained on a scene of tools/make_robot_scene.py")
    parser.add_argument("--truth", type=Path, help="gt.npz with the truth (default: that in the run's scene)")
    add_parts_found(parser, None, "the joints between N bodies")
    args = parser.parse_args()
    for path in args.run:
        found, frames = found_axes(path, args.parts_found)
        file = args.truth or Path(load_run(path).config.scene.scene) / "gt.npz"
        points = np.load(file)["points"]
        extent = float(np.ptp(points.reshape(-1, 3), axis=0).max())
        Console(width=130).print(path, report(true_axes(file, frames), found, extent))


if __name__ == "__main__":
    main()
