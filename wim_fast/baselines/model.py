"""What training, evaluation and videos ask of a baseline's model, and which model a run has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from wim_fast.baselines.images import ImageBatch, WholeImages
from wim_fast.baselines.kundu.model import Kundu
from wim_fast.baselines.schmidtke.model import Schmidtke
from wim_fast.config import Config
from wim_fast.errors import UserError
from wim_fast.recordings.cameras import Cameras
from wim_fast.rendering.image import Image
from wim_fast.scene.scene import Scene
from wim_fast.sections import KUNDU, SCHMIDTKE


class BaselineModel(Protocol):
    """A torch module. Poses go in and out as N points that move with the object: they are all that pictures need."""

    def start(self, scene: Scene, initial_frames: int) -> None:
        """Begin where the object is, by the masks of a frame (on the CPU)."""

    def losses(self, batch: ImageBatch, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Weighted terms of the loss, and the mean squared error of the colours that it compares, each ()."""

    def finish(self, images: WholeImages) -> None:
        """What is not learned but made of the training images: before pictures, and before it is saved."""

    def points(self, moments: Tensor) -> Tensor:
        """(F, N, 3) world points at moments (F,): what A.10 regresses joints from and drives."""

    def image(self, points: np.ndarray, cameras: Cameras, index: int) -> Image:
        """What camera number `index` sees of the pose in which `points` lie at (N, 3)."""

    def arrays(self, coordinate_scale: float) -> dict[str, np.ndarray]:
        """What trajectory.npz holds, in all frames trained on and in the units of the scene's files."""

    # of torch.nn.Module
    def parameters(self) -> Iterator[torch.nn.Parameter]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any]) -> Any: ...
    def to(self, device: torch.device) -> Any: ...
    def requires_grad_(self, wanted: bool) -> Any: ...


@dataclass(frozen=True)
class MovingPoints:
    """A motion as a baseline has it."""

    points: np.ndarray  # (T, N, 3) world

    def __len__(self) -> int:
        return len(self.points)

    def at(self, frames: Any) -> MovingPoints:
        """The motion at these positions."""
        return MovingPoints(self.points[frames])


def make_model(config: Config, num_frames: int) -> BaselineModel:
    """The model of the run's method, as it is before training. UserError for files that are missing or do not fit."""
    if config.baseline.method == KUNDU:
        return Kundu(config, num_frames)
    if config.baseline.method == SCHMIDTKE:
        return Schmidtke(config, num_frames)
    raise UserError("baseline.method", f"{config.baseline.method} is not a baseline", "choose one")
