"""Which pixels of the masks a trained model doubts: it says otherwise there, and so do the other cameras' masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion

from wim_fast.drawing.images import enlarge, write_png
from wim_fast.drawing.sheets import grid
from wim_fast.recordings.cameras import Cameras, pixel_rays, project
from wim_fast.recordings.masks import BACKGROUND, OBJECT
from wim_fast.recordings.selection import evenly
from wim_fast.rendering.image import render_image
from wim_fast.runs.opened_run import check_frame
from wim_fast.runs.trained_model import TrainedModel
from wim_fast.scene.scene import Scene

FRAMES, PICTURE_SIZE = 5, 192
TOLERANCE = 1  # pixels by which an outline may be off
ALONG_RAY = 64  # points at which the other cameras are asked
OUTLINE, MISSING, LET_IN = (0, 200, 255), (255, 0, 0), (255, 0, 255)  # colours


@dataclass(frozen=True)
class CheckedMask:
    """What is doubted of one mask.

    Attributes:
        camera, frame: ids.
        mask: (H, W) its object.
        missing: (H, W) the object by the model and by most other cameras, but not by this mask.
        let_in: (H, W) the object by this mask, but not by the model, and for any other camera's mask it cannot be.
    """

    camera: int
    frame: int
    mask: np.ndarray
    missing: np.ndarray
    let_in: np.ndarray

    def marked(self, rgb: np.ndarray) -> np.ndarray:
        """The picture (H, W, 3) uint8 with the mask's outline and what is doubted."""
        rgb = rgb.copy()
        rgb[self.mask & ~binary_erosion(self.mask)] = OUTLINE
        rgb[self.missing], rgb[self.let_in] = MISSING, LET_IN
        return rgb


@dataclass(frozen=True)
class CameraShares:
    """Pixels that are missing and let in, as shares of the object's in the frames looked at."""

    camera: int
    missing: float
    let_in: float


def check_masks(run: TrainedModel, frames: Sequence[int] | None = None) -> Iterator[CheckedMask]:
    """The masks of all cameras trained on, frame after frame.

    Args:
        frames: positions among the frames trained on; None: a few of them.

    UserError for frames that are not there.
    """
    return _checked(run, run.load_scene(cameras=run.camera_ids), frames_to_check(run, frames))


def frames_to_check(run: TrainedModel, frames: Sequence[int] | None) -> Sequence[int]:
    """Positions among the frames trained on, a few of them for None; UserError for those that are not there."""
    frames = some_frames(run) if frames is None else frames
    for frame in frames:
        check_frame(run, frame)
    return frames


def some_frames(run: TrainedModel) -> list[int]:
    """Positions of a few frames, spread over those trained on."""
    return evenly(range(len(run.frame_ids)), FRAMES)


def _checked(run: TrainedModel, scene: Scene, frames: Sequence[int]) -> Iterator[CheckedMask]:
    for t in frames:
        centers = run.motion.translation[t]
        reach = float(run.semi_axes.max()) + run.config.model.residual_max
        masks = scene.mask[:, t]
        for v, camera in enumerate(scene.cameras.ids):
            posed = run.pose_seen(t, camera)
            image = render_image(run.model, posed, scene.cameras, v, run.inv_s, run.backend)
            inside, mask = image.opacity > 0.5, masks[v] == OBJECT
            missing = inside & (masks[v] == BACKGROUND) & ~binary_dilation(mask, iterations=TOLERANCE)
            let_in = mask & ~binary_dilation(inside, iterations=TOLERANCE)
            views = _OtherViews(scene.cameras, masks, v)
            distance = np.linalg.norm(centers - scene.cameras.centers[v], axis=-1)
            along = np.linspace(distance.min() - reach, distance.max() + reach, ALONG_RAY)
            missing[missing] = views.share(missing, image.depth[missing][:, None])[:, 0] > 0.5
            let_in[let_in] = (views.share(let_in, along[None]) < 1).all(axis=1)
            yield CheckedMask(camera, scene.frame_ids[t], mask, missing, let_in)


class _OtherViews:
    """What all cameras but number `v` say of points on its rays; masks (V, H, W) of one frame."""

    def __init__(self, cameras: Cameras, masks: np.ndarray, v: int) -> None:
        others = [i for i in range(len(cameras)) if i != v]
        self.camera, self.others = cameras.select([v]), cameras.select(others)
        near = np.ones((1, *2 * (2 * TOLERANCE + 1,)), dtype=bool)
        self.admitted = binary_dilation(masks[others] != BACKGROUND, near)

    def share(self, pixels: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """Share (N, D) of the other cameras that admit the object `distance` (N or 1, D) along the rays of N pixels
        (H, W) bool. What lies outside a picture is admitted."""
        middle = np.argwhere(pixels)[:, ::-1].astype(np.float64) + 0.5
        origins, directions = pixel_rays(self.camera.intrinsics[0], self.camera.T_camera_world[0], middle)
        at, depth = project(self.others, origins[:, None] + distance[..., None] * directions[:, None])
        x, y = (
            np.floor(np.where(depth[..., None] > 0, at, -1))
            .astype(np.int64)
            .clip(-1, 1 << 20)
            .transpose(3, 0, 1, 2)
        )
        within = (x >= 0) & (y >= 0) & (x < self.others.width) & (y < self.others.height)
        camera = np.arange(len(self.others))[:, None, None]
        return (self.admitted[camera, np.where(within, y, 0), np.where(within, x, 0)] | ~within).mean(axis=0)


def write_check(
    run: TrainedModel, output: Path | None = None, frames: Sequence[int] | None = None
) -> tuple[list[CameraShares], Path]:
    """A picture of the film with outlines and doubted pixels, cameras side by side; and their shares.

    Args:
        output: a PNG file; None: RUN/check.png.
        frames: see `check_masks`.
    """
    scene = run.load_scene(cameras=run.camera_ids)
    checked = list(_checked(run, scene, frames_to_check(run, frames)))
    rows: dict[int, list[np.ndarray]] = {}
    for c in checked:
        rgb = scene.rgba[scene.cameras.ids.index(c.camera), scene.frame_ids.index(c.frame)][..., :3]
        rows.setdefault(c.frame, []).append(enlarge(c.marked(rgb), PICTURE_SIZE))
    sheet = grid(
        list(rows.values()), [f"camera {i}" for i in scene.cameras.ids], [f"frame {f}" for f in rows]
    )
    shares = [_shares([c for c in checked if c.camera == camera]) for camera in scene.cameras.ids]
    return shares, write_png(output or run.path / "check.png", sheet)


def _shares(checked: Sequence[CheckedMask]) -> CameraShares:
    def pixels(which: Callable[[CheckedMask], np.ndarray]) -> int:
        return sum(int(which(c).sum()) for c in checked)

    whole = max(pixels(lambda c: c.mask), 1)
    return CameraShares(
        checked[0].camera, pixels(lambda c: c.missing) / whole, pixels(lambda c: c.let_in) / whole
    )
