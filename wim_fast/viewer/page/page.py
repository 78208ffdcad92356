"""The page: panels to choose with, layers to see, and one thread that redraws what has changed."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from typing import Any

import numpy as np
import viser

from wim_fast.recordings.cameras import Cameras, up_axis
from wim_fast.viewer.inspect.look import Choice, Look
from wim_fast.viewer.inspect.subject import Film, Subject
from wim_fast.viewer.page.grid import GridPanel
from wim_fast.viewer.page.image import ImagePanel
from wim_fast.viewer.page.layer import Layer, set_value
from wim_fast.viewer.page.object import ObjectPanel
from wim_fast.viewer.page.pose import PosePanel
from wim_fast.viewer.page.ray import RayPanel
from wim_fast.viewer.page.text import HELP, heading, numbers_table, playing_table

IDLE_SECONDS = 0.5  # between looks for something to do


class Page:
    """A viser server's page on a subject. Panels only remember; `update` computes and draws, on one thread at a time."""

    def __init__(self, server: viser.ViserServer, subject: Subject, film: Film, title: str) -> None:
        self.server, self.film, self.title = server, film, title
        self.look = Look(subject, film)
        self.wake = threading.Event()
        self.closed = threading.Event()
        self._drawing = threading.Lock()
        self._next: Subject | None = None
        self._prepare_scene()
        gui = server.gui
        self.heading = gui.add_markdown(heading(title, subject))
        self.frame = gui.add_slider(
            "frame",
            0,
            max(subject.num_frames - 1, 1),
            1,
            0,
            disabled=subject.num_frames < 2,
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
        with tabs.add_tab("Help"):
            gui.add_markdown(HELP)
        for handle in (self.frame, self.play):
            handle.on_update(lambda _: self.touch())
        self.layers = [
            *self.pose.layers(),
            *self.object.layers(),
            *self.grid.layers(),
            *self.ray.layers(),
            Layer("numbers", lambda: (self.choice.key, self.play.value), self._draw_numbers),
            *self.object.slow_layers(),
            *self.image.layers(),
        ]

    @property
    def subject(self) -> Subject:
        return self.look.subject

    @property
    def choice(self) -> Choice:
        """As the panels say now."""
        return Choice(int(self.frame.value), self.grid.settings, self.pose.turns)

    def touch(self) -> None:
        """Say that something may have changed."""
        self.wake.set()

    def listen(self, *handles: Any) -> None:
        """Redraw when one of these inputs changes."""
        for handle in handles:
            handle.on_update(lambda _: self.touch())

    def replace(self, subject: Subject) -> None:
        """Show another state of the model from now on (from any thread)."""
        self._next = subject
        self.touch()

    def update(self) -> None:
        """Draw all that has changed. What was changed meanwhile comes first: the quick layers are drawn again."""
        with self._drawing:
            start = True
            while start and not self.closed.is_set():
                start = False
                self.wake.clear()
                if self._next is not None:
                    self.look, self._next = Look(self._next, self.film), None
                    self.heading.content = heading(self.title, self.subject)
                for layer in self.layers:
                    key = (id(self.look), layer.key())
                    if key == layer.drawn:
                        continue
                    layer.drawn = key
                    self._draw(layer)
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
            if self.play.value and self.subject.num_frames > 1:
                time.sleep(1 / self.pose.frames_per_second)
                set_value(self.frame, (int(self.frame.value) + 1) % self.subject.num_frames)
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

    def _draw(self, layer: Layer) -> None:
        """A layer that fails says so on the page; the others go on."""
        try:
            with self.server.atomic():
                layer.draw()
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self.problem.content = f"**{layer.name} could not be drawn:** {type(error).__name__}: {error}"
            self.problem.visible = True

    def _draw_numbers(self) -> None:
        """While frames are played, only those that cost nothing."""
        choice, ids = self.choice, self.film.run.frame_ids
        if self.play.value:
            self.numbers.content = playing_table(self.look.grid(choice), choice, ids)
        else:
            self.numbers.content = numbers_table(self.look.numbers(choice), choice, ids)

    def _prepare_scene(self) -> None:
        server, cameras = self.server, self.film.cameras
        server.gui.configure_theme(control_width="large", show_logo=False, show_share_button=False)
        server.gui.main_panel.dock_right()
        server.gui.set_panel_label("wim-fast")
        server.scene.set_up_direction(tuple(up_axis(cameras).tolist()))
        middle = self.subject.motion.translation[0].mean(0)
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
