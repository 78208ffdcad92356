"""Parts that move as one, merged step by step into rigid bodies (paper section 3.5, supplement D)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from wim_fast.posing.bodies.sequence import BodySequence
from wim_fast.posing.bodies.structure import BodyStructure
from wim_fast.posing.bodies.unions import body_centers, body_origins
from wim_fast.runs.bodies import check_count
from wim_fast.runs.trained_model import TrainedModel


@dataclass(frozen=True)
class Merging:
    """The merging sequence of a run, and the bodies where it stops.

    Attributes:
        sequence: all of it, from parts to a single body.
        count: how many bodies are left.
        asked: whether so many were asked for.
    """

    sequence: BodySequence
    count: int
    asked: bool

    @property
    def parts(self) -> int:
        return len(self.sequence.criterion)

    @property
    def taken(self) -> int:
        """Steps of the sequence."""
        return self.parts - self.count

    @cached_property
    def merged(self) -> BodyStructure:
        """What is left: bodies and the joints between them."""
        return self.sequence.at(self.count)


def merge_parts(run: TrainedModel, count: int | None = None) -> Merging:
    """Merges the parts of a run that move as one.

    Args:
        count: until so many bodies are left; None: as many as explain the motion best.
    """
    check_count(run, count)
    sequence = run.body_sequence
    return Merging(sequence, count or sequence.proposed, count is not None)


def merge_report(run: TrainedModel, merging: Merging) -> dict[str, Any]:
    """What merge.json holds.

    `change`: what rays see changes by so much (`posing/bodies/seen_judge.py`). `hidden`: see `BodyStructure`.
    """
    criterion, count = merging.sequence.criterion, merging.parts
    return {
        "run": str(run.path),
        "proposed": merging.sequence.proposed,
        "found": merging.count,
        "criterion": {str(count - k): float(value) for k, value in enumerate(criterion)},
        "steps": [
            {
                "step": k,
                "parts": list(step.pair),
                "change": step.cost,
                "bodies_left": count - k,
                "merged": k <= merging.taken,
            }
            for k, step in enumerate(merging.sequence.steps, start=1)
        ],
        "bodies": merging.merged.parts(),
        "edges": merging.merged.edges.tolist(),
        "hidden": {str(body): list(between) for body, between in merging.merged.hidden.items()},
    }


def merged_arrays(run: TrainedModel, merging: Merging) -> dict[str, np.ndarray]:
    """The bodies as arrays, lengths in the units of the recording's files, as in trajectory.npz.

    body_of_part (P,); body_edges (B-1, 2) the bodies that are joined, body_joint_position (T, B-1, 3); body_rotation
    (T, B, 3, 3), body to world, body_translation (T, B, 3): the mean place of its parts' centres, weighted by volume, on
    a body; frame_ids (T,).
    """
    merged, scale = merging.merged, run.coordinate_scale
    centers = body_centers(merged.body_of_part, run.motion.translation, run.semi_axes)
    return {
        **merged.arrays(scale),
        "body_rotation": merged.motion[..., :3, :3],
        "body_translation": body_origins(merged.motion, centers) * scale,
        "frame_ids": np.array(run.frame_ids),
    }


def write_merged_data(run: TrainedModel, merging: Merging, folder: Path) -> list[Path]:
    """merge.json and merged.npz."""
    report, arrays = folder / "merge.json", folder / "merged.npz"
    report.write_text(json.dumps(merge_report(run, merging), indent=1) + "\n", encoding="utf-8")
    np.savez(arrays, **merged_arrays(run, merging))  # type: ignore[arg-type]
    return [report, arrays]
