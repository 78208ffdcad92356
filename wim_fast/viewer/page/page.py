"""The page: panels to choose with, what is drawn of their choices, and one thread that redraws what has changed.

Everyone who looks shares it: what one person chooses, all see. Only from where one looks is one's own.
"""

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
from wim_fast.viewer.inspect.frame import FrameNumbers
from wim_fast.viewer.inspect.inspection import FEW, Inspection, Selection
from wim_fast.viewer.inspect.snapshot import Film, Snapshot
from wim_fast.viewer.page.drawable import Drawable, Overtaken, Pace, set_value
from wim_fast.viewer.page.export import ExportPanel
from wim_fast.viewer.page.grid import GridPanel
from wim_fast.viewer.page.image import ImagePanel
from wim_fast.viewer.page.object import ObjectPanel
from wim_fast.viewer.page.pose import PosePanel
from wim_fast.viewer.page.ray import RayPanel
from wim_fast.viewer.page.text import CLOSED, HELP, STYLE, heading, numbers_table, playing_table

IDLE_SECONDS = 0.5  # between checks for something to do
LONGEST_TURN = 1.0  # seconds that what is drawn in turn waits while frames are played
GOODBYE_SECONDS = 0.3  # for the browsers to hear that the page is closed
SHARE, NARROWEST, WIDEST = 0.36, 250, 420  # of the window that the panel takes, and its limits in pixels


