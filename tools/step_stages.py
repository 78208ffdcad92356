"""Where the time of a training step goes, by torch.profiler, for `benchmark.py`.

Ranges name the stages of the forward pass: functions of the package carry `profiling.stage`, and the backend's kernels
are given one here, so that every backend is taken to pieces alike. What autograd does belongs to the range in which the
operation ran that it differentiates: the profiler gives both the same sequence number.
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from wim_fast.profiling import stage
from wim_fast.training.trainer import Trainer

# The fields of Backend that are kernels, and the stage that each belongs to.
KERNELS = {
    "march": "march", "articulated_lookup": "lookup", "part_encoding": "encoding", "decoder_mlp": "decoder",
    "pose_mlp": "pose", "composite": "composite", "visible_samples": "composite", "samples_along": "march",
    "shade": "decoder", "silhouette_losses": "silhouette", "unjudged_points": "silhouette",
    "draw_pixels": "data", "image_losses": "losses", "shape_losses": "losses", "structure_losses": "losses",
    "merge_loss": "losses", "observe_distances": "losses", "part_poses": "pose", "corrected_cameras": "data",
    "camera_rays": "data", "occupancy_grids": "march",
}  # fmt: skip
FORWARD = ("data", "pose", "march", "lookup", "encoding", "decoder", "composite", "silhouette", "losses")
DIFFERENTIATED = ("silhouette", "composite", "decoder", "encoding", "lookup", "pose")
# In the order in which they run. "losses" is what remains of the forward pass, "autograd" of the backward one, and
# "optimiser" of the step: clipping, update, the tree.
STAGES = (*FORWARD, *(f"{name} backward" for name in DIFFERENTIATED), "autograd", "optimiser")
NODE = "autograd::engine::evaluate_function"  # how the profiler calls a step of the backward pass


class StageTimes(NamedTuple):
    """Of one step."""

    seconds: dict[str, float]  # by stage, those within it left out; on a GPU, those in which its kernels ran
    calls: dict[str, int]  # of the forward stages
    total: float  # seconds of the step on the wall, which the profiler lengthens


@contextlib.contextmanager
def unrecorded(subject: Trainer) -> Iterator[None]:
    """Within the context steps are taken as they are, not replayed."""
    recorded, subject.recorded = subject.recorded, None
    try:
        yield
    finally:
        subject.recorded = recorded


def profiled_step(subject: Trainer) -> StageTimes:
    """Take a step, not replayed, under the profiler."""
    backend = subject.backend
    on_gpu = backend.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with unrecorded(subject), profile(activities=activities) as profiler:
        named = {name: stage(stage_name)(getattr(backend, name)) for name, stage_name in KERNELS.items()}
        subject.backend = backend._replace(**named)
        try:
            with record_function("optimiser"):
                subject.train_step()
        finally:
            subject.backend = backend
    return stage_times(profiler.events(), on_gpu)


def stage_times(events: Any, on_gpu: bool) -> StageTimes:
    """From the events of a step that is a range "optimiser"."""
    events = [event for event in events if event.device_type == DeviceType.CPU]
    events.sort(key=lambda event: event.time_range.start)
    ranges = {event: event.name for event in events if event.name in STAGES}
    created = {  # by sequence number: later events of one number lie within earlier ones
        event.sequence_nr: _stage(event, ranges, {})
        for event in events
        if event.sequence_nr >= 0 and not _in_node(event)
    }
    microseconds: dict[str, float] = defaultdict(float)
    for event in events:
        own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        microseconds[_stage(event, ranges, created)] += own
    nodes = [event for event in events if event.name.startswith(NODE)]
    if nodes and not on_gpu:  # between its nodes autograd is in no event but that of the whole step
        span = max(node.time_range.end for node in nodes) - nodes[0].time_range.start
        between = span - sum(node.cpu_time_total for node in nodes)
        microseconds["autograd"] += between
        microseconds["optimiser"] -= between
    calls = Counter(ranges.values())
    total = next(event.cpu_time_total for event, name in ranges.items() if name == "optimiser")
    return StageTimes(
        {name: 1e-6 * microseconds[name] for name in STAGES},
        {name: calls[name] for name in FORWARD},
        1e-6 * total,
    )


def _in_node(event: Any) -> bool:
    while event is not None and not event.name.startswith(NODE):
        event = event.cpu_parent
    return event is not None


def _stage(event: Any, ranges: dict[Any, str], created: dict[int, str]) -> str:
    """Of the innermost range or node of the backward pass that an event lies in."""
    while event is not None:
        if event in ranges:
            return ranges[event]
        if event.name.startswith(NODE):
            forward = created.get(event.sequence_nr)
            return f"{forward} backward" if forward in DIFFERENTIATED else "autograd"
        event = event.cpu_parent
    return "optimiser"
