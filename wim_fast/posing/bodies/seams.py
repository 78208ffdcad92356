"""Where the object passes from one part to another: of learned shapes, not of the ellipsoids they started from.

An ellipsoid may be far longer than what is left of it: a paw's reaches into the air, and into the other leg's. Inside
of the surface every point has a part that it lies on; where two neighbours on a grid lie on different parts, there is
a seam between these.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.model.distance_grid import DistanceGrid, distance_grid, surface_bounds
from wim_fast.model.motion import Motion, posed_at
from wim_fast.ops.backend import Backend
from wim_fast.posing.ellipsoids import Contacts
from wim_fast.posing.rigid import inverse, moved, rigid
from wim_fast.recordings.selection import evenly

CELL = 0.02  # of the grid, world units: an object is about 1.2 long
MOST_CELLS = 128  # a side: cells are larger where parts have gone astray
LOOKS = 9  # frames, spread over the film
OFTEN = 0.5  # a share of the frames: parts that meet in so many hang together, others cross
APART = 1.5  # world units: so far apart are parts taken to be that never meet


@dataclass(frozen=True)
class Seams:
    """Between P parts, over some frames.

    Attributes:
        share: (P, P) of the frames in which two parts meet.
        size: (P, P) of the seam, square world units, mean over the frames.
        place: (P, P, 3) its middle in part i's frame, median over the frames in which they meet; 0 where they never do.
    """

    share: np.ndarray
    size: np.ndarray
    place: np.ndarray

    def instead(self, contacts: Contacts) -> Contacts:
        """Contacts whose gaps and nearest points are those of the seams; the larger a seam, the less the gap."""
        rare = np.maximum(1.0 - self.share / OFTEN, 0.0)
        gap = np.where(rare > 0, APART * rare, -self.size)
        np.fill_diagonal(gap, 0.0)
        met = self.share[..., None] > 0
        return replace(contacts, gap=gap, nearest=np.where(met, self.place, contacts.nearest))


def find_seams(model: ArticulatedModel, motion: Motion, backend: Backend) -> Seams:
    """The seams of a model in the frames of a motion."""
    frames = evenly(range(len(motion)), LOOKS)
    found = [_seams_in(model, motion, frame, backend) for frame in frames]
    size, places = (np.stack(values) for values in zip(*found, strict=True))
    share = np.asarray((size > 0).mean(axis=0))
    median = np.nanmedian(np.where((share > 0)[..., None], places, 0.0), axis=0)
    return Seams(share, size.mean(axis=0), median)


def _seams_in(
    model: ArticulatedModel, motion: Motion, frame: int, backend: Backend
) -> tuple[np.ndarray, np.ndarray]:
    """Size (P, P) and middle (P, P, 3) of each seam in a frame, in part i's frame; NaN where there is none."""
    count = motion.translation.shape[1]
    parts, low, cell = _parts_inside(model, motion, frame, backend)
    size, middle = np.zeros((count, count)), np.zeros((count, count, 3))
    for axis in range(3):
        step = np.eye(3, dtype=int)[axis]
        first = np.argwhere(np.delete(parts, -1, axis) >= 0)
        i, j = parts[tuple(first.T)], parts[tuple((first + step).T)]
        differ = (i != j) & (j >= 0)
        i, j, at = i[differ], j[differ], low + cell * (first[differ] + 0.5 * step)
        for pair in ((i, j), (j, i)):
            np.add.at(size, pair, cell**2)
            np.add.at(middle, pair, cell**2 * at)
    with np.errstate(invalid="ignore"):
        middle /= size[..., None]
    to_parts = inverse(rigid(motion.rotation[frame], motion.translation[frame]))
    return size, moved(to_parts[:, None], middle)


@torch.no_grad()
def _parts_inside(
    model: ArticulatedModel, motion: Motion, frame: int, backend: Backend
) -> tuple[np.ndarray, np.ndarray, float]:
    """The part at each point of a grid (X, Y, Z), -1 outside of the surface; its first point in the world; its cell."""
    posed = posed_at(model, motion, frame)
    with backend.computing():
        grid = shape_grid(model, posed, backend)
        inside = np.argwhere(grid.sdf < 0)
        at = torch.as_tensor(grid.low + grid.cell * inside, dtype=torch.float32, device=backend.device)
        ids = torch.zeros(len(at), dtype=torch.int32, device=backend.device)
        nearest = backend.articulated_lookup(at, ids, *posed, 1).part_ids[:, 0]
    parts = np.full(grid.sdf.shape, -1)
    parts[tuple(inside.T)] = nearest.cpu().numpy()
    return parts, grid.low, grid.cell


def shape_grid(model: ArticulatedModel, posed: Posed, backend: Backend) -> DistanceGrid:
    """Of the first pose in `posed`, as fine as structure needs it; coarser where parts have gone astray."""
    low, high = surface_bounds(model, posed)
    return distance_grid(model, posed, max(CELL, float((high - low).max()) / MOST_CELLS), backend)
