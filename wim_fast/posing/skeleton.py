"""What can be posed: parts, or the rigid bodies that they make up, as nodes on a tree of joints."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from wim_fast.model.motion import Motion
from wim_fast.posing.rigid import rigid
from wim_fast.posing.tree import RootedTree, rooted

Node = Literal["part", "body"]

PartsFound = int | Literal["auto"] | None
"""So many bodies; "auto": as many as explain the motion best; None: every part by itself."""


@dataclass(frozen=True)
class Skeleton:
    """N nodes that carry P parts, in T frames. World frame and units.

    Attributes:
        what: the nodes are.
        node_of_part: (P,) which node carries each part.
        edges: (N-1, 2) nodes that a joint joins.
        joints: (T, N-1, 3).
        motion: node to world; a part's origin is its centre, a body's the mean place of its parts' centres in it.
        root: stays where it is unless another is named.
        learned: as `motion`, as the model has the nodes move; of bodies their links may move otherwise
            (`posing/bodies/hinged_links.py`). None: so, too.
    """

    what: Node
    node_of_part: np.ndarray
    edges: np.ndarray
    joints: np.ndarray
    motion: Motion
    root: int
    learned: Motion | None = None

    @property
    def count(self) -> int:
        return len(self.edges) + 1

    @cached_property
    def tree(self) -> RootedTree:
        """From its root."""
        return rooted(self.edges, self.root)

    def carried(self, frame: int, nodes: Motion, parts: Motion) -> Motion:
        """How nodes that have left their poses in a frame take the parts along.

        Args:
            nodes: K poses of the nodes.
            parts: poses of the parts in the frame (T = 1).
        """
        start = rigid(self.motion.rotation[frame], self.motion.translation[frame])
        on_nodes = np.linalg.inv(start)[self.node_of_part] @ rigid(parts.rotation[0], parts.translation[0])
        posed = rigid(nodes.rotation, nodes.translation)[:, self.node_of_part] @ on_nodes
        return Motion(posed[..., :3, :3], posed[..., :3, 3])
