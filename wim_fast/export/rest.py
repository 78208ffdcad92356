"""The rest frame of an export: the one asked for, or that which suits best."""

from __future__ import annotations

from wim_fast.posing.rest_frame import least_overlapping
from wim_fast.runs.opened_run import check_frame
from wim_fast.runs.trained_model import TrainedModel


def rest_frame(run: TrainedModel, frame: int | None) -> int:
    """The frame asked for, checked; None: that whose parts overlap least. Position among the frames trained on."""
    if frame is None:
        return least_overlapping(run.motion, run.semi_axes)
    check_frame(run, frame)
    return frame
