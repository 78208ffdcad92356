#!/usr/bin/env python
"""What imperfect film costs: trains on a clean scene and on spoiled ones, and judges by clean cameras never seen.

    python tools/film_benchmark.py SCENE --output FOLDER --train-cameras 0 1 2 3 4 -- --parts 10 --iterations 2500

What stands after `--` goes to `wim-fast train`. Films and runs stay in FOLDER and are used again if they are there.
Where a run has corrected its cameras (`cameras.json`), the last column says by how many pixels rms those given and
those corrected miss the true points, after the similarity of the world that fits best: no film determines that.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import imperfect_film
import numpy as np
from imperfect_film import read_film, rms
from rich.console import Console
from rich.table import Table
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from wim_fast.errors import UserError
from wim_fast.recordings.cameras import Array, Cameras, project
from wim_fast.runs.run import load_run

ROWS = {
    "clean": None,
    "colors": ["--colors"],
    "masks": ["--masks"],
    "cameras": ["--cameras"],
    "all": [],
}
FRAME_STEP = 10  # of the frames that are judged
FITTED_POINTS = 500


def main() -> None:
    args = arguments()
    table = Table("film", "novel-view PSNR", "IoU", "joints", "cameras px", title=str(args.scene))
    for row in args.rows:
        film = args.scene if ROWS[row] is None else make_film(row, args)
        run = args.output / f"run_{row}"
        if not (run / "evaluation.json").exists():
            train = [sys.executable, "-m", "wim_fast", "train", "--scene", str(film), "--output", str(run)]
            train += ["--train-cameras", *map(str, args.train_cameras), *args.flags]
            subprocess.run(train, check=True)
        table.add_row(row, *judged(run, film))
    Console().print(table)


def make_film(row: str, args: argparse.Namespace) -> Path:
    """The spoiled film of a row."""
    film = Path(args.output / f"film_{row}")
    if not (film / "truth.json").exists():
        spoil = [str(args.scene), "--output", str(film), "--seed", str(args.seed), *(ROWS[row] or ())]
        imperfect_film.main([*spoil, "--train-cameras", *map(str, args.train_cameras), "--overwrite"])
    return film


def judged(path: Path, film: Path) -> list[str]:
    """The columns of a run: clean cameras that it was not trained on, joints, its own cameras."""
    run = load_run(path)
    contents = run.scan_recording()
    unseen = [c for c in contents.camera_ids if c not in run.camera_ids]
    evaluation = run.evaluate(unseen, range(0, len(contents.frame_ids), FRAME_STEP))
    mean = evaluation.summary["novel views"]
    joints = evaluation.joint_error
    error = "" if joints is None else f"{100 * joints.error / joints.extent:.2f} %"
    return [f"{mean['psnr']:.2f} dB", f"{mean['iou']:.3f}", error, camera_column(path, film)]


def camera_column(run: Path, film: Path) -> str:
    """Pixels by which the cameras miss, as given and as corrected; empty where nothing was corrected."""
    corrected, truth = run / "cameras.json", film / "truth.json"
    if not corrected.exists() or not truth.exists():
        return ""
    given, points = read_film(film).cameras, read_film(film).points
    true = with_cameras(given, json.loads(truth.read_text())["cameras"])
    if points is None:
        return ""
    some = np.random.default_rng(0).permutation(points.reshape(-1, 3))[:FITTED_POINTS]
    content = json.loads(corrected.read_text())["cameras"]
    positions = [given.ids.index(int(c)) for c in content]
    before, after = (
        misses(cameras.select(positions), true.select(positions), some)
        for cameras in (given, with_cameras(given, content))
    )
    return f"{before:.2f} -> {after:.2f}"


def with_cameras(cameras: Cameras, content: dict[str, Any]) -> Cameras:
    """The cameras with those of {id: as in cam_000.json} in their places."""
    K, T = cameras.intrinsics.copy(), cameras.T_camera_world.copy()
    for v, camera in enumerate(cameras.ids):
        if entry := content.get(str(camera)):
            K[v], T[v] = parsed_camera(entry)
    return Cameras(cameras.ids, K, T, cameras.width, cameras.height)


def parsed_camera(entry: dict[str, Any]) -> tuple[Array, Array]:
    """K (3, 3) and T_camera_world (4, 4) of what stands in a `cam_000.json`."""
    inner, M = entry["camera_data"]["intrinsics"], np.array(entry["camera_data"]["camera_view_matrix"])
    K = np.array([[inner["fx"], 0, inner["cx"]], [0, inner["fy"], inner["cy"]], [0, 0, 1]])
    return K, np.diag([1.0, -1, -1, 1]) @ M.T


def misses(cameras: Cameras, true: Cameras, points: Array) -> float:
    """Pixels rms between points (N, 3) in the true cameras and the points, moved as fits best, in the others."""
    target, _ = project(true, points)
    middle, extent = points.mean(axis=0), points.std()

    def residual(x: Array) -> Array:
        turned = Rotation.from_rotvec(x[:3]).apply(points - middle) * np.exp(x[6])
        return project(cameras, turned + middle + extent * x[3:6])[0] - target

    fit = least_squares(lambda x: residual(x).ravel(), np.zeros(7), x_scale=1e-2)
    return rms(residual(fit.x))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scene", type=Path, help="folder of the clean scene, raw layout")
    parser.add_argument("--output", type=Path, required=True, help="folder of the films and runs")
    parser.add_argument("--train-cameras", type=int, nargs="+", required=True, metavar="ID")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="(default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the spoiling (default: 0)")
    own, flags = sys.argv[1:], []
    if "--" in own:
        own, flags = own[: own.index("--")], own[own.index("--") + 1 :]
    args = parser.parse_args(own)
    args.flags = flags
    return args


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
