"""What has been computed of a subject, kept until it changes: the views of one frame share their pose and grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from wim_fast.model.articulated_model import Posed
from wim_fast.model.motion import Motion, posed_at
from wim_fast.rendering.rays import Rays
from wim_fast.viewer.inspect.frame import FrameNumbers, frame_numbers
from wim_fast.viewer.inspect.grid import FrameGrid, GridSettings, frame_grid
from wim_fast.viewer.inspect.posing import Articulation, Turns, posed_by_hand
from wim_fast.viewer.inspect.rays import (
    DenseRender,
    RayProbe,
    dense_render,
    missed_mass,
    probe_ray,
    remembered,
    sample_of_rays,
)
from wim_fast.viewer.inspect.shape import Mesh, surface_mesh
from wim_fast.viewer.inspect.subject import Film, Subject

Value = TypeVar("Value")


@dataclass(frozen=True)
class Choice:
    """What a person has chosen to look at."""

    frame: int = 0
    grid: GridSettings = field(default_factory=GridSettings)
    turns: Turns = field(default_factory=Turns)

    @property
    def pose_key(self) -> tuple:
        return self.frame, self.turns.key

    @property
    def key(self) -> tuple:
        return *self.pose_key, self.grid


class Look:
    """Everything that can be seen of a subject; each thing is computed when it is asked for, by one thread."""

    def __init__(self, subject: Subject, film: Film) -> None:
        self.subject, self.film = subject, film
        self.rays: Rays = sample_of_rays(subject, film.cameras, film.trained)
        self._kept: dict[str, tuple[Any, Any]] = {}
        self._opaque: dict[int, DenseRender] = {}  # of the learned poses

    def articulation(self, frame: int) -> Articulation:
        return self._keep("articulation", frame, lambda: Articulation.of(self.subject, frame))

    def pose(self, choice: Choice) -> Motion:
        """T = 1"""

        def make() -> Motion:
            return posed_by_hand(self.subject, choice.frame, choice.turns, self.articulation(choice.frame))

        return self._keep("pose", choice.pose_key, make)

    def posed(self, choice: Choice) -> Posed:
        """F = 1"""
        return self._keep(
            "posed", choice.pose_key, lambda: posed_at(self.subject.model, self.pose(choice), 0)
        )

    def grid(self, choice: Choice) -> FrameGrid:
        return self._keep(
            "grid", choice.key, lambda: frame_grid(self.subject, self.posed(choice), choice.grid)
        )

    def dense(self, choice: Choice) -> DenseRender:
        """A sample of the training cameras' rays, rendered without skipping."""

        def make() -> DenseRender:
            dense = dense_render(self.subject, self.posed(choice), self.rays)
            if choice.turns.is_learned:
                self._opaque[choice.frame] = remembered(dense)
            return dense

        return self._keep("dense", choice.pose_key, make)

    def numbers(self, choice: Choice) -> FrameNumbers:
        def make() -> FrameNumbers:
            return frame_numbers(
                self.subject, self.posed(choice), self.grid(choice), self.rays, self.dense(choice)
            )

        return self._keep("numbers", choice.key, make)

    def missed(self, frame: int, settings: GridSettings) -> float:
        """Missed mass of a frame in its learned pose."""
        posed = self.subject.posed(frame)
        if frame not in self._opaque:
            self._opaque[frame] = remembered(dense_render(self.subject, posed, self.rays))
        grid = frame_grid(self.subject, posed, settings, with_field=False)
        return missed_mass(self._opaque[frame], grid)

    def mesh(self, choice: Choice, resolution: int) -> Mesh:
        key = (*choice.pose_key, resolution)
        return self._keep("mesh", key, lambda: surface_mesh(self.subject, self.posed(choice), resolution))

    def probe(self, choice: Choice, origin: np.ndarray, direction: np.ndarray) -> RayProbe:
        key = (*choice.key, tuple(origin), tuple(direction))
        return self._keep(
            "probe",
            key,
            lambda: probe_ray(self.subject, self.posed(choice), self.grid(choice), origin, direction),
        )

    def _keep(self, name: str, key: Any, make: Callable[[], Value]) -> Value:
        """The last value of that name if its key is the same, else a new one."""
        kept = self._kept.get(name)
        if kept is None or kept[0] != key:
            kept = self._kept[name] = (key, make())
        return kept[1]
