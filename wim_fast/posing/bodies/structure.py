"""Rigid bodies of learned motion, and how they hang together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class BodyStructure:
    """B bodies of P parts in T frames. World frame and units.

    Attributes:
        body_of_part: (P,) 0..B-1, in the order of the bodies' first parts.
        edges: (B-1, 2) bodies that a joint joins, the tightest joint first.
        joints: (T, B-1, 3).
        motion: (T, B, 4, 4) body to world.
        metric: (B, 6, 6) see `unions.Bodies`.
        hidden: bodies that hide in a joint, each with the two between which it is (`posing/bodies/hidden_links.py`).
        learned: (T, B, 4, 4) as `motion`, before links were told by their hinges (`posing/bodies/hinged_links.py`): how the model
            has them move. None: as `motion`.
    """

    body_of_part: np.ndarray
    edges: np.ndarray
    joints: np.ndarray
    motion: np.ndarray
    metric: np.ndarray
    hidden: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    learned: np.ndarray | None = None

    @property
    def count(self) -> int:
        return len(self.edges) + 1

    def parts(self) -> list[list[int]]:
        """Of each body."""
        return [np.flatnonzero(self.body_of_part == body).tolist() for body in range(self.count)]

    def between_two(self) -> list[tuple[int, np.ndarray, list[int]]]:
        """Bodies with two neighbours: each of them, the rows of its two joints, and the neighbours that these lead to."""
        rows = [np.flatnonzero((self.edges == body).any(axis=1)) for body in range(self.count)]
        return [
            (body, two, (self.edges[two].sum(axis=1) - body).tolist())
            for body, two in enumerate(rows)
            if len(two) == 2
        ]

    def arrays(self, scale: float) -> dict[str, np.ndarray]:
        """What files hold of it: body_of_part (P,), body_edges (B-1, 2) and body_joint_position (T, B-1, 3).

        scale: units of the file per world unit.
        """
        return {
            "body_of_part": self.body_of_part,
            "body_edges": self.edges,
            "body_joint_position": (self.joints * scale).astype(np.float32),
        }
