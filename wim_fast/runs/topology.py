"""Pieces, tunnels and cavities of the object's inside: a trunk that is torn open has tunnels that no camera filmed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from wim_fast.model.articulated_model import DEFAULT_FINEST_CELL
from wim_fast.model.distance_grid import distance_grid
from wim_fast.model.motion import Motion, posed_at
from wim_fast.runs.check import frames_to_check
from wim_fast.runs.trained_model import TrainedModel

SPECK = 1e-3  # of the object's volume: smaller pieces and cavities are noise
TOUCHING = np.ones((3, 3, 3), bool)  # outside is connected across corners, inside only across faces


class Topology(NamedTuple):
    """The Betti numbers of a solid, and its Euler characteristic ``pieces - tunnels + cavities``.

    That of its surface is twice this, and the sum of its genera is `tunnels`.
    """

    pieces: int  # that hang together
    tunnels: int  # holes from one side to another: a ring has one
    cavities: int  # closed in all round

    @property
    def euler(self) -> int:
        """The Euler characteristic of the solid."""
        return self.pieces - self.tunnels + self.cavities


def topology(inside: np.ndarray) -> Topology:
    """Of the points (X, Y, Z) bool of a grid, each the middle of a cube; specks are left out, small cavities filled."""
    from skimage.measure import euler_number

    least = SPECK * np.count_nonzero(inside)
    inside = _without_small(np.pad(inside, 1), least)
    inside = ~_without_small(~inside, least, TOUCHING)
    pieces, outside = ndimage.label(inside)[1], ndimage.label(~inside, TOUCHING)[1]
    cavities = outside - 1
    return Topology(pieces, pieces + cavities - int(euler_number(inside, connectivity=1)), cavities)


def _without_small(points: np.ndarray, least: float, neighbours: np.ndarray | None = None) -> np.ndarray:
    """Without those connected pieces of a grid that have fewer points than `least`."""
    pieces, _ = ndimage.label(points, neighbours)
    large = np.bincount(pieces.ravel()) >= least
    large[0] = False  # what is in none of them
    return large[pieces]


def inside_of(run: TrainedModel, motion: Motion) -> np.ndarray:
    """The inside (X, Y, Z) bool of the first pose of a motion, in cells of the hash grid's finest level."""
    cell = run.config.model.hash_finest_cell or DEFAULT_FINEST_CELL
    with run.backend.computing():
        return distance_grid(run.model, posed_at(run.model, motion, 0), cell, run.backend).sdf < 0


def topologies(run: TrainedModel, frames: Sequence[int] | None = None) -> Iterator[tuple[int, Topology]]:
    """The frame's id and the topology of frame after frame.

    Args:
        frames: positions among the frames trained on; None: a few of them.

    UserError for frames that are not there.
    """
    for frame in frames_to_check(run, frames):
        yield run.frame_ids[frame], topology(inside_of(run, run.motion.at([frame])))
