#!/usr/bin/env python
"""Make a clean scene as imperfect as film is: wrong cameras, masks, colours and clocks. The benchmark of robustness.

The scene is in the raw layout and its masks are true (`make_robot_scene.py` makes such). What is made imperfect are
the training cameras alone; all others stay clean, to judge by. What is not asked for stays true; asked for nothing,
it is cameras, masks and colours. The same seed makes the same film.

    python tools/imperfect_film.py SCENE --output FILM --train-cameras 0 1 2 3 4 --seed 0
    python tools/make_robot_scene.py --robot kuka_iiwa --slow 2 --frames 120 --output TWICE
    python tools/imperfect_film.py TWICE --output FILM --train-cameras 0 1 2 3 4 --every 2 --late 1=0.5 3=-3

`truth.json` in the film's folder says by camera what was done: the true `camera_data` (as in `cam_000.json`), `rms_px`
by which the written camera misses the true points, `time_offset` in frames, `gain` of red, green and blue.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion, gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).resolve().parent))
import raw_scene

from wim_fast.errors import UserError
from wim_fast.recordings import write
from wim_fast.recordings.calibration.raw_json import raw_camera_files, read_raw_camera
from wim_fast.recordings.cameras import Array, Cameras, project

Alpha = NDArray[np.float64]  # (H, W) in [0, 1]

TURN_PX, FOCAL_SHARE = 0.75, 0.003  # rms at the object; standard deviation
WANDER_PX, WANDER_REACH = 1.0, 1 / 16  # rms of each component; its smoothness, as a share of the side
BITTEN_SHARE, BITE = 0.08, (0.05, 0.12)  # of the masks; semi-axes of a bite, as shares of the side
EXPOSURE, WHITE_BALANCE, NOISE = 0.15, 0.05, 3 / 255  # uniform up to this; uniform; standard deviation
KINDS = "cameras", "masks", "colors"


@dataclass(frozen=True)
class Film:
    """The clean scene: its folder, its cameras, the source frames (T,) that are kept, and true points."""

    folder: Path
    cameras: Cameras
    frames: tuple[int, ...]
    points: Array | None  # (all source frames, M, 3)


def read_film(folder: Path) -> Film:
    """Of a folder in the raw layout; all its frames."""
    files = raw_camera_files(folder)
    if not files:
        raise UserError(folder, "there are no cameras", "give a scene in the raw layout (cam_000.json)")
    numbers = {int(m[1]) for p in folder.iterdir() if (m := re.match(r"frame_(\d+)_cam_\d+\.png$", p.name))}
    frames = tuple(sorted(numbers))
    first = Image.open(folder / write.image_name(frames[0], min(files)))
    calibrated = [read_raw_camera(file) for file in files.values()]
    size = first.height, first.width
    K = np.stack([c.intrinsics(folder, size) for c in calibrated])
    T = np.stack([c.T_camera_world for c in calibrated])
    truth = folder / "gt.npz"
    points = np.load(truth)["points"] if truth.exists() else None
    return Film(folder, Cameras(tuple(files), K, T, *first.size), frames, points)


def kept_frames(count: int, every: int, offsets: list[int]) -> list[int]:
    """Every so many-th of `count` source frames for which the frames at all offsets are there too."""
    low, high = min(0, *offsets), max(0, *offsets)
    return [k for k in range(0, count, every) if k + low >= 0 and k + high < count]


def wrong_camera(cameras: Cameras, v: int, points: Array, rng: np.random.Generator) -> Cameras:
    """Camera v, turned about its centre such that the points (..., 3) move by TURN_PX rms, and with a focal length
    that is off."""
    camera = cameras.select([v])
    turn = 1e-4 * rng.normal(size=3)  # so small that pixels are linear in it
    turn *= TURN_PX / rms(project(turned(camera, turn), points)[0] - project(camera, points)[0])
    K = camera.intrinsics.copy()
    K[:, [0, 1], [0, 1]] *= 1 + FOCAL_SHARE * rng.normal()
    wrong = turned(camera, turn)
    return Cameras(camera.ids, K, wrong.T_camera_world, camera.width, camera.height)


def turned(camera: Cameras, rotation_vector: Array) -> Cameras:
    """The camera turned about its centre; radians, camera frame."""
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(rotation_vector).as_matrix()
    return Cameras(camera.ids, camera.intrinsics, T @ camera.T_camera_world, camera.width, camera.height)


def rms(pixels: Array) -> float:
    """Root of the mean squared length of (..., 2)."""
    return float(np.sqrt((pixels**2).sum(-1).mean()))


def wrong_alpha(alpha: Alpha, rng: np.random.Generator) -> Alpha:
    """The mask with an outline that wanders, and now and then a bite out of it."""
    height, width = alpha.shape
    side = max(height, width)
    shift = gaussian_filter(rng.normal(size=(2, height, width)), (0, *2 * (WANDER_REACH * side,)))
    shift *= WANDER_PX / np.sqrt((shift**2).mean())
    grid = np.mgrid[:height, :width]
    wrong = np.clip(map_coordinates(alpha, grid + shift, order=1), 0, 1)
    outline = np.argwhere((wrong > 0.5) & ~binary_erosion(wrong > 0.5))
    if len(outline) and rng.random() < BITTEN_SHARE:
        y, x = outline[rng.integers(len(outline))]
        long, short = side * rng.uniform(*BITE, size=2)
        angle = rng.uniform(0, np.pi)
        along = (grid[1] - x) * np.cos(angle) + (grid[0] - y) * np.sin(angle)
        across = (grid[0] - y) * np.cos(angle) - (grid[1] - x) * np.sin(angle)
        wrong[(along / long) ** 2 + (across / short) ** 2 < 1] = 0
    return wrong


def room(size: tuple[int, int], rng: np.random.Generator) -> Array:
    """A background (H, W, 3) in [0, 1]: blotches of many sizes, rather grey, round a colour."""
    side = max(size)
    picture = np.full((*size, 3), rng.uniform(0.3, 0.7, size=3))
    for share in (1 / 4, 1 / 12, 1 / 40, 1 / 128):
        layer = gaussian_filter(rng.normal(size=(*size, 3)), (share * side, share * side, 1), mode="wrap")
        picture += 0.1 * layer / layer.std()
    return np.clip(picture, 0, 1)


def make_film(args: argparse.Namespace) -> None:
    """Read, spoil and write."""
    film, seed = read_film(args.scene), args.seed
    cameras = film.cameras
    train = cameras.ids if args.train_cameras is None else args.train_cameras
    late = dict(args.late)
    if unknown := sorted({*train, *late} - set(cameras.ids)):
        raise UserError(film.folder, f"there is no camera {unknown[0]}", "name cameras of the scene")
    offsets = {c: round(late.get(c, 0.0) * args.every) for c in cameras.ids}
    kept = kept_frames(len(film.frames), args.every, list(offsets.values()))
    raw_scene.prepare_folder(args.output, args.overwrite)
    write_truth(film, kept, args.output)
    truth = {}
    for v, camera in enumerate(cameras.ids):
        # random numbers of its own for each camera and kind: what else is spoiled changes nothing
        rngs = {kind: np.random.default_rng([seed, camera, i]) for i, kind in enumerate(KINDS)}
        rngs = {kind: rngs[kind] for kind in args.kinds if camera in train}
        true, gain = write_camera(film, v, args.output, rngs)
        truth[camera] = {**true, "time_offset": offsets[camera] / args.every, "gain": gain.tolist()}
        background = room((cameras.height, cameras.width), np.random.default_rng([seed, camera]))
        for frame, k in enumerate(kept):
            source = film.folder / write.image_name(film.frames[k + offsets[camera]], camera)
            if not rngs:
                shutil.copyfile(source, args.output / write.image_name(frame, camera))
            else:
                rgba = spoiled(np.asarray(Image.open(source)) / 255, background, gain, rngs)
                write.write_image(args.output, frame, camera, np.rint(255 * rgba).astype(np.uint8))
    content = {"scene": film.folder.name, "seed": seed, "spoiled": args.kinds, "cameras": truth}
    (args.output / "truth.json").write_text(json.dumps(content, indent=1) + "\n")
    print(
        f"{args.output}: {len(kept)} frames; wrong in {len(train)} cameras: {', '.join(args.kinds) or 'no'}"
    )


def write_camera(
    film: Film, v: int, folder: Path, rngs: dict[str, np.random.Generator]
) -> tuple[dict[str, object], Array]:
    """Write camera v; what is true of it, and its gain (3)."""
    camera = written = film.cameras.select([v])
    if "cameras" in rngs:
        if film.points is None:
            raise UserError(film.folder / "gt.npz", "there are no true points", "they say how far to turn")
        written = wrong_camera(film.cameras, v, film.points, rngs["cameras"])
    write.write_cameras(folder, written)
    true = json.loads(raw_camera_files(film.folder)[camera.ids[0]].read_text())
    if film.points is not None:
        true["rms_px"] = rms(project(written, film.points)[0] - project(camera, film.points)[0])
    gain = np.ones(3)
    if rng := rngs.get("colors"):
        gain += EXPOSURE * rng.uniform(-1, 1)
        gain *= 1 + WHITE_BALANCE * rng.uniform(-1, 1, size=3)
    return true, gain


def spoiled(rgba: Array, background: Array, gain: Array, rngs: dict[str, np.random.Generator]) -> Array:
    """The image (H, W, 4), straight alpha in [0, 1], as a camera in that room with those faults has it."""
    rgb, alpha = rgba[..., :3], rgba[..., 3]
    if rng := rngs.get("masks"):
        rgb = alpha[..., None] * rgb + (1 - alpha[..., None]) * background
        alpha = wrong_alpha(alpha, rng)
    if rng := rngs.get("colors"):
        rgb = np.clip(gain * rgb + NOISE * rng.normal(size=rgb.shape), 0, 1)
    return np.concatenate([rgb, alpha[..., None]], axis=-1)


def write_truth(film: Film, kept: list[int], folder: Path) -> None:
    """gt.npz of the frames kept."""
    file = film.folder / "gt.npz"
    if file.exists():
        with np.load(file) as data:
            arrays = {key: data[key][kept] if data[key].ndim == 3 else data[key] for key in data}
        np.savez_compressed(folder / "gt.npz", **arrays)


def lateness(text: str) -> tuple[int, float]:
    """ID=FRAMES."""
    camera, _, frames = text.partition("=")
    return int(camera), float(frames)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scene", type=Path, help="folder of the clean scene, raw layout")
    parser.add_argument("--output", type=Path, required=True, help="folder to write the film to")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    parser.add_argument("--cameras", action="store_true", help="turn the cameras, spoil their focal lengths")
    parser.add_argument("--masks", action="store_true", help="spoil the masks, and let the room be seen")
    parser.add_argument("--colors", action="store_true", help="exposure, white balance and noise")
    parser.add_argument(
        "--train-cameras", type=int, nargs="+", metavar="ID", help="cameras that are spoiled (default: all)"
    )
    parser.add_argument(
        "--late", type=lateness, nargs="+", default=[], metavar="ID=FRAMES",
        help="camera ID shows at frame t what happened at t + FRAMES, a whole number of source frames",
    )  # fmt: skip
    parser.add_argument(
        "--every", type=int, default=1, help="keep every so many-th source frame (default: 1)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the scene that the folder holds")
    args = parser.parse_args(argv)
    asked = [kind for kind in KINDS if getattr(args, kind)]
    args.kinds = asked or ([] if args.late else list(KINDS))
    if args.every < 1:
        parser.error("--every must be at least 1")
    if any((frames * args.every) % 1 for _, frames in args.late):
        parser.error("--late: FRAMES times --every must be whole, for only source frames were filmed")
    return args


def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    try:
        make_film(parse(argv))
    except UserError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
