"""The page: panels to choose with, what is drawn of their choices, and one thread that redraws what has changed."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from typing import Any

import numpy as np
import viser

from wim_fast.recordings.cameras import Cameras, up_axis
from wim_fast.runs.run import Run
from wim_fast.viewer.inspect.inspection import Inspection, Selection
from wim_fast.viewer.inspect.snapshot import Film, Snapshot
from wim_fast.viewer.page.drawable import Drawable, set_value
from wim_fast.viewer.page.export import ExportPanel
from wim_fast.viewer.page.grid import GridPanel
from wim_fast.viewer.page.image import ImagePanel
from wim_fast.viewer.page.object import ObjectPanel
from wim_fast.viewer.page.pose import PosePanel
from wim_fast.viewer.page.ray import RayPanel
from wim_fast.viewer.page.text import HELP, heading, numbers_table, playing_table

IDLE_SECONDS = 0.5  # between checks for something to do


class Page:
    """A viser server's page on a snapshot. Panels only remember; `update` computes and draws, on one thread at a time."""

    def __init__(self, server: viser.ViserServer, snapshot: Snapshot, film: Film, title: str) -> None:
        self.server, self.film, self.title = server, film, title
        self.inspection = Inspection(snapshot, film)
        self.wake = threading.Event()
        self.closed = threading.Event()
        self._drawing = threading.Lock()
        self._next: Run | None = None
        self._prepare_scene()
        gui = server.gui
        self.heading = gui.add_markdown(heading(title, snapshot))
        self.frame = gui.add_slider(
            "frame",
            0,
            max(snapshot.num_frames - 1, 1),
            1,
            0,
            disabled=snapshot.num_frames < 2,
            hint="Which of the frames trained on is shown everywhere, counted from 0.",
        )
        self.play = gui.add_checkbox("play", False, hint="Go through the frames, again and again.")
        self.numbers = gui.add_html("")
        self.problem = gui.add_markdown("", visible=False)
        tabs = gui.add_tab_group()
        with tabs.add_tab("Grid"):
            self.grid = GridPanel(self)
        with tabs.add_tab("Object"):
            self.object = ObjectPanel(self, lambda *click: self.ray.clicked_image(*click))
        with tabs.add_tab("Ray"):
            self.ray = RayPanel(self)
        with tabs.add_tab("Image"):
            self.image = ImagePanel(self)
        with tabs.add_tab("Pose"):
            self.pose = PosePanel(self)
        with tabs.add_tab("Export"):
            self.export = ExportPanel(self)
        with tabs.add_tab("Help"):
            gui.add_markdown(HELP)
        for handle in (self.frame, self.play):
            handle.on_update(lambda _: self.touch())
        self.drawables = [
            *self.pose.drawables(),
            *self.object.drawables(),
            *self.grid.drawables(),
            *self.ray.drawables(),
            Drawable("numbers", lambda: (self.selection.key, self.play.value), self._draw_numbers),
            *self.object.slow_drawables(),
            *self.image.drawables(),
            *self.export.drawables(),
        ]

    @property
    def snapshot(self) -> Snapshot:
        return self.inspection.snapshot

    @property
    def selection(self) -> Selection:
        """As the panels say now."""
        return Selection(int(self.frame.value), self.grid.settings, self.pose.turns)

    def touch(self) -> None:
        """Say that something may have changed."""
        self.wake.set()

    def listen(self, *handles: Any) -> None:
        """Redraw when one of these inputs changes."""
        for handle in handles:
            handle.on_update(lambda _: self.touch())

    def replace(self, run: Run) -> None:
        """Show another state of the model from now on (from any thread)."""
        self._next = run
        self.touch()

    def update(self) -> None:
        """Draw all that has changed. What was changed meanwhile comes first: the quick ones are drawn again."""
        with self._drawing:
            start = True
            while start and not self.closed.is_set():
                start = False
                self.wake.clear()
                if self._next is not None:
                    self.film.run, self._next = self._next, None
                    self.inspection = Inspection(Snapshot.of_run(self.film.run), self.film)
                    self.heading.content = heading(self.title, self.snapshot)
                for drawable in self.drawables:
                    key = (id(self.inspection), drawable.key())
                    if key == drawable.drawn:
                        continue
                    drawable.drawn = key
                    self._draw(drawable)
                    if self.wake.is_set():
                        start = True
                        break

    def run(self) -> None:
        """Draw it, and keep it up to date until it is closed; while nobody looks, nothing more is computed."""
        self.update()
        while not self.closed.is_set():
            self.wake.wait(IDLE_SECONDS)
            if not self.server.get_clients():
                continue
            self.update()
            if self.play.value and self.snapshot.num_frames > 1:
                time.sleep(1 / self.pose.frames_per_second)
                set_value(self.frame, (int(self.frame.value) + 1) % self.snapshot.num_frames)
                self.touch()
            elif self.grid.measure_next_frame():
                self.touch()

    def start(self) -> threading.Thread:
        """`run` in a thread of its own."""
        thread = threading.Thread(target=self.run, name="page", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        self.closed.set()
        self.touch()
        self.server.stop()

    def _draw(self, drawable: Drawable) -> None:
        """What cannot be drawn says so on the page; the others go on."""
        try:
            with self.server.atomic():
                drawable.draw()
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self.problem.content = f"**{drawable.name} could not be drawn:** {type(error).__name__}: {error}"
            self.problem.visible = True

    def _draw_numbers(self) -> None:
        """While frames are played, only those that cost nothing."""
        selection, ids = self.selection, self.film.run.frame_ids
        if self.play.value:
            self.numbers.content = playing_table(self.inspection.grid(selection), selection, ids)
        else:
            self.numbers.content = numbers_table(
                self.inspection.numbers(selection), selection, ids, self.snapshot.backend
            )

    def _prepare_scene(self) -> None:
        server, cameras = self.server, self.film.cameras
        server.gui.configure_theme(control_width="large", show_logo=False, show_share_button=False)
        server.gui.main_panel.dock_right()
        server.gui.set_panel_label("wim-fast")
        server.scene.set_up_direction(tuple(up_axis(cameras).tolist()))
        middle = self.snapshot.motion.translation[0].mean(0)
        server.initial_camera.look_at = middle
        server.initial_camera.position = middle + 0.6 * (best_eye(cameras, middle) - middle)
        server.scene.configure_default_lights(cast_shadow=False)


def best_eye(cameras: Cameras, middle: np.ndarray) -> np.ndarray:
    """(3,) where to look from at first: as far as the cameras are, half-way between the first and its neighbour."""
    arms = cameras.centers - middle
    first, others = arms[0], arms[1:]
    if not len(others):
        return cameras.centers[0]
    arm = first + others[np.linalg.norm(others - first, axis=1).argmin()]
    return middle + arm * np.linalg.norm(first) / max(float(np.linalg.norm(arm)), 1e-9)
