"""Pictures of merging: the sequence of structures, and the one that is left beside the one before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wim_fast.compositing import over_uint8
from wim_fast.drawing.annotate import draw_joints, part_palette
from wim_fast.drawing.images import write_png
from wim_fast.drawing.sheets import grid
from wim_fast.drawing.views import projected
from wim_fast.files import output_folder
from wim_fast.model.motion import posed_at
from wim_fast.posing.merge import MergedStructure
from wim_fast.recordings.cameras import Cameras
from wim_fast.rendering.part_map import PartMap, render_parts
from wim_fast.runs.camera_path import clearest_views, resized_to, zoomed
from wim_fast.runs.defaults import PART_PICTURE_SIZE
from wim_fast.runs.merge import Merging, largest_parts, merge_parts, write_merged_data
from wim_fast.runs.opened_run import check_frame
from wim_fast.runs.trained_model import TrainedModel

PANELS = 8  # steps of the sequence that are shown
COLUMNS = 4
PALE = 0.35  # how much of its colour the object keeps where only the structure is to be seen


def write_merging(
    run: TrainedModel,
    output: Path | None = None,
    *,
    groups: int | None = None,
    threshold: float | None = None,
    frame: int = 0,
    camera: int | None = None,
    size: int | None = None,
) -> tuple[Merging, list[Path]]:
    """Merges the parts of a run and writes pictures and data of it.

    Args:
        output: a folder; None: RUN/merge.
        groups, threshold: see `merge.merge_parts`.
        frame, camera, size: of the pictures, see `StructureView.of`.

    Returns:
        What was merged; sequence.png, before_after.png, merge.json and merged.npz.
    """
    check_frame(run, frame)
    merging = merge_parts(run, groups, threshold)
    with output_folder(output or run.path / "merge") as folder:
        view = StructureView.of(run, frame, camera, size)
        tiles = list(panel_tiles(view, merging, folder))
        rows = [tiles[k : k + COLUMNS] for k in range(0, len(tiles), COLUMNS)]
        return merging, [
            write_png(folder / "sequence.png", grid(rows)),
            write_png(folder / "before_after.png", grid([before_and_after(view, merging)])),
            *write_merged_data(run, merging, folder),
        ]


def panel_tiles(view: StructureView, merging: Merging, folder: Path) -> Iterator[np.ndarray]:
    """Writes merged_<steps>.png for some of the structures, and yields them with captions."""
    for k in panels(len(merging.structures), merging.taken):
        picture = view.painted(merging.structures[k])
        write_png(folder / f"merged_{k:02d}.png", picture)
        yield captioned(picture, caption(k, merging))


def before_and_after(view: StructureView, merging: Merging) -> list[np.ndarray]:
    """Three pictures with captions."""
    before, after = merging.structures[0], merging.merged
    return [
        captioned(view.painted(before), f"{before.num_groups} parts and their joints"),
        captioned(view.painted(after), f"{after.num_groups} groups after merging"),
        captioned(view.connections(after), "joints and the group centres they connect"),
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
    steps = merging.steps
    text = f"{merging.structures[k].num_groups} "
    text += "parts" if k == 0 else "groups" if k < len(steps) else "group"
    if k:
        text += f", up to {steps[k - 1].value / 2:.3f}"
    return f"{text} (chosen)" if k == merging.taken else text


def captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """A picture with a line above it."""
    return grid([[picture]], [text])


@dataclass(frozen=True)
class StructureView:
    """One pose of the model seen by one camera, to be painted in the colours of any merged structure."""

    parts: PartMap
    edges: np.ndarray  # (P-1, 2)
    joints: np.ndarray  # (P-1, 2) pixels
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
        joints = projected(cameras, run.joints_in(pose)[0])
        return cls(parts, run.edges, joints, pose.translation[0], run.semi_axes, cameras, run.background)

    def painted(self, structure: MergedStructure) -> np.ndarray:
        """Groups in their colours; bones through all parts, rings round the joints that remain."""
        colors = part_colors(structure, self.semi_axes)
        picture = over_uint8(self.parts.paint(colors), self.background)
        remains = np.isin(np.arange(len(self.edges)), structure.joint_ids)
        centers = projected(self.camera, self.centers)
        return draw_joints(picture, self.joints, centers, self.edges, colors, remains)

    def connections(self, structure: MergedStructure) -> np.ndarray:
        """The joints that remain, and the group centres that they connect, on a pale object."""
        colors = part_colors(structure, self.semi_axes)
        pale = np.round(255 - PALE * (255.0 - colors)).astype(np.uint8)
        picture = over_uint8(self.parts.paint(pale), self.background)
        centers = projected(self.camera, structure.centers(self.centers, self.semi_axes))
        colors = colors[largest_parts(structure, self.semi_axes)]
        return draw_joints(picture, self.joints[structure.joint_ids], centers, structure.edges, colors)


def part_colors(structure: MergedStructure, semi_axes: np.ndarray) -> np.ndarray:
    """(P, 3) uint8: every part in the colour of its group's largest part."""
    return part_palette(len(semi_axes))[largest_parts(structure, semi_axes)[structure.labels]]
