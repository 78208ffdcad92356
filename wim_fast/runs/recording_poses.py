"""The pose of a model in any frame of a recording: learned where it was trained, else driven by the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wim_fast.evaluation.joints import JointDistances, JointError, joint_distances, joint_error, object_extent
from wim_fast.posing.drive import drive_as_published
from wim_fast.posing.regression import PAPER_RIDGE
from wim_fast.runs.baseline_run import AnyRun
from wim_fast.runs.drive import driven_points
from wim_fast.scene.scene import SceneContents


@dataclass(frozen=True)
class Driver:
    """Poses for all frames of a recording, driven by its true points."""

    name: str  # what drives: points or joints
    points: np.ndarray  # (T, M, 3) world units
    motion: Any  # as `run.motion_of` gives it
    held_out_error: float | None  # of the model's points on training frames left out of the fit, world units


Fit = Callable[[AnyRun, str, np.ndarray, Sequence[int]], Driver]
"""From a model, what drives, its points (T, M, 3) in all frames and the positions of those trained on."""


def our_driver(run: AnyRun, name: str, points: np.ndarray, trained: Sequence[int]) -> Driver:
    """By rigid parts that follow the points on them."""
    return _driver(run, name, points, trained, linear=False)


def linear_driver(run: AnyRun, name: str, points: np.ndarray, trained: Sequence[int]) -> Driver:
    """By a linear map (supplement A.10)."""
    return _driver(run, name, points, trained, linear=True)


def _driver(run: Any, name: str, points: np.ndarray, trained: Sequence[int], linear: bool) -> Driver:
    moved, held_out_error = driven_points(run, points, points[trained], run.motion, linear)
    return Driver(name, points, run.motion_of(moved), held_out_error)


def published_driver(scale: float) -> Fit:
    """As published (supplement A.10), with lengths in the recording's units / `scale`.

    There X minimises |X V - P|^2 + lambda |X|^2; with lengths in other units the same X has a ridge in proportion to
    their square.
    """

    def fit(run: AnyRun, name: str, points: np.ndarray, trained: Sequence[int]) -> Driver:
        ridge = PAPER_RIDGE[name] * (scale / run.coordinate_scale) ** 2
        moved = drive_as_published(points, points[trained], moving_points(run), ridge)
        return Driver(name, points, run.motion_of(moved), None)

    return fit


def moving_points(run: Any) -> np.ndarray:
    """(T, N, 3) the model's points that move with the object, in the frames trained on."""
    points: np.ndarray = run.points_in(run.motion)
    return points


class RecordingPoses:
    """Poses of a model by position among all frames of its recording.

    Attributes:
        trained: positions of the frames that the model was trained on, in its order.
        driver: of the other frames, made by `fit`; None if there are none, or nothing is known about them.
    """

    def __init__(self, run: AnyRun, contents: SceneContents, fit: Fit = our_driver) -> None:
        self.run = run
        self.contents = contents
        self.truth = contents.ground_truth
        self.trained = run.trained_positions(contents)
        self.driver = self._fit_driver(fit) if len(self.trained) < len(contents.frame_ids) else None

    def _fit_driver(self, fit: Fit) -> Driver | None:
        """None if nothing is known about the frames."""
        name = "points" if self.truth is not None and self.truth.points is not None else "joints"
        points = None if self.truth is None else getattr(self.truth, name)
        if points is None or not points.shape[1]:
            return None
        return fit(self.run, name, points, self.trained)

    def posed(self, frame: int, camera: int) -> Any:
        """What a camera (id) shows in its picture of a frame, as `run.posed`. Frames not trained on need `driver`."""
        if frame in self.trained:
            return self.run.pose_seen(self.trained.index(frame), camera)
        if self.driver is None:
            raise ValueError(f"frame {frame} was not trained on, and nothing drives it")
        return self.run.posed(self.driver.motion, frame)

    def joint_error(self) -> JointError | None:
        """Of the learned poses, on the frames trained on (A.10); None without true joints."""
        truth = self.truth
        if truth is None or truth.joints is None:
            return None
        joints, points = truth.joints[self.trained], truth.points
        points = None if points is None else points[self.trained]
        return joint_error(moving_points(self.run), joints, points)

    def joint_distances(self, count: int | None = None) -> JointDistances | None:
        """The same frame by frame, of the first `count` joints; test frames are positions among those trained on."""
        if self.truth is None or self.truth.joints is None:
            return None
        return joint_distances(moving_points(self.run), self.truth.joints[self.trained, :count])

    def driving(self) -> dict[str, Any] | None:
        """What drives, and its held-out error, where it is known, as a share of the object's extent."""
        if self.driver is None:
            return None
        error = self.driver.held_out_error
        share = None if error is None else error / object_extent(self.driver.points)
        return {"driven_by": self.driver.name, "held_out_error": share}
