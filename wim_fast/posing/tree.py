"""The kinematic tree between parts, given a root (paper section 3.5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from wim_fast.model import structure
from wim_fast.ops.structure import reference


def joint_candidates(
    part_rotation: np.ndarray,
    part_translation: np.ndarray,
    semi_axes: np.ndarray,
    share: float = structure.CANDIDATE_SHARE,
) -> np.ndarray:
    """The six of every part, as `ops.structure` has them, of arrays (..., P, 3, 3), (..., P, 3) and (P, 3), in float64."""
    rotation, translation, axes = (
        torch.tensor(np.asarray(x, float)) for x in (part_rotation, part_translation, semi_axes)
    )
    return reference.joint_candidates(rotation, translation, axes, share).numpy()


@dataclass(frozen=True)
class RootedTree:
    """A kinematic tree with a root.

    Attributes:
        root: the root part.
        parent: (P,) parent part, -1 at the root.
        parent_edge: (P,) row of `edges` (and of the joints) that leads to the parent, -1 at the root.
        order: (P,) all parts, parents before their children, breadth first.
    """

    root: int
    parent: np.ndarray
    parent_edge: np.ndarray
    order: np.ndarray

    def descendants(self, part: int) -> np.ndarray:
        """(P,) bool: the part itself and everything that hangs from it."""
        below = np.zeros(len(self.parent), bool)
        below[part] = True
        for child in self.order:
            below[child] |= self.parent[child] >= 0 and below[self.parent[child]]
        return below

    def children(self, part: int) -> list[int]:
        """Children of a part in increasing order."""
        return [int(c) for c in np.flatnonzero(self.parent == part)]

    def lines(self, what: str = "part") -> list[str]:
        """The tree as text, one line per part (or `what` its nodes are): `part (joint n)`, indented under its parent."""
        out = [f"{what} {self.root} (root)"]

        def walk(part: int, indent: str) -> None:
            children = self.children(part)
            for k, child in enumerate(children):
                last = k == len(children) - 1
                branch, rest = ("└─ ", "   ") if last else ("├─ ", "│  ")
                out.append(f"{indent}{branch}{what} {child} (joint {self.parent_edge[child]})")
                walk(child, indent + rest)

        walk(self.root, "")
        return out


def rooted(edges: np.ndarray, root: int) -> RootedTree:
    """Directs a spanning tree away from `root`.

    Args:
        edges: (P-1, 2) part ids 0..P-1.

    Raises:
        ValueError: if the edges are no spanning tree, or the root is no part.
    """
    edges = np.asarray(edges, int).reshape(-1, 2)
    num_parts = len(edges) + 1
    if not 0 <= root < num_parts:
        raise ValueError(f"root {root} is not a part (0..{num_parts - 1})")
    parent = np.full(num_parts, -1)
    parent_edge = np.full(num_parts, -1)
    neighbours = _neighbours(edges)
    order = [root]
    for part in order:  # grows while it is walked: breadth first
        for other, edge in neighbours[part]:
            if edge != parent_edge[part]:
                if other == root or parent[other] >= 0:
                    raise ValueError("edges hold a cycle: not a spanning tree")
                parent[other], parent_edge[other] = part, edge
                order.append(other)
    if len(order) != num_parts:
        raise ValueError("edges do not connect all parts: not a spanning tree")
    return RootedTree(root=int(root), parent=parent, parent_edge=parent_edge, order=np.array(order))


def default_root(
    edges: np.ndarray,
    semi_axes: np.ndarray | None = None,
    part_rotation: np.ndarray | None = None,
    part_translation: np.ndarray | None = None,
) -> int:
    """A sensible root: the base where there is one, else the middle of the tree.

    A part that moves less than a tenth of the median part (an arm's base) is the root. Otherwise it is the
    part from which the farthest part is the fewest joints away; among equals the one of larger volume.

    Args:
        edges: (P-1, 2).
        semi_axes: (P, 3), to break ties by volume.
        part_rotation, part_translation: (T, P, 3, 3), (T, P, 3), to find a base.
    """
    edges = np.asarray(edges, int).reshape(-1, 2)
    num_parts = len(edges) + 1
    if part_rotation is not None and part_translation is not None and len(part_translation) > 1:
        turning = np.std(part_rotation, axis=0, dtype=float).mean(axis=(-1, -2))
        motion = turning + 3.0 * np.std(part_translation, axis=0, dtype=float).mean(axis=-1)
        if motion.min() < 0.1 * np.median(motion):
            return int(motion.argmin())
    volume = np.ones(num_parts) if semi_axes is None else np.prod(np.asarray(semi_axes, float), axis=1)
    height = [_depths(rooted(edges, part)).max() for part in range(num_parts)]
    return min(range(num_parts), key=lambda part: (height[part], -volume[part], part))


def _depths(tree: RootedTree) -> np.ndarray:
    depth = np.zeros(len(tree.parent), int)
    for part in tree.order[1:]:
        depth[part] = depth[tree.parent[part]] + 1
    return depth


def _neighbours(edges: np.ndarray) -> list[list[tuple[int, int]]]:
    """For each part its (neighbour, edge) pairs, neighbours in increasing order."""
    out: list[list[tuple[int, int]]] = [[] for _ in range(len(edges) + 1)]
    for k, (i, j) in enumerate(edges.tolist()):
        if not (0 <= i < len(out) and 0 <= j < len(out)) or i == j:
            raise ValueError(f"edge ({i}, {j}) does not join two of the {len(out)} parts")
        out[i].append((j, k))
        out[j].append((i, k))
    return [sorted(n) for n in out]
