"""What has been computed of a snapshot, kept until it changes: the views of one frame share their pose and grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from wim_fast.export.asset import Asset, Settings
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
from wim_fast.viewer.inspect.snapshot import Film, Snapshot

Value = TypeVar("Value")


@dataclass(frozen=True)
class Selection:
    """What a person has chosen to see."""

    frame: int = 0
    grid: GridSettings = field(default_factory=GridSettings)
    turns: Turns = field(default_factory=Turns)

    @property
    def pose_key(self) -> tuple:
        return self.frame, self.turns.key

    @property
    def key(self) -> tuple:
        return *self.pose_key, self.grid


class Inspection:
    """Everything that can be seen of a snapshot; each thing is computed when it is asked for, by one thread."""

    def __init__(self, snapshot: Snapshot, film: Film) -> None:
        self.snapshot, self.film = snapshot, film
        self.rays: Rays = sample_of_rays(snapshot, film.cameras, film.trained)
        self._kept: dict[str, tuple[Any, Any]] = {}
        self._opaque: dict[int, DenseRender] = {}  # of the learned poses

    def articulation(self, frame: int) -> Articulation:
        return self._keep("articulation", frame, lambda: Articulation.of(self.snapshot, frame))

    def pose(self, selection: Selection) -> Motion:
        """T = 1"""

        def make() -> Motion:
            return posed_by_hand(
                self.snapshot, selection.frame, selection.turns, self.articulation(selection.frame)
            )

        return self._keep("pose", selection.pose_key, make)

    def posed(self, selection: Selection) -> Posed:
        """F = 1"""
        return self._keep(
            "posed", selection.pose_key, lambda: posed_at(self.snapshot.model, self.pose(selection), 0)
        )

    def grid(self, selection: Selection) -> FrameGrid:
        return self._keep(
            "grid", selection.key, lambda: frame_grid(self.snapshot, self.posed(selection), selection.grid)
        )

    def dense(self, selection: Selection) -> DenseRender:
        """A sample of the training cameras' rays, rendered without skipping."""

        def make() -> DenseRender:
            dense = dense_render(self.snapshot, self.posed(selection), self.rays)
            if selection.turns.is_learned:
                self._opaque[selection.frame] = remembered(dense)
            return dense

        return self._keep("dense", selection.pose_key, make)

    def numbers(self, selection: Selection) -> FrameNumbers:
        def make() -> FrameNumbers:
            return frame_numbers(
                self.snapshot, self.posed(selection), self.grid(selection), self.rays, self.dense(selection)
            )

        return self._keep("numbers", selection.key, make)

    def missed(self, frame: int, settings: GridSettings) -> float:
        """Missed mass of a frame in its learned pose."""
        posed = self.snapshot.posed(frame)
        if frame not in self._opaque:
            self._opaque[frame] = remembered(dense_render(self.snapshot, posed, self.rays))
        grid = frame_grid(self.snapshot, posed, settings, with_field=False)
        return missed_mass(self._opaque[frame], grid)

    @cached_property
    def asset(self) -> Asset:
        """What is exported of the model; it makes its mesh when that is first asked for."""
        return Asset(self.film.run, Settings())

    def posed_mesh(self, selection: Selection) -> Mesh:
        """The exported mesh in a pose, by its skin weights: the field is not asked."""

        def make() -> Mesh:
            surface = self.asset.surface
            rgb = np.round(255 * surface.colors).astype(np.uint8)
            vertices = self.asset.posed_vertices(self.pose(selection))
            return Mesh(vertices, surface.faces, rgb, surface.part_ids[:, 0])

        return self._keep("posed mesh", selection.pose_key, make)

    def mesh(self, selection: Selection, resolution: int) -> Mesh:
        key = (*selection.pose_key, resolution)
        return self._keep("mesh", key, lambda: surface_mesh(self.snapshot, self.posed(selection), resolution))

    def probe(self, selection: Selection, origin: np.ndarray, direction: np.ndarray) -> RayProbe:
        key = (*selection.key, tuple(origin), tuple(direction))
        return self._keep(
            "probe",
            key,
            lambda: probe_ray(self.snapshot, self.posed(selection), self.grid(selection), origin, direction),
        )

    def _keep(self, name: str, key: Any, make: Callable[[], Value]) -> Value:
        """The last value of that name if its key is the same, else a new one."""
        kept = self._kept.get(name)
        if kept is None or kept[0] != key:
            kept = self._kept[name] = (key, make())
        return kept[1]
