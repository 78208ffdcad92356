#!/usr/bin/env python
"""Which bodies moved, and how they hang together: what is found of robots whose truth is known.

Makes a scene of each robot (tools/make_robot_scene.py), trains a short run of it, and compares the bodies found in the
run with the links of the robot. Scenes and runs are kept: a second call only looks at them again. A robot is a name of
make_robot_scene.py's --list or a URDF, with the seed of its motion.

    python tools/structure_benchmark.py --output structure --robots kuka_iiwa:11 a1:12 hand.urdf:13

A body of the robot is what moved as one: links joined by a joint that turned by less than 5 degrees, or slid by less
than 0.05, are one, and links without a surface count to what carries them. Bodies found and true are matched one to one
by the surface they share. An edge is right when it joins two bodies that the robot joins; as a share of the edges found
or true, whichever are more. A surface point is right when the face of the exported mesh that is nearest to it in the
rest frame goes with the body that its own is matched with.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from wim_fast.export.binding import carried_by
from wim_fast.export.surface import extract_surface
from wim_fast.posing.bodies.surface import share_out
from wim_fast.posing.rigid import inverse, rigid
from wim_fast.runs.skeleton import skeleton_of

TOOLS = Path(__file__).resolve().parent
ROBOTS = (
    *("kuka_iiwa:11", "xarm6:12", "franka_panda:23"),
    *("laikago:13", "mini_cheetah:14", "aliengo:19", "vision60:21", "a1:24", "humanoid:15"),
)
TURNED, SLID = 5.0, 0.05  # degrees, units of the scene
LEAST_SURFACE = 0.003  # of the whole: less of it is no body that one could find


@dataclass(frozen=True)
class TrueBodies:
    """B bodies of a robot.

    Attributes:
        body_of_link: (L,) 0..B-1, -1 for links that carry nothing to be seen.
        edges: (B-1, 2).
    """

    body_of_link: np.ndarray
    edges: np.ndarray

    @property
    def count(self) -> int:
        return len(self.edges) + 1


@dataclass(frozen=True)
class Score:
    """Bodies, shares of the edges and of the surface that are right (see the module)."""

    true: int
    found: int
    edges: float
    surface: float


def true_bodies(
    rotation: np.ndarray, translation: np.ndarray, parents: np.ndarray, surface: np.ndarray
) -> TrueBodies:
    """What moved as one.

    Args:
        rotation, translation: (T, L, 3, 3), (T, L, 3) of the links, parents before their children.
        parents: (L,), -1 for the base.
        surface: (L,) share of the surface.
    """
    poses = rigid(rotation, translation)
    leader = np.arange(len(parents))
    for link in range(1, len(parents)):
        if not _moved(inverse(poses[:, parents[link]]) @ poses[:, link]):
            leader[link] = leader[parents[link]]
    share = np.bincount(leader, surface, len(parents))
    kept = [body for body in np.unique(leader).tolist() if share[body] >= LEAST_SURFACE]
    above = {body: _carrier(body, parents, leader, kept) for body in kept}
    roots = [body for body in kept if above[body] < 0]
    pairs = [(above[body], body) for body in kept if above[body] >= 0] + [(roots[0], r) for r in roots[1:]]
    number = {body: k for k, body in enumerate(kept)}
    edges = np.array([(number[a], number[b]) for a, b in pairs], int).reshape(-1, 2)
    return TrueBodies(np.array([number.get(body, -1) for body in leader.tolist()]), edges)


def _moved(relative: np.ndarray) -> bool:
    """Whether one link moved against the other: relative poses (T, 4, 4)."""
    rotation = relative[:, :3, :3]
    cosine = (np.einsum("tij,sij->ts", rotation, rotation).min() - 1) / 2
    turned = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return bool(turned > TURNED or np.linalg.norm(np.ptp(relative[:, :3, 3], axis=0)) > SLID)


def _carrier(body: int, parents: np.ndarray, leader: np.ndarray, kept: list[int]) -> int:
    """The nearest body above that has a surface, -1 where there is none."""
    above = int(parents[body])
    while above >= 0 and leader[above] not in kept:
        above = int(parents[leader[above]])
    return -1 if above < 0 else int(leader[above])


def score(
    truth: TrueBodies,
    link_of_point: np.ndarray,
    weight: np.ndarray,
    body_of_point: np.ndarray,
    edges: np.ndarray,
) -> Score:
    """How well bodies found agree with the true ones.

    Args:
        link_of_point, weight, body_of_point: (M,) of surface points: their link, the surface each stands for, the
            body found there.
        edges: (B-1, 2) of the bodies found.
    """
    true, count = truth.body_of_link[link_of_point], len(edges) + 1
    seen = true >= 0
    shared = np.zeros((truth.count, count))
    np.add.at(shared, (true[seen], body_of_point[seen]), weight[seen])
    rows, columns = linear_sum_assignment(-shared)
    match = dict(zip(columns.tolist(), rows.tolist(), strict=True))
    wanted = {frozenset(edge) for edge in truth.edges.tolist()}
    got = {frozenset((match.get(a, -1), match.get(b, -1))) for a, b in edges.tolist()}
    most = max(len(wanted), len(edges), 1)
    return Score(
        truth.count, count, len(got & wanted) / most, float(shared[rows, columns].sum() / shared.sum())
    )


def score_run(path: Path) -> tuple[Score, float]:
    """Of a trained run, and the seconds it took to find its bodies."""
    from wim_fast.runs.run import load_run

    run = load_run(path)
    gt = np.load(Path(run.config.scene.scene) / "gt.npz")
    frames = list(run.frame_ids)
    truth = true_bodies(
        gt["link_rotation"][frames], gt["link_translation"][frames], gt["link_parents"], gt["link_surface"]
    )
    began = time.perf_counter()
    bodies = run.bodies()
    seconds = time.perf_counter() - began
    links = gt["point_links"]
    weight = (gt["link_surface"] / np.maximum(np.bincount(links, minlength=len(gt["link_surface"])), 1))[
        links
    ]
    surface = extract_surface(run)
    carried = carried_by(run, skeleton_of(run, "auto"), surface.frame, surface.vertices)
    body = share_out(carried, surface.vertices, surface.faces, surface.colors)
    middle = surface.vertices[surface.faces].mean(axis=1)
    nearest = cKDTree(middle).query(gt["points"][frames[surface.frame]] / run.coordinate_scale)[1]
    return score(truth, links, weight, body[nearest], bodies.edges), seconds


def prepared(robot: str, args: argparse.Namespace) -> Path:
    """The run of a robot, its scene made and trained unless they are there."""
    model, _, seed = robot.rpartition(":")
    name = f"{Path(model).stem}_{seed}"
    scene, run = args.output / "scenes" / name, args.output / "runs" / name
    if not (scene / "gt.npz").is_file():
        make = (
            "--robot",
            model,
            "--seed",
            seed,
            "--cameras",
            "8",
            "--points",
            "2000",
            "--output",
            str(scene),
        )
        _run(str(TOOLS / "make_robot_scene.py"), *make, "--overwrite")
    if not (run / "evaluation.json").is_file():
        settings = {"--parts": args.parts, "--iterations": args.iterations, "--threads": args.threads}
        flags = [str(word) for pair in settings.items() for word in pair]
        _run("-m", "wim_fast", "train", "--scene", str(scene), "--output", str(run), *flags)
    return run


def _run(*command: str) -> None:
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)


def report(rows: dict[str, tuple[Score, float]]) -> Table:
    """A row per robot, and what was reached of what was wanted in the title."""
    table = Table()
    for heading in ("robot", "bodies", "found", "edges right", "surface right", "seconds"):
        table.add_column(heading, justify="right")
    for name, (s, seconds) in rows.items():
        table.add_row(name, str(s.true), str(s.found), f"{s.edges:.0%}", f"{s.surface:.1%}", f"{seconds:.1f}")
    scores = [s for s, _ in rows.values()]
    close = sum(abs(s.true - s.found) <= 1 for s in scores)
    edges, surface = (np.mean([getattr(s, what) for s in scores]) for what in ("edges", "surface"))
    table.title = (
        f"bodies within one: {close} of {len(scores)}; edges right {edges:.0%}, surface right {surface:.1%}"
    )
    return table


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the scenes and runs")
    parser.add_argument("--robots", nargs="+", default=ROBOTS, metavar="ROBOT:SEED", help="see above")
    parser.add_argument("--parts", default="auto", help="of every run, a number or auto (default: auto)")
    parser.add_argument("--iterations", type=int, default=4000, help="of every run (default: 4000)")
    parser.add_argument("--threads", type=int, default=1, help="of training (default: 1)")
    parser.add_argument("--json", type=Path, help="write the numbers there too")
    args = parser.parse_args()
    rows = {robot: score_run(prepared(robot, args)) for robot in args.robots}
    Console(width=110).print(report(rows))
    if args.json:
        numbers = {name: {**vars(s), "seconds": seconds} for name, (s, seconds) in rows.items()}
        args.json.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
