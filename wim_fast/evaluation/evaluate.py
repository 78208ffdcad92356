"""Rendered views against what was filmed: one row of metrics per image, and their means by group.

A group is a set of views that say the same thing: training views, novel views, novel poses. They are always
shown side by side, for only the difference between them tells learning from memorising.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from wim_fast.compositing import over
from wim_fast.evaluation.metrics import Lpips, image_metrics
from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.ops.backend import Backend
from wim_fast.rendering.image import Image, render_image
from wim_fast.scene.footage import OBJECT, UNRELIABLE
from wim_fast.scene.scene import Scene

if TYPE_CHECKING:
    from rich.table import Table

Row = dict[str, float]

METRICS: dict[str, tuple[str, str]] = {
    "psnr": ("PSNR, whole image", "{:.2f} dB"),
    "psnr_box": ("PSNR, box of the mask", "{:.2f} dB"),
    "ssim": ("SSIM, whole image", "{:.4f}"),
    "ssim_box": ("SSIM, box of the mask", "{:.4f}"),
    "lpips": ("LPIPS", "{:.4f}"),
    "iou": ("mask IoU", "{:.4f}"),
}
"""What is measured: {key of a row: (what it is called, how it is printed)}."""


def evaluate_views(
    model: ArticulatedModel,
    posed_of_frame: Callable[[int], Posed],
    scene: Scene,
    camera_positions: Sequence[int],
    frame_positions: Sequence[int],
    inv_s: float,
    backend: Backend,
    background: float,
    *,
    lpips: Lpips | None = None,
    on_image: Callable[[int, int, Posed, Image], None] | None = None,
) -> list[Row]:
    """Renders views of the scene at its size and compares them with its images.

    Args:
        posed_of_frame: the pose (F = 1) at a position among the scene's frames. For a model that was trained
            on exactly these frames: `lambda frame: model.pose(torch.tensor([frame]))`.
        camera_positions, frame_positions: positions (not ids) in `scene`; every pair of them is a view.
        inv_s: sharpness of the surface as it was trained, 1 / world units.
        background: grey in [0, 1] behind truth and rendering.
        lpips: from `metrics.load_lpips`, if it is available.
        on_image: called with camera position, frame position, pose and picture of each view, in order.

    Returns:
        A row per view, frame after frame: `camera` and `frame` ids, and the metrics of `image_metrics`.
    """
    rows = []
    for frame in frame_positions:
        posed = posed_of_frame(frame)
        for camera in camera_positions:
            image = render_image(model, posed, scene.cameras, camera, inv_s, backend)
            metrics = compare(image, scene.rgba[camera, frame], scene.mask[camera, frame], background, lpips)
            rows.append({"camera": scene.cameras.ids[camera], "frame": scene.frame_ids[frame], **metrics})
            if on_image is not None:
                on_image(camera, frame, posed, image)
    return rows


def compare(
    image: Image, rgba: np.ndarray, mask: np.ndarray, background: float, lpips: Lpips | None = None
) -> Row:
    """Metrics of one picture.

    Args:
        rgba: (H, W, 4) uint8, straight alpha, what was filmed.
        mask: (H, W) uint8, the scene's; unreliable pixels count nowhere.
        background: grey in [0, 1].

    Returns:
        What `image_metrics` does; nothing of an image without any reliable pixel.
    """
    valid = mask != UNRELIABLE
    if not valid.any():
        return {}
    return image_metrics(
        image.over(background).clip(0.0, 1.0),
        over(rgba, background),
        image.opacity > 0.5,
        mask == OBJECT,
        valid=None if valid.all() else valid,
        lpips=lpips,
    )


def summarize(rows: Iterable[Row]) -> Row:
    """Means over views of each metric (views where it is undefined left out), and `images`, their number."""
    rows = list(rows)
    summary: Row = {}
    for key in METRICS:
        values = [row[key] for row in rows if key in row and np.isfinite(row[key])]
        if values:
            summary[key] = float(np.mean(values))
    summary["images"] = len(rows)
    return summary


def metrics_table(groups: Mapping[str, Row], title: str = "") -> Table:
    """Groups side by side: a column for each summary, a row for each metric that any of them has."""
    from rich.table import Table

    table = Table(title=title or None, title_justify="left")
    table.add_column("")
    for name in groups:
        table.add_column(name, justify="right")
    for key, (label, form) in METRICS.items():
        if any(key in summary for summary in groups.values()):
            cells = (form.format(s[key]) if key in s else "-" for s in groups.values())
            table.add_row(label, *cells)
    table.add_row("images", *(str(int(summary["images"])) for summary in groups.values()))
    return table
