"""Merging parts that move as one (paper section 3.5, supplement D)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from wim_fast.model import structure
from wim_fast.ops.merging.reference import relative_motion

MERGE_THRESHOLD = structure.MERGE_DISTANCE
"""Parts whose merge distance exceeds this count as moving apart (supplement A.7, D-bar)."""

NOISE_FLOOR = 0.005
"""Merge distances below this are all the same stillness: gaps between them mean nothing."""


def merge_distance(part_rotation: np.ndarray, part_translation: np.ndarray) -> np.ndarray:
    """`ops.merging.reference.relative_motion` of arrays (T, P, 3, 3) and (T, P, 3), in float64: (P, P), zero on the diagonal."""
    rotation, translation = (torch.tensor(np.asarray(x, float)) for x in (part_rotation, part_translation))
    out = relative_motion(rotation, translation, structure.MOTION_WEIGHT, exact=True).numpy()
    np.fill_diagonal(out, 0.0)
    return out


@dataclass(frozen=True)
class MergeStep:
    """One union of the merging sequence.

    Attributes:
        pair: the two parts whose distance was the least among parts of different groups.
        value: m_ij + m_ji of the pair.
        labels: (P,) group of every part after the union, named after its smallest part.
    """

    pair: tuple[int, int]
    value: float
    labels: np.ndarray

    @property
    def num_groups(self) -> int:
        return len(np.unique(self.labels))


def merge_sequence(distance: np.ndarray) -> list[MergeStep]:
    """Pairs in the order of m_ij + m_ji, each union that joins two groups (supplement D).

    Args:
        distance: (P, P) from `merge_distance`.

    Returns:
        P - 1 steps, from the pair that moves most alike to a single group. Ties go to the smaller pair.
    """
    total = np.asarray(distance, float) + np.asarray(distance, float).T
    rows, columns = np.triu_indices(len(total), 1)
    labels = np.arange(len(total))
    steps = []
    for k in np.argsort(total[rows, columns], kind="stable"):
        i, j = int(rows[k]), int(columns[k])
        if labels[i] != labels[j]:
            keep, drop = sorted((labels[i], labels[j]))
            labels = np.where(labels == drop, keep, labels)
            steps.append(MergeStep((i, j), float(total[i, j]), labels))
    return steps


def choose_num_merges(steps: Sequence[MergeStep], threshold: float | None = None) -> int:
    """How many steps of the sequence to take.

    With a `threshold`, every step whose mean merge distance (value / 2) is below it. Without, the sequence
    stops at the largest ratio between the distances of consecutive steps: rigid groups end, joints begin. No
    step above `MERGE_THRESHOLD` is taken, and no gap counts that is below twofold: then nothing is merged.
    """
    means = np.array([step.value / 2.0 for step in steps])
    if threshold is not None:
        return int((means < threshold).sum())
    allowed = int((means < MERGE_THRESHOLD).sum())
    if allowed == 0:
        return 0
    if allowed == len(means):  # what would come next, were there another joint
        means = np.append(means, MERGE_THRESHOLD)
    levels = np.maximum(means, NOISE_FLOOR)
    ratio = levels[1 : allowed + 1] / levels[:allowed]
    return int(ratio.argmax()) + 1 if ratio.max() >= 2.0 else 0


@dataclass(frozen=True)
class MergedStructure:
    """Groups of parts and the joints that remain between them.

    Attributes:
        labels: (P,) group of every part, 0..G-1 in the order of the groups' smallest parts.
        edges: (G-1, 2) groups joined by a joint.
        joint_ids: (G-1,) which joint of the unmerged structure (row of its edges) each edge is.
    """

    labels: np.ndarray
    edges: np.ndarray
    joint_ids: np.ndarray

    @property
    def num_groups(self) -> int:
        return len(self.edges) + 1

    def groups(self) -> list[list[int]]:
        """The parts of each group."""
        return [np.flatnonzero(self.labels == g).tolist() for g in range(self.num_groups)]

    def centers(self, part_translation: np.ndarray, semi_axes: np.ndarray) -> np.ndarray:
        """Centre of each group, its parts weighted by volume: (..., P, 3) -> (..., G, 3)."""
        member = (self.labels == np.arange(self.num_groups)[:, None]) * np.prod(semi_axes, axis=1)
        return (member / member.sum(axis=1, keepdims=True)) @ np.asarray(part_translation, float)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists for JSON."""
        return {
            "groups": self.groups(),
            "edges": self.edges.tolist(),
            "joint_ids": self.joint_ids.tolist(),
        }


def merged_structure(labels: np.ndarray, edges: np.ndarray) -> MergedStructure:
    """The structure that merging leaves.

    Of the joints between different groups those are kept, in the order of `edges`, that do not close a cycle.
    As `spanning_tree` gives edges in increasing cost, this is the least spanning tree of the groups.

    Args:
        labels: (P,) any group names, such as a `MergeStep`'s.
        edges: (P-1, 2) of the unmerged tree.
    """
    labels = np.asarray(labels)
    _, first = np.unique(labels, return_index=True)
    names = labels[np.sort(first)]
    compact = (labels[:, None] == names).argmax(axis=1)
    component = np.arange(len(names))
    kept_edges, kept_ids = [], []
    for k, (i, j) in enumerate(np.asarray(edges, int).reshape(-1, 2)):
        a, b = compact[i], compact[j]
        if component[a] != component[b]:
            component = np.where(component == component[a], component[b], component)
            kept_edges.append((a, b))
            kept_ids.append(k)
    return MergedStructure(
        labels=compact,
        edges=np.array(kept_edges, dtype=int).reshape(-1, 2),
        joint_ids=np.array(kept_ids, dtype=int),
    )
