"""The panel of the occupancy grid, the one of the tcnn backend, and its cells in the view."""

from __future__ import annotations

import numpy as np
import viser
import viser.uplot as uplot

from wim_fast.ops.occupancy.reference import RESOLUTION
from wim_fast.viewer import colors
from wim_fast.viewer.inspect.culling import what_the_grid_is
from wim_fast.viewer.inspect.grid import GridSettings, training_band, visible_cells
from wim_fast.viewer.page.drawable import Drawable, set_value
from wim_fast.viewer.page.panel import Host

CUBE = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
CUBE_FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
     [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]],
    np.int32,
)  # fmt: skip
GAP = 0.9  # share of a cell's side that its box fills
MISSED_POINTS = 3000  # shown at most


class GridPanel:
    """Settings of the grid; draws cells, a slice, the mass outside, and the curve of missed mass."""

    def __init__(self, page: Host) -> None:
        self.page = page
        gui, frames = page.server.gui, page.snapshot.num_frames
        gui.add_markdown(what_the_grid_is(page.snapshot.backend))
        self.show = gui.add_checkbox("cells", True, hint="Show the occupied cells as boxes.")
        self.color = gui.add_dropdown(
            "colour by",
            ("part", "occupancy"),
            hint="The part nearest to the cell's centre, or the most that 1 - Φ can be in the cell: violet 0, yellow 1.",
        )
        self.opacity = gui.add_slider(
            "cell opacity", 0.05, 1.0, 0.05, 0.2, hint="1 hides what is inside the cells."
        )
        self.resolution = gui.add_slider(
            "cells a side",
            16,
            96,
            8,
            RESOLUTION,
            hint=f"Resolution of the grid; the tcnn backend uses {RESOLUTION}.",
        )
        band = training_band(page.snapshot)
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
        self.lost = gui.add_checkbox(
            "missed mass", True, hint="Red points: what a dense render sees outside the occupied cells."
        )
        self.curve = gui.add_uplot(
            (np.array([0.0, max(frames - 1.0, 1.0)]), np.zeros(2)),
            (
                {"label": "frame"},
                {
                    "label": "missed mass, %",
                    "stroke": "#d62728",
                    "width": 2,
                    "points": {"show": True, "size": 4},
                },
            ),
            title="missed mass of each frame, % of its opacity",
            scales={"x": uplot.Scale(time=False)},
            axes=({"label": "frame"}, {"label": "%", "size": 60}),
            height=190,
        )
        self._measured: dict[int, tuple[int, float]] = {}  # frame -> (which inspection, missed mass)
        self._measured_for = self.settings
        page.listen(
            self.show, self.color, self.opacity, self.resolution, self.margin, self.threshold,
            self.axis, self.at, self.slice_color, self.lost,
        )  # fmt: skip
        self.reset.on_click(lambda _: self.as_in_training())

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
            return self.page.selection.key, self.axis.value, self.at.value

        def missed() -> tuple:
            return (self.page.selection.key,) if self.shows_missed else ()

        return [
            Drawable(
                "cells",
                lambda: (*cut(), self.show.value, self.color.value, self.opacity.value),
                self.draw_cells,
            ),
            Drawable("slice", lambda: (*cut(), self.slice_color.value), self.draw_slice),
            Drawable("missed mass", missed, self.draw_missed),
        ]

    @property
    def shows_missed(self) -> bool:
        """Not while frames are played: a dense render of each would hold them up."""
        return bool(self.lost.value) and not self.page.play.value

    def cut(self) -> tuple[int | None, int]:
        """Axis and layer of cells of the slice."""
        axis = ("x", "y", "z").index(self.axis.value) if self.axis.value != "none" else None
        count = int(self.resolution.value)
        return axis, min(int(self.at.value / 100 * count), count - 1)

    def draw_cells(self) -> None:
        scene = self.page.server.scene
        if not self.show.value:
            scene.remove_by_name("/cells")
            return
        grid = self.page.inspection.grid(self.page.selection)
        axis, cut = self.cut()
        cells = visible_cells(grid, axis, cut)
        if axis is not None:  # the slice itself is drawn by `draw_slice`
            cells = cells[cells[:, axis] < cut]
        i, j, k = cells.unbind(-1)
        if self.color.value == "part":
            color = colors.part_colors(grid.part[i, j, k].cpu().numpy(), self.page.snapshot.num_parts)
        else:
            color = colors.occupancy_colors(grid.occupancy[i, j, k].cpu().numpy())
        self._boxes(
            "/cells",
            grid.centers(cells).cpu().numpy(),
            GAP * grid.cell.cpu().numpy(),
            color,
            self.opacity.value,
        )

    def draw_slice(self) -> None:
        axis, cut = self.cut()
        if axis is None:
            self.page.server.scene.remove_by_name("/slice")
            return
        grid = self.page.inspection.grid(self.page.selection)
        cells = grid.occupied.new_ones(grid.occupied.shape).nonzero()
        cells = cells[(cells[:, axis] == cut) & grid.sdf.isfinite().flatten()]
        i, j, k = cells.unbind(-1)
        if self.slice_color.value == "occupancy":
            color = colors.occupancy_colors(grid.occupancy[i, j, k].cpu().numpy())
        else:
            color = colors.sdf_colors(grid.sdf[i, j, k].cpu().numpy(), training_band(self.page.snapshot))
        empty = ~grid.occupied[i, j, k].cpu().numpy()
        color[empty] = color[empty] // 3  # emptied by the threshold
        thin = grid.cell.cpu().numpy().copy()
        thin[axis] *= 0.1
        self._boxes("/slice", grid.centers(cells).cpu().numpy(), thin, color, 1.0)

    def draw_missed(self) -> None:
        selection, scene = self.page.selection, self.page.server.scene
        points = np.zeros((0, 3))
        if self.shows_missed:
            dense, grid = self.page.inspection.dense(selection), self.page.inspection.grid(selection)
            outside = (dense.mass > 0.01) & ~grid.contains(dense.points)
            points = dense.points[outside][:MISSED_POINTS].cpu().numpy()
        if not len(points):
            scene.remove_by_name("/missed")
            return
        scene.add_point_cloud(
            "/missed", points, (220, 0, 0), point_size=0.008, point_shape="circle", point_shading="flat"
        )

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
            measured = sorted(self._measured)
            values = [100 * self._measured[f][1] for f in measured]
            self.curve.data = np.array(measured, float), np.array(values)
        return len(missing) > 1

    def _boxes(
        self, name: str, centers: np.ndarray, sides: np.ndarray, color: np.ndarray, opacity: float
    ) -> viser.BatchedMeshHandle | None:
        """Boxes of one size in the view, as instances of one mesh."""
        scene, count = self.page.server.scene, len(centers)
        if not count:
            scene.remove_by_name(name)
            return None
        return scene.add_batched_meshes_simple(
            name,
            CUBE,
            CUBE_FACES,
            batched_wxyzs=np.tile([1.0, 0.0, 0.0, 0.0], (count, 1)),
            batched_positions=centers,
            batched_scales=np.broadcast_to(sides, centers.shape).copy(),
            batched_colors=color,
            opacity=None if opacity >= 1 else opacity,
            flat_shading=True,
            lod="off",
            cast_shadow=False,
            receive_shadow=False,
        )