class Page:
    """A viser server's page on a snapshot. Panels only remember; `update` computes and draws, on one thread at a time.

    What is quick is drawn first. A change while something slow is computed stops that, and all begins anew with what
    is quick; what had been computed is kept.
    """

    def __init__(self, server: viser.ViserServer, snapshot: Snapshot, film: Film, title: str) -> None:
        self.server, self.film, self.title = server, film, title
        self.inspection = Inspection(snapshot, film, self._pause)
        self.wake = threading.Event()
        self.closed = threading.Event()
        self._drawing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._next: Run | None = None
        self._next_frame_at = 0.0
        self._prepare_scene()
        self._add_panels()
        for handle in (self.frame, self.play):
            handle.on_update(lambda _: self.touch())
        self.drawables = [
            *self.pose.drawables(),
            *self.object.drawables(),
            Drawable("numbers", lambda: (self.selection.key, self.play.value), self._draw_numbers),
            *self.grid.drawables(),
            *self.object.later_drawables(),
            *self.ray.drawables(),
            *self.object.slow_drawables(),
            Drawable("all numbers", lambda: self.selection.key, self._draw_all_numbers, Pace.AFTER),
            *self.grid.slow_drawables(),
            *self.image.drawables(),
            *self.export.drawables(),
        ]

    def _add_panels(self) -> None:
        gui, frames = self.server.gui, self.snapshot.num_frames
        gui.add_html(STYLE)
        self.heading = gui.add_markdown(heading(self.title, self.snapshot))
        hint = "Which of the frames trained on is shown everywhere, counted from 0."
        self.frame = gui.add_slider("frame", 0, max(frames - 1, 1), 1, 0, disabled=frames < 2, hint=hint)
        self.play = gui.add_checkbox("play", False, hint="Go through the frames, again and again.")
        self.numbers = gui.add_html("")
        self.problem = gui.add_markdown("", visible=False)
        tabs = gui.add_tab_group()
        with tabs.add_tab("Grid"):
            self.grid = GridPanel(self)
        with tabs.add_tab("Object"):
            self.object = ObjectPanel(
                self, lambda *click: self.ray.clicked_image(*click), lambda part: self.pose.choose(part)
            )
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

    @property
    def snapshot(self) -> Snapshot:
        return self.inspection.snapshot

    @property
    def selection(self) -> Selection:
        """As the panels say now."""
        return Selection(int(self.frame.value), self.grid.settings, self.pose.turns)

    @property
    def chosen_part(self) -> int | None:
        """The part that the pose panel turns."""
        return self.pose.chosen

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
        """Draw all that has changed, until nothing has changed meanwhile."""
        with self._drawing:
            while not self.closed.is_set():
                self.wake.clear()
                if self._next is not None:
                    self.film.run, self._next = self._next, None
                    self.inspection = Inspection(Snapshot.of_run(self.film.run), self.film, self._pause)
                    self.heading.content = heading(self.title, self.snapshot)
                if self._drew_all():
                    return

    def _drew_all(self) -> bool:
        """Draw what has changed, in order; False as soon as something changes again."""
        for drawable in self._in_order():
            key = (id(self.inspection), drawable.key())
            if key == drawable.drawn or self._must_wait(drawable):
                continue
            try:
                self._draw(drawable)
            except Overtaken:
                return False
            drawable.drawn, drawable.at = key, time.monotonic()
            if self.wake.is_set():
                return False
        return True

    def _in_order(self) -> list[Drawable]:
        """While frames are played, of what is drawn in turn that which has waited longest comes first."""
        if not self.play.value:
            return self.drawables
        return sorted(self.drawables, key=lambda d: d.at if d.pace is Pace.IN_TURN else 0.0)

    def _must_wait(self, drawable: Drawable) -> bool:
        """Whether the next frame that is played comes before this; nothing that is drawn in turn waits for long."""
        if not self.play.value or drawable.pace is Pace.EACH:
            return False
        now = time.monotonic()
        return drawable.pace is Pace.AFTER or (now > self._next_frame_at and now < drawable.at + LONGEST_TURN)

    def _pause(self) -> None:
        """Between bits of what takes long: Overtaken if something has changed, or the page is closed."""
        if self.wake.is_set() or self.closed.is_set():
            raise Overtaken

    def run(self) -> None:
        """Draw it, and keep it up to date until it is closed; while nobody looks, nothing more is computed."""
        self.update()
        while not self.closed.is_set():
            self.wake.wait(IDLE_SECONDS)
            if not self.server.get_clients():
                self.closed.wait(IDLE_SECONDS)  # what has changed stays so until somebody looks
                continue
            self.update()
            if self.play.value and self.snapshot.num_frames > 1:
                self._show_next_frame()
            else:
                self._work_ahead()

    def _show_next_frame(self) -> None:
        """When it is time to; what is late by more than a frame is not made up for."""
        self.closed.wait(max(0.0, self._next_frame_at - time.monotonic()))
        period, now = 1 / self.pose.frames_per_second, time.monotonic()
        self._next_frame_at = max(self._next_frame_at, now - period) + period
        set_value(self.frame, (int(self.frame.value) + 1) % self.snapshot.num_frames)
        self.touch()

    def _work_ahead(self) -> None:
        """While there is nothing else to do: the next frames, then the curve of missed mass."""
        try:
            if not self.closed.is_set() and (self.grid.look_ahead() or self.grid.measure_next_frame()):
                self.touch()
        except Overtaken:
            pass  # it goes on from there when there is time

    def start(self) -> threading.Thread:
        """`run` in a thread of its own, until `close`."""
        self._thread = threading.Thread(target=self.run, name="page")
        self._thread.start()
        return self._thread

    def close(self) -> None:
        """Say so in the browsers, wait for what is being drawn, and stop."""
        self.closed.set()
        self.touch()
        if self._thread is not None:
            self._thread.join()
        self.heading.content = CLOSED
        self.server.flush()
        if self.server.get_clients():
            time.sleep(GOODBYE_SECONDS)
        self.server.stop()

    def _draw(self, drawable: Drawable) -> None:
        """What cannot be drawn says so on the page; the others go on. Overtaken if something has changed meanwhile."""
        try:
            drawable.draw()
        except Overtaken:
            raise
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self.problem.content = f"**{drawable.name} could not be drawn:** {type(error).__name__}: {error}"
            self.problem.visible = True

    def _draw_numbers(self) -> None:
        """From few rays, which is quick; while frames are played, those that are known already."""
        selection, known = self.selection, self.inspection.known_numbers(self.selection)
        if known is None and self.play.value:
            self.numbers.content = playing_table(selection, self.film.run.frame_ids)
        else:
            self._show(known or self.inspection.numbers(selection, FEW), selection)

    def _draw_all_numbers(self) -> None:
        """From all rays."""
        self._show(self.inspection.numbers(self.selection), self.selection)

    def _show(self, numbers: FrameNumbers, selection: Selection) -> None:
        rays, ids = len(self.inspection.rays.origins), self.film.run.frame_ids
        self.numbers.content = numbers_table(numbers, rays, selection, ids, self.snapshot.backend)

    def _prepare_scene(self) -> None:
        server, cameras = self.server, self.film.cameras
        server.gui.configure_theme(control_width="large", show_logo=False, show_share_button=False)
        server.gui.set_panel_label("wim-fast")
        server.on_client_connect(leave_room)
        server.scene.set_up_direction(tuple(up_axis(cameras).tolist()))
        middle = self.snapshot.motion.translation[0].mean(0)
        server.initial_camera.look_at = middle
        server.initial_camera.position = middle + 0.75 * (best_eye(cameras, middle) - middle)
        server.scene.configure_default_lights(cast_shadow=False)


def leave_room(client: viser.ClientHandle) -> None:
    """Dock the panel at the right of a browser's window, as wide as that allows."""
    panel, window = client.gui.main_panel, client.camera.image_width  # the panel floats until now
    panel.dock_right()
    panel.set_width(min(WIDEST, max(NARROWEST, SHARE * window)))


def best_eye(cameras: Cameras, middle: np.ndarray) -> np.ndarray:
    """(3,) where to look from at first: as far as the cameras are, half-way between the first and its neighbour."""
    arms = cameras.centers - middle
    first, others = arms[0], arms[1:]
    if not len(others):
        return cameras.centers[0]
    arm = first + others[np.linalg.norm(others - first, axis=1).argmin()]
    return middle + arm * np.linalg.norm(first) / max(float(np.linalg.norm(arm)), 1e-9)
