"""Parts that move as one, merged step by step (paper section 3.5, supplement D)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast.errors import UserError
from wim_fast.posing.merge import (
    MERGE_THRESHOLD,
    MergedStructure,
    MergeStep,
    choose_num_merges,
    merge_distance,
    merge_sequence,
    merged_structure,
)
from wim_fast.runs.trained_model import TrainedModel


@dataclass(frozen=True)
class Merging:
    """The merging sequence of a run, and what is left where it stops.

    Attributes:
        distance: (P, P) merge distances m_ij.
        steps: the whole sequence, most alike first, down to a single group.
        structures: after 0, 1, ... steps.
        taken: how many of the steps are taken.
        reason: why it stops there.
    """

    distance: np.ndarray
    steps: list[MergeStep]
    structures: list[MergedStructure]
    taken: int
    reason: str

    @property
    def merged(self) -> MergedStructure:
        """What is left: groups of parts and the joints between them."""
        return self.structures[self.taken]


def merge_parts(run: TrainedModel, groups: int | None = None, threshold: float | None = None) -> Merging:
    """Merges the parts of a run that move as one.

    Args:
        groups: merge until so many are left.
        threshold: merge while the distance is below it. Without either: up to the largest jump of the
            distances, else those below `MERGE_THRESHOLD`.
    """
    distance = merge_distance(run.motion.rotation, run.motion.translation)
    steps = merge_sequence(distance)
    taken, reason = num_taken(steps, groups, threshold)
    labels = [np.arange(len(distance)), *(step.labels for step in steps)]
    return Merging(distance, steps, [merged_structure(of, run.edges) for of in labels], taken, reason)


def num_taken(steps: Sequence[MergeStep], groups: int | None, threshold: float | None) -> tuple[int, str]:
    """How many steps of the sequence to take, and why there."""
    if groups is not None:
        if not 1 <= groups <= len(steps) + 1:
            problem = f"there are {len(steps) + 1} parts"
            raise UserError(f"groups {groups}", problem, f"choose from 1 to {len(steps) + 1}")
        return len(steps) + 1 - groups, "as asked for"
    if threshold is not None:
        return choose_num_merges(steps, threshold), f"distances below {threshold:g}"
    taken = choose_num_merges(steps)
    if taken:
        return taken, "up to the largest jump of the distances"
    return choose_num_merges(steps, MERGE_THRESHOLD), f"no clear jump, so distances below {MERGE_THRESHOLD:g}"


def largest_parts(structure: MergedStructure, semi_axes: np.ndarray) -> np.ndarray:
    """(G,) the part of the largest volume in each group: it stands for the group."""
    volume = semi_axes.prod(axis=1)
    return np.array([max(group, key=lambda part: volume[part]) for group in structure.groups()])


def merge_report(run: TrainedModel, merging: Merging) -> dict[str, Any]:
    """What merge.json holds."""
    return {
        "run": str(run.path),
        "stopped": merging.reason,
        "steps": [
            {
                "step": k,
                "parts": list(step.pair),
                "merge_distance": step.value / 2,
                "groups_left": step.num_groups,
                "merged": k <= merging.taken,
            }
            for k, step in enumerate(merging.steps, start=1)
        ],
        **merging.merged.to_dict(),
    }


def merged_arrays(run: TrainedModel, merging: Merging) -> dict[str, np.ndarray]:
    """The merged structure as arrays, lengths in the units of the recording's files, as in trajectory.npz.

    merge_distance (P, P), of world units; group_of_part (P,); edges (G-1, 2) the groups that are joined,
    joint_ids (G-1,) which joint of the unmerged tree that is, joint_position (T, G-1, 3); group_rotation
    (T, G, 3, 3) of each group's largest part, part to world, group_translation (T, G, 3) its parts' centres
    weighted by volume; frame_ids (T,).
    """
    merged, motion, scale = merging.merged, run.motion, run.coordinate_scale
    return {
        "merge_distance": merging.distance,
        "group_of_part": merged.labels,
        "edges": merged.edges,
        "joint_ids": merged.joint_ids,
        "joint_position": run.joints_in(motion)[:, merged.joint_ids] * scale,
        "group_rotation": motion.rotation[:, largest_parts(merged, run.semi_axes)],
        "group_translation": merged.centers(motion.translation, run.semi_axes) * scale,
        "frame_ids": np.array(run.frame_ids),
    }


def write_merged_data(run: TrainedModel, merging: Merging, folder: Path) -> list[Path]:
    """merge.json and merged.npz."""
    report, arrays = folder / "merge.json", folder / "merged.npz"
    report.write_text(json.dumps(merge_report(run, merging), indent=1) + "\n", encoding="utf-8")
    np.savez(arrays, **merged_arrays(run, merging))  # type: ignore[arg-type]
    return [report, arrays]
