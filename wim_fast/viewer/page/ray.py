"""The panel of one ray: where it goes, how the march skips what is empty, what it samples, and what each sample weighs."""

from __future__ import annotations

import numpy as np
import viser
import viser.uplot as uplot

from wim_fast.compositing import over_uint8
from wim_fast.drawing.annotate import marked_pixel, part_palette
from wim_fast.drawing.images import enlarge_to
from wim_fast.ops.backend import Backend
from wim_fast.recordings.cameras import pixel_rays
from wim_fast.viewer import colors
from wim_fast.viewer.inspect.culling import how_it_culls
from wim_fast.viewer.inspect.rays import RayProbe, interval_ends
from wim_fast.viewer.inspect.shape import pixel_on_image
from wim_fast.viewer.page.drawable import Drawable, Pace, set_value
from wim_fast.viewer.page.grid import CUBE, CUBE_FACES
from wim_fast.viewer.page.panel import Host
from wim_fast.viewer.page.text import percent

APART = 0.01  # between the intervals, which are drawn beside the ray, world units
PICTURE_SIZE = 320  # pixels, of the camera's image in the panel


class RayPanel:
    """Selects a ray, by camera and pixel or by a click; draws it, its intervals or cells, its samples and their plot."""

    def __init__(self, page: Host) -> None:
        self.page = page
        self.free: tuple[tuple[float, ...], tuple[float, ...]] | None = (
            None  # origin and direction of a click
        )
        gui, cameras = page.server.gui, page.film.cameras
        gui.add_markdown(
            "One ray, sample by sample. Click on a camera's image in the view, or choose a pixel here. "
            + how_it_culls(page.snapshot.backend)
        )
        self.show = gui.add_checkbox(
            "ray", False, hint="Draw the ray and its samples; choosing one draws it too."
        )
        culling = page.snapshot.backend.culling
        self.intervals = gui.add_checkbox(
            "intervals in ellipsoids",
            culling == "intervals",
            hint="Beside the ray, in a part's colour: where it is inside the inflated ellipsoid. So numba and Triton cull.",
        )
        self.cells = gui.add_checkbox(
            "cells of the grid",
            culling == "grid",
            hint="The cells of the tcnn backend's grid that the ray crosses; orange: occupied.",
        )
        self.clicks = gui.add_checkbox(
            "clicks shoot rays", False, hint="Every click into the view shoots a ray from where you look."
        )
        self.camera = gui.add_dropdown(
            "camera",
            [str(i) for i in cameras.ids],
            hint="The camera that the ray starts from, by its number.",
        )
        self.x = gui.add_slider(
            "pixel x", 0, cameras.width - 1, 1, cameras.width // 2, hint="Column, counted from the left."
        )
        self.y = gui.add_slider(
            "pixel y", 0, cameras.height - 1, 1, cameras.height // 2, hint="Row, counted from the top."
        )
        self.picture = gui.add_image(np.zeros((8, 8, 3), np.uint8), label="filmed; the cross is the pixel")
        self.text = gui.add_markdown("")
        empty = tuple(np.zeros(2) for _ in range(4))
        x_axis = uplot.Axis(label="distance along the ray, world units")
        self.sdf_plot = gui.add_uplot(
            empty[:2],
            ({"label": "distance"}, {"label": "sdf, world units", "stroke": "#1f77b4", "width": 2}),
            title="signed distance of the field along the ray",
            scales={"x": uplot.Scale(time=False)},
            axes=(x_axis, {"label": "world units", "size": 60}),
            height=210,
        )
        self.plot = gui.add_uplot(
            empty,
            (
                {"label": "distance"},
                {"label": "alpha", "stroke": "#ff7f0e", "width": 2},
                {"label": "weight", "stroke": "#2ca02c", "width": 2},
                {"label": "taken", "stroke": "#000000", "width": 0, "points": {"show": True, "size": 5}},
            ),
            title="alpha and weight; black: samples that training takes",
            scales={"x": uplot.Scale(time=False), "y": uplot.Scale(auto=False, range=(0.0, 1.05))},
            axes=(x_axis, {"label": "share", "size": 60}),
            height=210,
        )
        for handle in (self.camera, self.x, self.y):
            handle.on_update(self._chosen)
        page.listen(self.show, self.intervals, self.cells)
        self.clicks.on_update(lambda _: self._listen_to_clicks())

    @property
    def index(self) -> int:
        """Position of the chosen camera."""
        return [str(i) for i in self.page.film.cameras.ids].index(self.camera.value)

    def ray(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Origin and unit direction, world."""
        if self.free is not None:
            return self.free
        cameras, index = self.page.film.cameras, self.index
        pixel = np.array([self.x.value + 0.5, self.y.value + 0.5])
        origin, direction = pixel_rays(cameras.intrinsics[index], cameras.T_camera_world[index], pixel)
        return tuple(origin.tolist()), tuple(direction.tolist())

    def probe(self) -> RayProbe:
        origin, direction = self.ray()
        return self.page.inspection.probe(self.page.selection, np.array(origin), np.array(direction))

    def clicked_image(
        self, index: int, corners: np.ndarray, origin: np.ndarray, direction: np.ndarray
    ) -> None:
        """A click on the image of camera number `index`, held at `corners` (4, 3), by a ray of the viewer's own eye."""
        share = pixel_on_image(corners, origin, direction)
        if share is None:
            return
        cameras = self.page.film.cameras
        set_value(self.camera, str(cameras.ids[index]))
        set_value(self.x, min(int(share[0] * cameras.width), cameras.width - 1))
        set_value(self.y, min(int(share[1] * cameras.height), cameras.height - 1))
        self._chosen(None)

    def clicked_view(self, origin: np.ndarray, direction: np.ndarray) -> None:
        """A click into the view: a ray that belongs to no camera."""
        direction = direction / np.linalg.norm(direction)
        self.free = tuple(origin.tolist()), tuple(direction.tolist())
        set_value(self.show, True)
        self.page.touch()

    def drawables(self) -> list[Drawable]:
        def pixel() -> tuple:
            return (
                int(self.page.frame.value),
                self.camera.value,
                self.x.value,
                self.y.value,
                self.free is None,
            )

        return [
            Drawable("ray", lambda: (self.page.selection.key, self.ray(), *self.shown()), self.draw_ray),
            Drawable("ray plot", lambda: (self.page.selection.key, self.ray()), self.draw_plot, Pace.AFTER),
            Drawable("pixel", pixel, self.draw_picture, Pace.AFTER),
        ]

    def shown(self) -> tuple[bool, bool, bool]:
        """Whether the ray, its intervals and its cells are drawn."""
        return bool(self.show.value), bool(self.intervals.value), bool(self.cells.value)

    def draw_ray(self) -> None:
        scene = self.page.server.scene
        if not self.show.value:
            scene.remove_by_name("/ray")
            return
        probe = self.probe()
        with self.page.server.atomic():
            scene.remove_by_name("/ray")
            self._draw_probe(probe)

    def _draw_probe(self, probe: RayProbe) -> None:
        scene = self.page.server.scene
        reach = float(probe.t[-1]) if len(probe.t) else float(np.linalg.norm(probe.origin)) + 1
        ends = np.stack([probe.origin, probe.origin + reach * probe.direction])
        scene.add_line_segments("/ray", ends[None], (0, 0, 0), thickness=1.5, thickness_units="screen")
        if self.intervals.value:
            self._draw_intervals(probe)
        if self.cells.value:
            self._draw_cells(probe)
        self._draw_samples(probe)

    def _draw_intervals(self, probe: RayProbe) -> None:
        met = probe.parts_met
        if not len(met):
            return
        color = np.repeat(part_palette(self.page.snapshot.num_parts)[met][:, None], 2, axis=1)
        least = np.eye(3)[np.abs(probe.direction).argmin()]  # the axis most across the ray
        ends = interval_ends(probe, least, APART)
        self.page.server.scene.add_line_segments(
            "/ray/intervals", ends, color, thickness=5.0, thickness_units="screen"
        )

    def _draw_cells(self, probe: RayProbe) -> None:
        if not len(probe.cells):
            return
        grid = self.page.inspection.grid(self.page.selection)
        cell, low = grid.cell.cpu().numpy(), grid.low.cpu().numpy()
        edges = box_edges(low + (probe.cells + 0.5) * cell, cell)
        color = np.where(probe.cell_occupied[:, None], (220, 90, 0), (170, 170, 170)).astype(np.uint8)
        color = np.repeat(np.repeat(color, 12, axis=0)[:, None], 2, axis=1)
        self.page.server.scene.add_line_segments(
            "/ray/cells", edges, color, thickness=1.0, thickness_units="screen"
        )

    def _draw_samples(self, probe: RayProbe) -> None:
        taken, scene = probe.taken, self.page.server.scene
        if taken.any():
            weight = probe.weight[taken]
            size = 0.004 + 0.012 * np.sqrt(weight / max(float(weight.max()), 1e-6))
            scene.add_batched_meshes_simple(
                "/ray/samples",
                CUBE,
                CUBE_FACES,
                batched_wxyzs=np.tile([1.0, 0.0, 0.0, 0.0], (len(weight), 1)),
                batched_positions=probe.points[taken],
                batched_scales=size,
                batched_colors=colors.occupancy_colors(weight / max(float(weight.max()), 1e-6)),
                lod="off",
                cast_shadow=False,
                receive_shadow=False,
            )

    def draw_plot(self) -> None:
        probe = self.probe()
        self.text.content = describe(probe, self.page.snapshot.backend)
        near = slice(None)
        if probe.taken.any():  # the empty parts before and behind say nothing
            first, last = np.flatnonzero(probe.taken)[[0, -1]]
            near = slice(max(0, first - 12), last + 13)
        t = probe.t[near].astype(float)
        if len(t) < 2:
            t, nothing = np.array([0.0, 1.0]), np.zeros(2)
            self.sdf_plot.data, self.plot.data = (t, nothing), (t, nothing, nothing, nothing)
            return
        taken = np.where(probe.taken[near], 0.01, -1.0)  # below the plot: uPlot takes no NaN
        self.sdf_plot.data = t, probe.sdf[near].astype(float)
        self.plot.data = t, probe.alpha[near].astype(float), probe.weight[near].astype(float), taken

    def draw_picture(self) -> None:
        if self.free is not None:
            self.picture.visible = False
            return
        film = self.page.film
        filmed = over_uint8(film.images(int(self.page.frame.value))[self.index], film.background)
        self.picture.image = marked_pixel(
            enlarge_to(filmed, PICTURE_SIZE),
            (self.x.value + 0.5) / filmed.shape[1],
            (self.y.value + 0.5) / filmed.shape[0],
        )
        self.picture.visible = True

    def _chosen(self, _: object) -> None:
        self.free = None
        set_value(self.show, True)
        self.page.touch()

    def _listen_to_clicks(self) -> None:
        scene = self.page.server.scene
        if not self.clicks.value:
            scene.remove_click_callback()
            return

        @scene.on_click()
        def shoot(event: viser.SceneClickEvent) -> None:
            self.clicked_view(np.array(event.ray_origin), np.array(event.ray_direction))


def box_edges(centers: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """The 12 edges of each box: centers (N, 3), sides (3,) -> (12 N, 2, 3)."""
    pairs = [(a, b) for a in range(8) for b in range(a) if np.abs(CUBE[a] - CUBE[b]).sum() == 1]
    edges = CUBE[np.array(pairs)] * sides  # (12, 2, 3)
    return (centers[:, None, None] + edges).reshape(-1, 2, 3)


def describe(probe: RayProbe, backend: Backend) -> str:
    """A ray in words (Markdown): first what the backend does, then what the grid of the tcnn backend would do."""
    seen = f"at distance {probe.depth:.3f}" if np.isfinite(probe.depth) else "nothing is seen"
    taken = f"opacity **{probe.opacity:.3f}**, {seen} (world units); {int(probe.taken.sum())} samples taken"
    grid = (
        f"{int(probe.cell_occupied.sum())} of the {len(probe.cells)} cells it crosses are occupied,"
        f" missed mass {percent(probe.missed)}"
    )
    if backend.culling == "grid":
        return f"{taken}; {grid}"
    if probe.span is None:
        return f"{taken}; it meets no inflated ellipsoid; in tcnn's grid {grid}"
    near, far = probe.span
    met = f"it meets {len(probe.parts_met)} inflated ellipsoids, from {near:.3f} to {far:.3f}"
    return f"{taken}; {met}; in tcnn's grid {grid}"
