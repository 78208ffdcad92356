"""Groups of views, rendered and measured against the recording: what `evaluate` and `protocol` share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from wim_fast.evaluation.evaluate import evaluate_views
from wim_fast.evaluation.metrics import Lpips
from wim_fast.evaluation.poses import RecordingPoses
from wim_fast.model.articulated_model import Posed
from wim_fast.rendering.image import Image
from wim_fast.runs.studio import grey
from wim_fast.scene.scene import Scene
from wim_fast.terminal import progress_bar
from wim_fast.training.run_folder import Run

Views = tuple[Sequence[int], Sequence[int]]
"""Ids of cameras and positions of frames among all of the recording; every pair of them is a view."""


class Viewed(NamedTuple):
    """A view that has just been rendered."""

    group: str
    scene: Scene  # that the view is of
    camera: int  # position in the scene
    frame: int  # position in the scene
    posed: Posed
    image: Image


class Measured(NamedTuple):
    """A row of metrics for each view, by group."""

    rows: dict[str, list[dict[str, float]]]
    size: tuple[int, int]  # (height, width) that they were measured at


def measure_groups(
    run: Run,
    groups: Mapping[str, Views],
    poses: RecordingPoses,
    lpips: Lpips | None,
    on_view: Callable[[Viewed], None] | None = None,
    what: str = "rendering",
) -> Measured:
    """Renders all views of all groups at the size trained at, and compares them with what was filmed.

    Args:
        poses: must know every frame; those not trained on need its driver.
        lpips: from `load_lpips`, if it is available.
        on_view: called with each view, in the order of the rows.
        what: is being done, beside the progress bar.
    """
    frames = sorted({frame for _, of in groups.values() for frame in of})
    cameras = sorted({camera for ids, _ in groups.values() for camera in ids})
    scene = run.load_scene(cameras=cameras, frames=frames)
    rows = {}
    with progress_bar(what, sum(len(ids) * len(of) for ids, of in groups.values())) as advance:
        for name, (ids, of) in groups.items():

            def take(camera: int, frame: int, posed: Posed, image: Image, group: str = name) -> None:
                if on_view is not None:
                    on_view(Viewed(group, scene, camera, frame, posed, image))
                advance()

            rows[name] = evaluate_views(
                run.model,
                lambda frame: poses.posed(frames[frame]),
                scene,
                [scene.cameras.ids.index(camera) for camera in ids],
                [frames.index(frame) for frame in of],
                run.inv_s,
                run.backend,
                grey(run),
                lpips=lpips,
                on_image=take,
            )
    return Measured(rows, scene.size)


def finite(value: Any) -> Any:
    """JSON has no NaN: what is undefined is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
