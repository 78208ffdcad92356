"""A trained baseline, opened: what evaluation, protocols, videos and driving ask of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wim_fast.baselines.model import BaselineModel, MovingPoints, make_model
from wim_fast.config import Config
from wim_fast.errors import UserError
from wim_fast.ops.backend import Backend, select_backend
from wim_fast.recordings.cameras import Cameras
from wim_fast.rendering.image import Image
from wim_fast.runs.opened_run import OpenedRun
from wim_fast.runs.trained_model import TrainedModel
from wim_fast.sections import OURS
from wim_fast.training.checkpoint import load_checkpoint, trained_on
from wim_fast.training.pace import Pace
from wim_fast.training.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class BaselineRun(OpenedRun):
    """A baseline as a checkpoint holds it, trained on T frames. A pose is where its N points are, (N, 3) world."""

    model: BaselineModel

    @cached_property
    def motion(self) -> MovingPoints:
        """The learned poses of the T frames."""
        return self._motion_at(range(len(self.frame_ids)))

    @torch.no_grad()
    def _motion_at(self, moments: Sequence[float]) -> MovingPoints:
        """A moment at a time: points may be many."""
        each = [torch.tensor([float(moment)], device=self.backend.device) for moment in moments]
        return MovingPoints(np.concatenate([self.model.points(t).double().cpu().numpy() for t in each]))

    def points_in(self, motion: MovingPoints) -> np.ndarray:
        """(T, N, 3) what moves with the object (A.10)."""
        return motion.points

    def motion_of(self, points: np.ndarray) -> MovingPoints:
        """The poses in which `points_in` are points (T, N, 3)."""
        return MovingPoints(points)

    def extremes(self, motion: MovingPoints) -> np.ndarray:
        """(N, 3) world points that a picture of a motion must hold."""
        return motion.points.reshape(-1, 3)

    def posed(self, motion: MovingPoints, frame: int) -> np.ndarray:
        """(N, 3) one frame of a motion."""
        return motion.points[frame]

    def pose_seen(self, frame: int, camera: int) -> np.ndarray:
        """(N, 3) what a camera (id) shows in its picture of a frame (position among those trained on)."""
        return self.posed(self.motion, frame)

    @torch.no_grad()
    def image(self, posed: np.ndarray, cameras: Cameras, index: int) -> Image:
        """What camera number `index` sees of a pose."""
        return self.model.image(posed, cameras, index)


AnyRun = TrainedModel | BaselineRun
"""A run, and motions and poses as its methods give them (ours: Motion and Posed)."""


@dataclass(frozen=True)
class BaselineView:
    """How pictures of a baseline are made: as `drawing.views.View`, but without parts and joints."""

    run: BaselineRun
    background: float

    def picture(self, motion: Any, frame: int, cameras: Cameras, index: int) -> np.ndarray:
        """(H, W, 4) uint8, straight alpha: what camera number `index` sees of a frame."""
        return self.image(self.run.posed(motion, frame), cameras, index).rgba()

    def image(self, posed: np.ndarray, cameras: Cameras, index: int) -> Image:
        """The object as it looks."""
        return self.run.image(posed, cameras, index)


def need_parts(run: AnyRun, what: str) -> None:
    """UserError, calling it `what`, for something that a baseline cannot do: it has no parts."""
    if isinstance(run, BaselineRun):
        method = run.config.baseline.method
        problem = f"{run.path} was trained by --method {method}, which has no parts"
        raise UserError(what, problem, "leave it out, or take a run of --method ours")


def baseline_backend(name: str, device_index: int = 0) -> Backend:
    """Plain torch, on a GPU where there is one; UserError for kernels that a baseline has no use for."""
    if name not in ("auto", "torch"):
        raise UserError(f"--backend {name}", "a baseline runs in plain torch", "leave it out")
    return select_backend("torch", device_index)


def load_baseline(path: str | Path, backend: str = "auto") -> BaselineRun:
    """The newest state of a baseline's run. UserError if it is none, or damaged, or files it needs are gone."""
    folder = RunFolder(Path(path))
    config = method_checked(folder)
    newest = folder.all_checkpoints()[-1]
    content = load_checkpoint(newest)
    facts = trained_on(content)
    model = make_model(config, len(facts.frame_ids))
    try:
        model.load_state_dict(content["model"])
    except RuntimeError:
        problem = "does not fit the settings of config.yaml, or the body that these name"
        raise UserError(newest, problem, "put both back as they were") from None
    chosen = baseline_backend(backend)
    model.requires_grad_(False)
    model.to(chosen.device)
    return BaselineRun(
        path=folder.path,
        config=config,
        backend=chosen,
        frame_ids=facts.frame_ids,
        camera_ids=facts.camera_ids,
        coordinate_scale=facts.coordinate_scale,
        step=content["step"],
        iterations=Pace.parse(content["pace"]).iterations,
        model=model,
    )


def method_checked(folder: RunFolder, ours: bool = False) -> Config:
    """The settings of a run. UserError if there is no such run, or, with `ours`, a baseline's."""
    folder.check_is_run()
    config = folder.read_config()
    if ours and config.baseline.method != OURS:
        problem = f"was trained by --method {config.baseline.method}, which has no parts"
        remedy = (
            "evaluate, protocol, render and render-novel-pose --drive take it; for this, take a run of ours"
        )
        raise UserError(folder.path, problem, remedy)
    return config
