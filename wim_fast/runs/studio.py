"""What the commands that look at a run have in common: cameras, folders, progress, pictures."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wim_fast.compositing import over_uint8
from wim_fast.drawing.images import write_png, write_video
from wim_fast.drawing.views import View
from wim_fast.errors import UserError
from wim_fast.model.motion import Motion, semi_axes_of
from wim_fast.recordings.cameras import Cameras, project, turntable
from wim_fast.runs.defaults import LEAST_SIZE
from wim_fast.scene.load import scan_scene
from wim_fast.scene.scene import SceneContents, parse_frames
from wim_fast.terminal import progress_bar
from wim_fast.training.run_folder import Run, load_run

FILL = 0.85  # share of a picture that the object takes where the camera is free


def open_run(args: argparse.Namespace) -> Run:
    """The run that the command line names."""
    return load_run(args.run, args.backend)


def grey(run: Run) -> float:
    """The background of the run's scene, in [0, 1]."""
    return run.config.scene.background_grey


def positions(text: str | None, count: int, what: str, flag: str = "--frames") -> list[int]:
    """A range of frames as positions among `count`; all without a range. UserError if it leaves them."""
    if text is None:
        return list(range(count))
    chosen = parse_frames(text, count)
    found = list(range(count))[chosen]
    ends = [end for end in (chosen.start, chosen.stop) if end is not None]
    if not found or any(abs(end) > count for end in ends):
        raise UserError(f"{flag} {text}", f"there are {count} {what}", f"stay within 0:{count}")
    return found


def resized_to(cameras: Cameras, size: int) -> Cameras:
    """The cameras with images whose longer side is `size`."""
    factor = size / max(cameras.width, cameras.height)
    return cameras.resized(max(1, round(cameras.width * factor)), max(1, round(cameras.height * factor)))


def scan(run: Run) -> SceneContents:
    """What the run's recording holds, in world units. UserError if frames that were trained on are gone."""
    contents = scan_scene(run.config.scene.scene, run.coordinate_scale)
    if lost := set(run.frame_ids) - set(contents.frame_ids):
        problem = f"frame {min(lost)}, which {run.path} was trained on, is not there"
        raise UserError(contents.path, problem, "put the recording back as it was")
    return contents


def trained_positions(run: Run, contents: SceneContents) -> list[int]:
    """Positions of the frames trained on among all frames of the recording, in the order of the model's."""
    return [contents.frame_ids.index(frame) for frame in run.frame_ids]


def some_cameras(run: Run, ids: Sequence[int]) -> Cameras:
    """Cameras of the run's recording by id, with images as trained; UserError for one that is not there."""
    contents = scan(run)
    return run.load_scene(cameras=ids, frames=trained_positions(run, contents)[:1]).cameras


@dataclass(frozen=True)
class Shot:
    """A camera for each picture of a sequence, what the pictures are called, and the video."""

    cameras: Cameras  # T of them
    names: list[str]
    video: str


def choose_shot(run: Run, args: argparse.Namespace, motion: Motion, frames: Sequence[int]) -> Shot:
    """What `add_view_arguments` says for pictures numbered `frames` of a motion, one camera for each."""
    count = len(frames)
    ids = run.camera_ids if args.turntable else (run.camera_ids[0] if args.camera is None else args.camera,)
    cameras = some_cameras(run, ids)
    cameras = resized_to(cameras, args.size or max(LEAST_SIZE, cameras.width, cameras.height))
    if args.turntable:
        points = extreme_points(motion, semi_axes_of(run.model))
        middle = 0.5 * (points.min(axis=0) + points.max(axis=0))
        return Shot(
            fitted(turntable(cameras, middle, count), points),
            [f"turntable_{k:05d}.png" for k in range(count)],
            "turntable.mp4",
        )
    names = [picture_name(frame, ids[0]) for frame in frames]
    return Shot(cameras.select([0] * count), names, f"camera_{ids[0]:03d}.mp4")


def picture_name(frame: int, camera: int) -> str:
    return f"frame_{frame:05d}_cam_{camera:03d}.png"


def extreme_points(motion: Motion, semi_axes: np.ndarray) -> np.ndarray:
    """The ends of the parts' axes in all frames, (N, 3) world: what a picture must hold."""
    arms = np.swapaxes(motion.rotation * semi_axes[:, None, :], -1, -2)  # (T, P, axis, 3)
    center = motion.translation[:, :, None]
    return np.concatenate([center + arms, center - arms], axis=2).reshape(-1, 3)


def zoomed(cameras: Cameras, points: np.ndarray) -> Cameras:
    """Every camera turned and zoomed by itself (a crop of its image) so that points (N, 3) fill its image."""
    intrinsics = cameras.intrinsics.copy()
    size = np.array([cameras.width, cameras.height])
    for camera, at in enumerate(project(cameras, points)[0]):
        low, high = at.min(axis=0), at.max(axis=0)
        factor = FILL / ((high - low) / size).max()
        crop = np.eye(3)
        crop[:2, :2] *= factor
        crop[:2, 2] = 0.5 * size - factor * 0.5 * (low + high)
        intrinsics[camera] = crop @ intrinsics[camera]
    return dataclasses.replace(cameras, intrinsics=intrinsics)


def fitted(cameras: Cameras, points: np.ndarray) -> Cameras:
    """The cameras with their axes in the middle of the image and one focal length: points (N, 3) stay inside."""
    intrinsics = cameras.intrinsics.copy()
    size = np.array([cameras.width, cameras.height])
    intrinsics[:, :2, 2] = 0.5 * size
    at = project(dataclasses.replace(cameras, intrinsics=intrinsics), points)[0]
    intrinsics[:, :2, :2] *= FILL * 0.5 / np.abs(at / size - 0.5).max()
    return dataclasses.replace(cameras, intrinsics=intrinsics)


def make_view(run: Run, parts: bool = False, joints: bool = False) -> View:
    """How this run's model is shown."""
    return View(run.model, run.backend, run.inv_s, grey(run), parts, joints)


def shoot(view: View, motion: Motion, shot: Shot, folder: Path, fps: float) -> list[Path]:
    """Writes a picture of each frame of a motion, and all of them as a video if there are several.

    Returns:
        What to tell the person: the video, and the first and the last picture.
    """
    pictures = [folder / name for name in shot.names]

    def frames() -> Iterator[np.ndarray]:
        with progress_bar("rendering", len(motion)) as advance:
            for k, path in enumerate(pictures):
                picture = view.picture(motion, k, shot.cameras, k)
                write_png(path, picture)
                yield over_uint8(picture, view.background)
                advance()

    if len(motion) == 1:
        list(frames())
        return pictures
    return [write_video(folder / shot.video, frames(), fps), pictures[0], pictures[-1]]
