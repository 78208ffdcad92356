"""The rigid bodies of a run."""

from __future__ import annotations

from wim_fast.errors import UserError
from wim_fast.posing.bodies.structure import BodyStructure
from wim_fast.runs.trained_model import TrainedModel


def bodies_of(run: TrainedModel, count: int | None = None) -> BodyStructure:
    """The bodies of a run. `count`: so many; None: as many as explain the motion best. UserError unless it is 1 to P."""
    check_count(run, count)
    return run.body_sequence.at(count)


def check_count(run: TrainedModel, count: int | None) -> None:
    """UserError unless there can be so many bodies."""
    parts = len(run.semi_axes)
    if count is not None and not 1 <= count <= parts:
        raise UserError(f"{count} bodies", f"there are {parts} parts", f"choose from 1 to {parts}")
