"""What has been computed of a snapshot, kept until it changes: the views of one frame share their pose and grid.

What takes long is done bit by bit. Between the bits `pause` is called: where it raises, what was done is kept, and who
asks again goes on from there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch

from wim_fast.export.asset import Asset, Settings
from wim_fast.export.binding import model_weights, rigid_motions, skinned
from wim_fast.model.articulated_model import Posed
from wim_fast.model.distance_grid import never
from wim_fast.model.motion import Motion, posed_at
from wim_fast.rendering.rays import Rays
from wim_fast.viewer.inspect.frame import FrameNumbers, frame_numbers
from wim_fast.viewer.inspect.grid import (
    Cells,
    FrameGrid,
    GridSettings,
    Shell,
    cells_of,
    frame_grid,
    open_sides,
    visible_cells,
)
from wim_fast.viewer.inspect.posing import Articulation, Turns, posed_by_hand
from wim_fast.viewer.inspect.rays import (
    DenseRender,
    RayProbe,
    dense_render,
    joined,
    missed_mass,
    probe_ray,
    remembered,
    sample_of_rays,
)
from wim_fast.viewer.inspect.shape import Mesh, surface_mesh
from wim_fast.viewer.inspect.snapshot import Film, Snapshot

Value = TypeVar("Value")

BATCHES = 16  # in which a sample of rays is rendered; each is spread over all of the pictures
FEW = 2  # batches that numbers are first taken from
KEPT = {
    "grid": 2, "full grid": 1, "dense": 1, "dense so far": 1, "missed so far": 1, "surface": 2, "carried": 1,
    "posed mesh": 1, "probe": 2,
}  # newest values of a name that stay in memory, where they are large  # fmt: skip
KEPT_ELSE = 64


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

    def __init__(self, snapshot: Snapshot, film: Film, pause: Callable[[], None] = never) -> None:
        self.snapshot, self.film, self.pause = snapshot, film, pause
        self.rays = spread(sample_of_rays(snapshot, film.cameras, film.trained))
        self._kept: dict[str, OrderedDict[Any, Any]] = {}
        self._opaque: dict[int, DenseRender] = {}  # of the learned poses
        self._bound: tuple[int, Mesh, np.ndarray, np.ndarray, Motion] | None = None  # see `carried_surface`

    def articulation(self, frame: int) -> Articulation:
        return self._keep("articulation", frame, lambda: Articulation.of(self.snapshot, frame))

    def pose(self, selection: Selection) -> Motion:
        """T = 1"""

        def make() -> Motion:
            frame, turns = selection.frame, selection.turns
            if turns.is_learned:
                return self.snapshot.motion.at([frame])
            return posed_by_hand(self.snapshot, frame, turns, self.articulation(frame))

        return self._keep("pose", selection.pose_key, make)

    def posed(self, selection: Selection) -> Posed:
        """F = 1"""
        return self._keep(
            "posed", selection.pose_key, lambda: posed_at(self.snapshot.model, self.pose(selection), 0)
        )

    def grid(self, selection: Selection) -> FrameGrid:
        """Which cells are occupied; the field is asked only where the threshold needs it."""

        def make() -> FrameGrid:
            return frame_grid(self.snapshot, self.posed(selection), selection.grid, with_field=False)

        return self._keep("grid", selection.key, make)

    def full_grid(self, selection: Selection) -> FrameGrid:
        """With the field in all occupied cells."""
        return self._keep(
            "full grid",
            selection.key,
            lambda: frame_grid(self.snapshot, self.posed(selection), selection.grid),
        )

    def shell(self, selection: Selection, axis: int | None = None, cut: int = 0) -> Shell:
        """The occupied cells that can be seen, up to a cut across an axis, but for the layer of the cut itself."""

        def make() -> Shell:
            sides = open_sides(self.grid(selection), axis, cut)
            cells = visible_cells(sides)
            cells = cells if axis is None else cells[cells[:, axis] < cut]
            return Shell(self._cells(selection, cells), sides[cells.unbind(-1)].cpu().numpy())

        return self._keep("shell", (selection.key, axis, cut), make)

    def has_shell(self, selection: Selection, axis: int | None = None, cut: int = 0) -> bool:
        """Whether `shell` need not compute."""
        return self._known("shell", (selection.key, axis, cut)) is not None

    def layer(self, selection: Selection, axis: int, cut: int) -> Cells:
        """The cells of a cut: those that are occupied, or were before the threshold emptied them."""

        def make() -> Cells:
            untouched = selection.grid._replace(threshold=0.0)
            grid = frame_grid(self.snapshot, self.posed(selection), untouched, with_field=False)
            cells = grid.occupied.nonzero()
            return self._cells(selection, cells[cells[:, axis] == cut])

        return self._keep("layer", (selection.key, axis, cut), make)

    def dense(self, selection: Selection, batches: int = BATCHES) -> DenseRender:
        """A sample of the training cameras' rays, the first batches of them, rendered without skipping."""

        def make() -> DenseRender:
            done: list[DenseRender] = self._keep("dense so far", selection.pose_key, list)
            self._render_on(done, self.posed(selection), batches)
            return joined(done[:batches])

        dense = self._keep("dense", (selection.pose_key, batches), make)
        if selection.turns.is_learned and batches == BATCHES:
            self._opaque.setdefault(selection.frame, remembered(dense))
        return dense

    def numbers(self, selection: Selection, batches: int = BATCHES) -> FrameNumbers:
        """Taken from the first batches of rays."""

        def make() -> FrameNumbers:
            dense = self.dense(selection, batches)
            rays = Rays(*(column[: dense.num_rays] for column in self.rays))
            return frame_numbers(self.snapshot, self.posed(selection), self.grid(selection), rays, dense)

        return self._keep("numbers", (selection.key, batches), make)

    def known_numbers(self, selection: Selection) -> FrameNumbers | None:
        """Those from most rays that have been taken already; None if there are none."""
        return self._known("numbers", (selection.key, BATCHES)) or self._known(
            "numbers", (selection.key, FEW)
        )

    def missed(self, frame: int, settings: GridSettings) -> float:
        """Missed mass of a frame in its learned pose."""
        posed = self.snapshot.posed(frame)
        if frame not in self._opaque:
            done: list[DenseRender] = self._keep("missed so far", frame, list)
            self._render_on(done, posed, BATCHES)
            self._opaque[frame] = remembered(joined(done))
            done.clear()
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

    def surface(self, selection: Selection, resolution: int) -> Mesh:
        """The field's surface in a pose, found anew."""
        key = (*selection.pose_key, resolution)

        def make() -> Mesh:
            posed = self.posed(selection)
            mesh = surface_mesh(self.snapshot, posed, resolution, self.pause)
            if len(mesh.faces):
                weights = model_weights(self.film.run, posed, mesh.vertices)
                self._bound = resolution, mesh, *weights, self.pose(selection)
            return mesh

        return self._keep("surface", key, make)

    def carried_surface(self, selection: Selection, resolution: int) -> Mesh | None:
        """The surface that was found last, carried into a pose by the parts' weights; None if there is none."""
        if found := self._known("surface", (*selection.pose_key, resolution)):
            return found
        if self._bound is None or self._bound[0] != resolution:
            return None
        _, mesh, ids, weights, at = self._bound

        def make() -> Mesh:
            moves = rigid_motions(self.pose(selection), at)
            return mesh._replace(vertices=skinned(mesh.vertices, ids, weights, moves)[0])

        return self._keep("carried", (*selection.pose_key, id(mesh)), make)

    def probe(self, selection: Selection, origin: np.ndarray, direction: np.ndarray) -> RayProbe:
        key = (*selection.key, tuple(origin), tuple(direction))
        return self._keep(
            "probe",
            key,
            lambda: probe_ray(self.snapshot, self.posed(selection), self.grid(selection), origin, direction),
        )

    def _cells(self, selection: Selection, cells: torch.Tensor) -> Cells:
        return cells_of(self.snapshot, self.posed(selection), self.grid(selection), cells)

    def _render_on(self, done: list[DenseRender], posed: Posed, batches: int) -> None:
        """Render batches of rays until so many are done."""
        size = -(-len(self.rays.origins) // BATCHES)
        while len(done) < batches:
            self.pause()
            some = slice(len(done) * size, (len(done) + 1) * size)
            done.append(dense_render(self.snapshot, posed, Rays(*(column[some] for column in self.rays))))

    def _known(self, name: str, key: Any) -> Any:
        """The value of that name for the key, if it is kept; None if not."""
        return self._kept.get(name, {}).get(key)

    def _keep(self, name: str, key: Any, make: Callable[[], Value]) -> Value:
        """The value of that name for the key: one of the newest few, which are kept, or a new one."""
        kept = self._kept.setdefault(name, OrderedDict())
        if key not in kept:
            kept[key] = make()
            while len(kept) > KEPT.get(name, KEPT_ELSE):
                kept.popitem(last=False)
        kept.move_to_end(key)
        return kept[key]


def spread(rays: Rays) -> Rays:
    """The same rays in an order in which each of `BATCHES` equal shares, one after the other, is spread over all."""
    number = torch.arange(len(rays.origins), device=rays.origins.device)
    order = (number % BATCHES).argsort(stable=True)
    return Rays(*(column[order] for column in rays))
