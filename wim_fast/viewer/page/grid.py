"""The panel of the occupancy grid, the one of the tcnn backend, and its cells in the view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import viser.uplot as uplot

from wim_fast.ops.occupancy.reference import RESOLUTION
from wim_fast.viewer import colors
from wim_fast.viewer.figures import MISSED_FLOOR
from wim_fast.viewer.inspect.culling import what_the_grid_is
from wim_fast.viewer.inspect.grid import Cells, GridSettings, training_band
from wim_fast.viewer.inspect.inspection import Selection
from wim_fast.viewer.page.drawable import Drawable, Pace, set_value, show
from wim_fast.viewer.page.panel import Host

CUBE = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
CUBE_FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
     [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]],
    np.int32,
)  # fmt: skip
# a side of a cell, in cells, facing along z; gaps are between them
SQUARE = 0.45 * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
SQUARE_FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
# directions of a cell's sides in the order of `open_sides`, and the turns, wxyz, that bring z to them
SIDES = np.array([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]], np.float32)
HALF = np.sqrt(0.5)
TO_SIDES = np.array(
    [[HALF, 0, -HALF, 0], [HALF, 0, HALF, 0], [HALF, HALF, 0, 0], [HALF, -HALF, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]],
    np.float32,
)  # fmt: skip
AHEAD = 32  # frames that are kept ready
MISSED_POINTS = 3000  # shown at most


class GridPanel:
    """Settings of the grid; draws cells, a slice, the mass outside, and the curve of missed mass."""

    def __init__(self, page: Host) -> None:
        self.page = page
        gui = page.server.gui
        gui.add_markdown(what_the_grid_is(page.snapshot.backend))
        self._add_looks()
        with gui.add_folder("how the grid is made", expand_by_default=False):
            self._add_settings()
        with gui.add_folder("slice", expand_by_default=False):
            self._add_slice()
        self._add_curve()
        self._measured: dict[int, tuple[int, float]] = {}  # frame -> (which inspection, missed mass)
        self._measured_for = self.settings
        page.listen(
            self.show, self.color, self.opacity, self.resolution, self.margin, self.threshold,
            self.axis, self.at, self.slice_color, self.lost,
        )  # fmt: skip
        self.reset.on_click(lambda _: self.as_in_training())

    def _add_looks(self) -> None:
        gui = self.page.server.gui
        self.show = gui.add_checkbox(
            "cells", True, hint="Show the occupied cells: those of their sides behind which there is none."
        )
        self.lost = gui.add_checkbox(
            "missed mass", True, hint="Red points: what a dense render sees outside the occupied cells."
        )
        self.color = gui.add_dropdown(
            "colour by",
            ("part", "occupancy"),
            hint="The part nearest to the cell's centre, or the most that 1 - Φ can be in the cell: violet 0, yellow 1.",
        )
        self.opacity = gui.add_slider(
            "cell opacity", 0.05, 1.0, 0.05, 0.25, hint="1 hides what is inside the cells."
        )

    def _add_settings(self) -> None:
        gui, band = self.page.server.gui, training_band(self.page.snapshot)
        self.resolution = gui.add_slider(
            "cells a side",
            16,
            96,
            8,
            RESOLUTION,
            hint=f"Resolution of the grid; the tcnn backend uses {RESOLUTION}.",
        )
        self.margin = gui.add_slider(
            "margin, world units",
            -0.15,
            0.15,
            0.005,
            0.0,
            hint=f"Added to the distance from the ellipsoids within which cells are occupied (now {band:.3f}).",
        )
        self.threshold = gui.add_slider(
            "threshold of occupancy",
            0.0,
            1.0,
            0.01,
            0.0,
            hint="Cells with less are emptied; the tcnn backend uses 0.",
        )
        self.reset = gui.add_button(
            "as in training",
            hint="Resolution, margin and threshold as training with the tcnn backend has them.",
        )

    def _add_slice(self) -> None:
        gui = self.page.server.gui
        self.axis = gui.add_dropdown(
            "slice across", ("none", "x", "y", "z"), hint="Cut the grid open along this world axis."
        )
        self.at = gui.add_slider(
            "slice at, %", 0, 100, 1, 50, hint="Where the cut is, from one end of the box to the other."
        )
        self.slice_color = gui.add_dropdown(
            "slice shows",
            ("signed distance", "occupancy"),
            hint="Distance: red inside, white at the surface, blue outside. Occupancy: violet 0, yellow 1.",
        )

    def _add_curve(self) -> None:
        """Missed mass over frames, on a logarithmic axis whose lowest value stands for all that is less."""
        frames = self.page.snapshot.num_frames
        dots: Any = {"width": 0, "points": {"show": True, "size": 5}}
        self.curve = self.page.server.gui.add_uplot(
            curve_data({}, {}, frames),
            (
                {"label": "frame"},
                {"label": "missed mass, %", "stroke": "#d62728", **dots},
                {"label": "of an older step", "stroke": "#aaaaaa", **dots},
            ),
            title=f"missed mass by frame, %; {MISSED_FLOOR:g}: or less",
            scales={
                "x": uplot.Scale(time=False, range=(0.0, max(frames - 1.0, 1.0))),
                "y": uplot.Scale(distr=3, auto=False, range=(0.5 * MISSED_FLOOR, 200.0)),
            },
            axes=(
                {"label": "frame", "incrs": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)},
                {"label": "%", "size": 60, "splits": (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)},
            ),
            height=190,
        )

    @property
    def settings(self) -> GridSettings:
        return GridSettings(int(self.resolution.value), float(self.margin.value), float(self.threshold.value))

    def as_in_training(self) -> None:
        defaults = GridSettings()
        set_value(self.resolution, defaults.resolution)
        set_value(self.margin, defaults.margin)
        set_value(self.threshold, defaults.threshold)

    def drawables(self) -> list[Drawable]:
        def cut() -> tuple:
            return self.drawn().key, self.axis.value, self.at.value

        def cells() -> tuple:
            return *cut(), self.show.value, self.color.value, self.opacity.value

        return [
            Drawable("cells", cells, self.draw_cells, Pace.IN_TURN),
            Drawable("slice", lambda: (*cut(), self.slice_color.value), self.draw_slice, Pace.IN_TURN),
            Drawable("no missed mass", lambda: (self.page.selection.key, self.lost.value), self.hide_missed),
        ]

    def slow_drawables(self) -> list[Drawable]:
        def missed() -> tuple:
            return (self.page.selection.key,) if self.lost.value else ()

        return [Drawable("missed mass", missed, self.draw_missed, Pace.AFTER)]

    def drawn(self) -> Selection:
        """What is shown of the selection: while frames are played, cells that are not known yet are no finer than tcnn's."""
        selection = self.page.selection
        if not self.page.play.value or selection.grid.resolution <= RESOLUTION:
            return selection
        if self.page.inspection.has_shell(selection, *self.cut(selection)):
            return selection
        return replace(selection, grid=selection.grid._replace(resolution=RESOLUTION))

    def cut(self, selection: Selection) -> tuple[int | None, int]:
        """Axis and layer of cells of the slice."""
        axis = ("x", "y", "z").index(self.axis.value) if self.axis.value != "none" else None
        count = selection.grid.resolution
        return axis, min(int(self.at.value / 100 * count), count - 1)

    def draw_cells(self) -> None:
        if not self.show.value:
            self.page.server.scene.remove_by_name("/cells")
            return
        selection = self.drawn()
        cells, sides = self.page.inspection.shell(selection, *self.cut(selection))
        if self.color.value == "part":
            color = colors.part_colors(cells.part, self.page.snapshot.num_parts)
        else:
            color = colors.occupancy_colors(cells.occupancy)
        which, side = np.nonzero(sides)
        places = cells.cells[which] + 0.5 + 0.5 * SIDES[side]
        square = SQUARE, SQUARE_FACES, TO_SIDES[side]
        self._instances("/cells", cells, places, square, color[which], self.opacity.value)

    def draw_slice(self) -> None:
        selection = self.drawn()
        axis, cut = self.cut(selection)
        if axis is None:
            self.page.server.scene.remove_by_name("/slice")
            return
        cells = self.page.inspection.layer(selection, axis, cut)
        if self.slice_color.value == "occupancy":
            color = colors.occupancy_colors(cells.occupancy)
        else:
            color = colors.sdf_colors(cells.sdf, training_band(self.page.snapshot))
        color[~cells.occupied] //= 3  # emptied by the threshold
        thin = np.where(np.arange(3) == axis, 0.1, 1.0)
        box = thin * CUBE, CUBE_FACES, np.tile(np.array([1, 0, 0, 0], np.float32), (len(color), 1))
        self._instances("/slice", cells, cells.cells + 0.5, box, color, 1.0)

    def hide_missed(self) -> None:
        """Until what is missed now is known."""
        self.page.server.scene.remove_by_name("/missed")

    def draw_missed(self) -> None:
        if not self.lost.value:
            return
        selection, server = self.page.selection, self.page.server
        dense, grid = self.page.inspection.dense(selection), self.page.inspection.grid(selection)
        outside = (dense.mass > 0.01) & ~grid.contains(dense.points)
        points = dense.points[outside][:MISSED_POINTS].cpu().numpy()
        if len(points):
            server.scene.add_point_cloud(
                "/missed", points, (220, 0, 0), point_size=0.008, point_shape="circle", point_shading="flat"
            )

    def look_ahead(self) -> bool:
        """Keep the cells or the images of one more of the next frames ready to be shown; False if all are."""
        page, now = self.page, self.page.selection
        count, cut = page.snapshot.num_frames, self.cut(now)
        for frame in ((now.frame + k) % count for k in range(1, min(count, AHEAD))):
            then = replace(now, frame=frame)
            if not page.film.has_images(frame):
                page.film.images(frame)
                return True
            if self.show.value and not page.inspection.has_shell(then, *cut):
                page.inspection.shell(then, *cut)
                return True
        return False

    def measure_next_frame(self) -> bool:
        """Put one more frame into the curve; False if all are there. What an older model had stays until then."""
        page, frames = self.page, self.page.snapshot.num_frames
        if self.settings != self._measured_for:
            self._measured, self._measured_for = {}, self.settings
        now = id(page.inspection)
        missing = [f for f in range(frames) if self._measured.get(f, (0, 0.0))[0] != now]
        if not missing:
            return False
        here = int(page.frame.value)
        frame = min(missing, key=lambda f: (f in self._measured, abs(f - here)))
        self._measured[frame] = now, page.inspection.missed(frame, self.settings)
        if len(missing) % 5 == 1 or len(self._measured) < 3:
            fresh = {f: value for f, (of, value) in self._measured.items() if of == now}
            stale = {f: value for f, (of, value) in self._measured.items() if of != now}
            self.curve.data = curve_data(fresh, stale, frames)
        return len(missing) > 1

    def _instances(
        self,
        name: str,
        cells: Cells,
        places: np.ndarray,
        shape: tuple[np.ndarray, np.ndarray, np.ndarray],
        color: np.ndarray,
        opacity: float,
    ) -> None:
        """One shape at many places (M, 3) of the grid, in cells from its corner; the node itself brings them to the world.

        Args:
            shape: its vertices (V, 3) in cells, faces, and how each instance is turned, wxyz (M, 4).
            color: (M, 3) uint8.
        """
        server, (vertices, faces, turned) = self.page.server, shape
        if not len(places):
            server.scene.remove_by_name(name)
            return
        show(
            server,
            name,
            server.scene.add_batched_meshes_simple,
            vertices=vertices,
            faces=faces,
            batched_wxyzs=turned,
            batched_positions=places.astype(np.float32),
            batched_colors=color,
            position=cells.low,
            scale=tuple(cells.side.tolist()),
            opacity=None if opacity >= 1 else opacity,
            material="toon3",
            flat_shading=True,
            lod="off",
            cast_shadow=False,
            receive_shadow=False,
        )


def curve_data(fresh: Mapping[int, float], stale: Mapping[int, float], frames: int) -> tuple[np.ndarray, ...]:
    """Frames (T,), and of each its missed mass in %: of this step, and of an older one; below the plot if there is none.

    Args:
        fresh, stale: frame -> missed mass, a share.
    """
    rows = np.full((2, max(frames, 2)), 0.01 * MISSED_FLOOR)  # uPlot takes no NaN
    for row, values in zip(rows, (fresh, stale), strict=True):
        for frame, value in values.items():
            row[frame] = max(100 * value, MISSED_FLOOR)
    return np.arange(rows.shape[1], dtype=float), *rows
