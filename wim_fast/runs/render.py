"""Pictures and videos of a run: of the motion that it learned, or of any other motion of its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast.compositing import over_uint8
from wim_fast.drawing.images import write_png, write_video
from wim_fast.drawing.views import View
from wim_fast.errors import UserError
from wim_fast.files import output_folder
from wim_fast.model.motion import Motion
from wim_fast.recordings.cameras import Cameras
from wim_fast.runs.baseline_run import AnyRun, BaselineRun, BaselineView, need_parts
from wim_fast.runs.camera_path import CameraPath, choose_path, resized_to, turntable_path
from wim_fast.runs.defaults import FPS
from wim_fast.runs.opened_run import check_frame, frame_positions
from wim_fast.runs.trained_model import TrainedModel

TURNTABLE_PICTURES = 60  # round a frame that stands still

Progress = Callable[[str, int, int], None]
"""Called after each step of something long: what is being done, how many steps are done, and of how many."""


def view_of(
    run: AnyRun, parts: bool = False, joints: bool = False, colors_of: int | None = None
) -> View | BaselineView:
    """How the run's model is shown; `colors_of`: in the colours of this camera (id), which must be trained on."""
    for name, wanted in (("--parts", parts), ("--joints", joints), ("--colors-of", colors_of is not None)):
        if wanted:
            need_parts(run, name)
    if isinstance(run, BaselineRun):
        return BaselineView(run, run.background)
    if colors_of is not None and colors_of not in run.camera_ids:
        known = ", ".join(map(str, run.camera_ids))
        problem = "the colours of this camera are not known"
        raise UserError(f"camera {colors_of}", problem, f"choose one that was trained on: {known}")
    color = None if colors_of is None else run.found.color(colors_of)
    return View(run.model, run.backend, run.inv_s, run.background, parts, joints, color)


def render_picture(
    run: TrainedModel,
    motion: Motion,
    frame: int,
    camera: int | Cameras,
    *,
    size: int | None = None,
    parts: bool = False,
    joints: bool = False,
) -> np.ndarray:
    """What a camera sees of frame number `frame` of a motion.

    Args:
        camera: id of one of the recording's, or any single camera in world units.
        size: longer side in pixels; None: as trained, or as the given camera has it.
        parts: each part in a colour of its own, in place of the object's.
        joints: draw part centres and joints, on the run's background.

    Returns:
        (H, W, 4) float32 in [0, 1], straight alpha. With joints it is opaque and, so that they can be told
        apart, whole times larger until its shorter side has 384 pixels.
    """
    cameras = camera if isinstance(camera, Cameras) else run.recorded_cameras((camera,))
    if len(cameras) != 1:
        raise UserError("camera", f"there are {len(cameras)}, not one", "choose one: cameras.select([0])")
    if size is not None:
        cameras = resized_to(cameras, size)
    if not parts and not joints:
        image = run.image(run.posed(motion, frame), cameras, 0)
        return image.straight().clip(0.0, 1.0)
    return as_float(view_of(run, parts, joints).picture(motion, frame, cameras, 0))


def render_turntable(
    run: TrainedModel, motion: Motion, *, size: int | None = None, parts: bool = False, joints: bool = False
) -> Iterator[np.ndarray]:
    """A picture of each frame of a motion, as `render_picture` returns it, from a circle round the object."""
    cameras = turntable_path(run, motion, size).cameras
    for k in range(len(motion)):
        yield render_picture(run, motion, k, cameras.select([k]), parts=parts, joints=joints)


def as_float(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3 or 4) uint8 -> (H, W, 4) float32 in [0, 1]; opaque where there was no alpha."""
    picture = picture.astype(np.float32) / 255.0
    if picture.shape[-1] == 4:
        return picture
    return np.concatenate([picture, np.ones_like(picture[..., :1])], axis=-1)


def write_render(
    run: AnyRun,
    output: Path | None = None,
    *,
    frames: str | Sequence[int] | None = None,
    frame: int | None = None,
    camera: int | None = None,
    circle: bool = False,
    size: int | None = None,
    parts: bool = False,
    joints: bool = False,
    colors_of: int | None = None,
    fps: float | None = None,
    on_progress: Progress | None = None,
) -> list[Path]:
    """The learned motion as pictures and a video; see `write_pictures` for what is returned.

    Args:
        output: a folder; None: RUN/render/<view>.
        frames: which of the frames trained on (positions or a range); None: all.
        frame: of these one, standing still while the camera goes round it.
        camera, circle, size: see `choose_path`.
        colors_of: a camera (id) in whose exposure and white balance all is shown; None: in what most cameras have.
    """
    if frame is None:
        shown = frame_positions(frames, len(run.motion), "frames trained on")
    else:
        check_frame(run, frame)
        shown = [frame] * TURNTABLE_PICTURES
    motion: Any = run.motion.at(shown)
    ids = [run.frame_ids[k] for k in shown]
    path = choose_path(run, motion, ids, camera=camera, circle=circle, size=size)
    drawn = [name for name, is_drawn in (("parts", parts), ("joints", joints)) if is_drawn]
    view = view_of(run, parts, joints, colors_of)
    name = "_".join([path.video.removesuffix(".mp4"), *drawn])
    with output_folder(output or run.path / "render" / name) as folder:
        return write_pictures(view, motion, path, folder, fps or FPS, on_progress)


def write_pictures(
    view: View | BaselineView,
    motion: Any,
    path: CameraPath,
    folder: Path,
    fps: float,
    on_progress: Progress | None = None,
) -> list[Path]:
    """Writes a picture of each frame of a motion, and all of them as a video if there are several.

    Returns:
        The video, and the first and the last picture; a picture alone.
    """
    pictures = [folder / name for name in path.names]

    def frames() -> Iterator[np.ndarray]:
        for k, file in enumerate(pictures):
            picture = view.picture(motion, k, path.cameras, k)
            write_png(file, picture)
            yield over_uint8(picture, view.background)
            if on_progress is not None:
                on_progress("rendering", k + 1, len(pictures))

    if len(motion) == 1:
        list(frames())
        return pictures
    return [write_video(folder / path.video, frames(), fps), pictures[0], pictures[-1]]
