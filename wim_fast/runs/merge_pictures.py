"""Pictures of merging: the sequence of structures, and the one that is left beside the one before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wim_fast.compositing import over_uint8
from wim_fast.drawing.annotate import draw_joints, part_palette
from wim_fast.drawing.images import write_png
from wim_fast.drawing.plots import line_plot
from wim_fast.drawing.sheets import grid
from wim_fast.drawing.views import projected
from wim_fast.files import output_folder
from wim_fast.model.motion import posed_at
from wim_fast.posing.bodies.structure import BodyStructure
from wim_fast.posing.bodies.unions import body_centers, largest_parts
from wim_fast.recordings.cameras import Cameras
from wim_fast.rendering.part_map import PartMap, render_parts
from wim_fast.runs.camera_path import clearest_views, resized_to, zoomed
from wim_fast.runs.defaults import PART_PICTURE_SIZE
from wim_fast.runs.merge import Merging, merge_parts, write_merged_data
from wim_fast.runs.opened_run import check_frame
from wim_fast.runs.trained_model import TrainedModel

PANELS = 8  # steps of the sequence that are shown
COLUMNS = 4
CURVE_COLOR = (40, 90, 160)
PALE = 0.35  # how much of its colour the object keeps where only the structure is to be seen


def write_merging(
    run: TrainedModel,
    output: Path | None = None,
    *,
    count: int | None = None,
    frame: int = 0,
    camera: int | None = None,
    size: int | None = None,
) -> tuple[Merging, list[Path]]:
    """Merges the parts of a run into bodies and writes pictures and data of them.

    Args:
        output: a folder; None: RUN/merge.
        count: see `merge.merge_parts`.
        frame, camera, size: of the pictures, see `StructureView.of`.

    Returns:
        What was merged; bodies.png, sequence.png, before_after.png, merge.json and merged.npz.
    """
    check_frame(run, frame)
    merging = merge_parts(run, count)
    with output_folder(output or run.path / "merge") as folder:
        view = StructureView.of(run, frame, camera, size)
        tiles = list(panel_tiles(view, merging, folder))
        rows = [tiles[k : k + COLUMNS] for k in range(0, len(tiles), COLUMNS)]
        return merging, [
            write_png(folder / "bodies.png", number_plot(merging)),
            write_png(folder / "sequence.png", grid(rows)),
            write_png(folder / "before_after.png", grid([before_and_after(run, view, merging)])),
            *write_merged_data(run, merging, folder),
        ]


def number_plot(merging: Merging) -> np.ndarray:
    """The criterion against the number of bodies, that which is taken marked; (H, W, 3) uint8."""
    criterion = merging.sequence.criterion[::-1]
    numbers = np.arange(1, len(criterion) + 1)
    curve = np.log10(1.0 + criterion - criterion.min())
    title = f"{merging.count} bodies" + (
        f" as asked for, {merging.sequence.proposed} are proposed" if merging.asked else " are proposed"
    )
    return line_plot(
        numbers,
        [("", curve, CURVE_COLOR)],
        title,
        "bodies",
        "criterion above its least, log10(1 + x)",
        numbers == merging.count,
    )


def panel_tiles(view: StructureView, merging: Merging, folder: Path) -> Iterator[np.ndarray]:
    """Writes merged_<steps>.png for some of the structures, and yields them with captions."""
    for k in panels(merging.parts, merging.taken):
        picture = view.painted(merging.sequence.at(merging.parts - k))
        write_png(folder / f"merged_{k:02d}.png", picture)
        yield captioned(picture, caption(k, merging))


def before_and_after(run: TrainedModel, view: StructureView, merging: Merging) -> list[np.ndarray]:
    """Three pictures with captions."""
    parts, poses, after = merging.parts, merging.sequence.poses, merging.merged
    before = BodyStructure(
        np.arange(parts), run.edges, run.joints_in(run.motion), poses, merging.sequence.metric
    )
    return [
        captioned(view.painted(before), f"{parts} parts and their joints"),
        captioned(view.painted(after), f"{after.count} bodies after merging"),
        captioned(view.painted(after, PALE), "joints and the body centres they connect"),
    ]


def panels(count: int, taken: int) -> list[int]:
    """Which of the structures after 0..count-1 merges are shown: evenly spread, the chosen one among them."""
    spread = np.linspace(0, count - 1, min(PANELS, count)).round().astype(int)
    nearest = 1 + np.abs(spread[1:-1] - taken).argmin() if len(spread) > 2 else 0
    if taken not in spread:
        spread[nearest] = taken
    return spread.tolist()


def caption(k: int, merging: Merging) -> str:
    """What a panel of the sequence shows."""
    left = merging.parts - k
    text = f"{left} " + ("parts" if k == 0 else "bodies" if left > 1 else "body")
    return f"{text} (chosen)" if k == merging.taken else text


def captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """A picture with a line above it."""
    return grid([[picture]], [text])


@dataclass(frozen=True)
class StructureView:
    """One pose of the model seen by one camera, to be painted in the colours of any bodies."""

    parts: PartMap
    frame: int
    centers: np.ndarray  # (P, 3) world
    semi_axes: np.ndarray  # (P, 3)
    camera: Cameras  # as large as the drawing
    background: float

    @classmethod
    def of(cls, run: TrainedModel, frame: int, camera: int | None, size: int | None) -> StructureView:
        """A frame trained on, from a camera of the recording (None: a clear one), zoomed to the object.

        Args:
            size: of the longer side in pixels; None: `PART_PICTURE_SIZE`.
        """
        pose = run.motion.at([frame])
        ids = run.camera_ids if camera is None else (camera,)
        cameras = resized_to(run.recorded_cameras(ids), size or PART_PICTURE_SIZE)
        cameras = cameras.select(clearest_views(cameras, pose.translation[0])[:1])
        cameras = zoomed(cameras, run.extremes(pose))
        parts = render_parts(run.model, posed_at(run.model, pose, 0), cameras, 0, run.inv_s, run.backend)
        return cls(parts, frame, pose.translation[0], run.semi_axes, cameras, run.background)

    def painted(self, structure: BodyStructure, strength: float = 1.0) -> np.ndarray:
        """Bodies in their colours, the joints between them, and bones to their centres.

        strength: how much of its colour the object keeps.
        """
        colors = part_palette(len(self.semi_axes))[largest_parts(structure.body_of_part, self.semi_axes)]
        pale = np.round(255 - strength * (255.0 - colors)).astype(np.uint8)
        picture = over_uint8(self.parts.paint(pale[structure.body_of_part]), self.background)
        centers = projected(self.camera, body_centers(structure.body_of_part, self.centers, self.semi_axes))
        joints = projected(self.camera, structure.joints[self.frame])
        return draw_joints(picture, joints, centers, structure.edges, colors)
