"""Read a scene by path or name, and check that it can be trained on."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np

from wim_fast.errors import SceneWarning, UserError
from wim_fast.files import check_no_loop, resource_folder
from wim_fast.recordings.cameras import coverage
from wim_fast.recordings.masks import BACKGROUND, OBJECT
from wim_fast.recordings.read import read_recording
from wim_fast.recordings.recording import GroundTruth, Recording
from wim_fast.recordings.selection import parse_frames
from wim_fast.scene.footage import FootageBuilder, NewFootage
from wim_fast.scene.pixel_cache import read_through
from wim_fast.scene.scene import Scene, SceneContents
from wim_fast.scene.visual_hull import look_at, visual_hull

BESIDE = "body_models", "calibration"  # a scene may consist of these folders beside it too
WORKERS = min(16, os.cpu_count() or 1)  # that read side by side
OBJECT_EXTENT = 1.2  # world units: the longest side of the object's box under the automatic scale


def scene_names() -> list[str]:
    """Names of the scenes that ship with wim-fast."""
    folder = resource_folder("assets")
    return sorted({p.parent.name for p in folder.glob("*/cam_*.json")})


def find_scene(path_or_name: str | Path) -> Path:
    """The folder of a scene: a shipped one for a bare name that is known, else the path itself."""
    text = str(path_or_name)
    if text in scene_names():
        return resource_folder("assets") / text
    path = Path(path_or_name)
    check_no_loop(path)
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(path, "is a file, not a scene", "give the folder that holds the images and cameras")
    known = ", ".join(scene_names()) or "none"
    remedy = f"give the folder of a recording, or the name of a scene that ships with wim-fast ({known})"
    raise UserError(text or "scene", "there is no such scene", remedy)


def scan_scene(path_or_name: str | Path, coordinate_scale: float) -> SceneContents:
    """All cameras and frames of a scene and its ground truth in world units; no image is read."""
    recording = read_recording(find_scene(path_or_name))
    truth = recording.read_truth()
    truth = truth and _scaled_truth(truth, coordinate_scale)
    return SceneContents(recording.path, recording.camera_ids, recording.frame_ids, truth)


def load_scene(
    source: str | Path | Recording,
    *,
    cameras: Sequence[int] | None = None,
    frames: str | slice | Sequence[int] | None = None,
    size: int | None = None,
    coordinate_scale: float | None = None,
    allow_missing: bool = False,
) -> Scene:
    """Read a scene into memory.

    Parameters
    ----------
    source : a folder, the name of a scene that ships with wim-fast, or what was read of one.
    cameras : ids of the cameras to read, in this order; None: all.
    frames : which of the sorted frames to read, as a slice, `"start:stop[:step]"` or positions; None: all.
        Start and stop may be shares of all frames, as in `"0:80%"`.
    size : longer side of the images in pixels; None: as they are.
    coordinate_scale : file units per world unit; None: such that the object in the first frame read is
        1.2 units long, by its visual hull. It depends on cameras and frames: keep it with what is learned.
    allow_missing : images that are not there become unreliable everywhere instead of an error.

    Raises UserError (file, what is wrong, what to do) for anything that cannot be read.
    """
    path = source.path if isinstance(source, Recording) else find_scene(source)

    @cache
    def whole() -> Recording:
        return source if isinstance(source, Recording) else read_recording(path)

    if isinstance(frames, str):
        frames = parse_frames(frames, len(whole().frame_ids) if "%" in frames else None)
    cameras, frames = cameras and [int(i) for i in cameras], frames or slice(None)

    def read(new_footage: NewFootage) -> Scene:
        recording = whole().select(cameras, frames)
        recording.check_missing(allow_missing)
        return scene_of(recording, size, new_footage=new_footage)

    sources = [path, *(path.resolve().parent / name for name in BESIDE)]
    scene = read_through(path, sources, repr((cameras, frames, size, allow_missing)), read)
    return _in_world_units(scene, coordinate_scale or _automatic_scale(scene))


def scene_of(
    recording: Recording, size: int | None = None, *, new_footage: NewFootage = FootageBuilder
) -> Scene:
    """The images of a recording as a scene in file units (coordinate_scale 1); what is missing is unreliable.

    Args:
        size: longer side of the images in pixels; None: as filmed.
        new_footage: makes the builder that the images go to.
    """
    framing = recording.framing(size)
    order = {frame: t for t, frame in enumerate(recording.frame_ids)}
    builder = new_footage((len(recording.cameras), len(order), *framing.size))

    def read(piece: tuple[int, list[int]]) -> None:
        v, frames = piece
        for frame, rgba, mask in framing.images(v, frames):
            builder.put(v, order[frame], rgba, mask)

    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        for _ in pool.map(read, _pieces(recording)):
            pass
    name, frames = recording.path.resolve().name, recording.frame_ids
    return Scene(name, recording.path, framing.cameras, frames, builder.finish(), 1.0, recording.read_truth())


def _pieces(recording: Recording) -> list[tuple[int, list[int]]]:
    """(position of a camera, frames) to be read side by side: whole films, or several pieces of each if they are few."""
    pieces = []
    for v, camera in enumerate(recording.cameras):
        frames = recording.frames_of(v)
        bent = not camera.calibrated.lens.ideal  # its resampling is costly to set up: once for all frames
        count = 1 if bent or not camera.film.in_pieces else -(-WORKERS // len(recording.cameras))
        pieces += [(v, frames[k::count]) for k in range(count)]
    return [(v, frames) for v, frames in pieces if frames]


def _in_world_units(scene: Scene, scale: float) -> Scene:
    truth = scene.ground_truth and _scaled_truth(scene.ground_truth, scale)
    cameras = scene.cameras.scaled_world(1 / scale)
    return dataclasses.replace(scene, cameras=cameras, coordinate_scale=scale, ground_truth=truth)


def _scaled_truth(truth: GroundTruth, scale: float) -> GroundTruth:
    return truth.changed(lambda positions: (positions / scale).astype(np.float32))


def _automatic_scale(scene: Scene) -> float:
    """File units per world unit, from the first frame in which at least two cameras see the object."""
    _check_masks(scene)
    seen = scene.sees_object
    frame = int(np.argmax(seen.sum(axis=0) >= min(2, len(scene.cameras))))
    use = np.flatnonzero(seen[:, frame])
    cameras, masks = scene.cameras.select(use.tolist()), scene.mask[use, frame]
    if len(use) < 2:  # depth is unknown: take the object to be where the camera is closest to the origin
        rows = np.flatnonzero((masks == OBJECT).any(axis=(0, 2)))
        columns = np.flatnonzero((masks == OBJECT).any(axis=(0, 1)))
        pixels = max(np.ptp(rows), np.ptp(columns)) + 1
        distance = np.linalg.norm(cameras.centers[0]) or 1.0
        return float(pixels * distance / cameras.intrinsics[0, 0, 0] / OBJECT_EXTENT)
    points = visual_hull(cameras, masks)
    if len(points) == 0:
        raise UserError(
            scene.path,
            f"the masks of frame {scene.frame_ids[frame]} do not meet in space",
            "check that the cameras fit the images (convention, units, order), or give --coordinate-scale",
        )
    return float(np.ptp(points, axis=0).max() / OBJECT_EXTENT)


def _check_masks(scene: Scene) -> None:
    if not scene.sees_object.any():
        raise UserError(
            scene.path,
            "all masks are empty",
            "check the alpha channel of the images: it must be above 127 on the object",
        )


def check_trainable(scene: Scene) -> None:
    """UserError for a scene nothing can be learned from; SceneWarning for one that teaches little."""
    if scene.num_frames < 2:
        raise UserError(
            scene.path,
            "there is only one frame, so nothing moves",
            "parts and joints are found from motion: give a longer recording or a wider --frames",
        )
    _check_masks(scene)
    empty = [i for i, seen in zip(scene.cameras.ids, scene.sees_object, strict=True) if not seen.any()]
    never = [f"camera {', '.join(map(str, empty))} never sees the object"] if empty else []
    for text in never + doubts_of_views(scene):
        warnings.warn(f"{scene.path}: {text}", SceneWarning, stacklevel=2)


def doubts_of_views(scene: Scene) -> list[str]:
    """What is wrong with views that can be trained on: no background, or sides of the object that no camera sees."""
    doubts = []
    if not scene.footage.counts[..., BACKGROUND].any():
        doubts.append("the object fills every image; is the alpha channel really a mask?")
    if scene.num_cameras == 1:
        return [*doubts, "with one camera, depth is a guess; add cameras round the object"]
    share = coverage(scene.cameras, look_at(scene.cameras, scene.mask[:, 0]))
    if share <= 0.5:
        doubts.append(
            f"its {scene.num_cameras} cameras see {share:.0%} of all sides of the object;"
            " unseen sides will be poor, spread the cameras round the object"
        )
    return doubts
