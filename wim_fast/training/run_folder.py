"""The folder of a run, as training writes it.

RUN/config.yaml         every setting, resolved: cameras, coordinate_scale; in the end, pace
RUN/checkpoints/        step_00001000.pt, the newest few
RUN/cameras.json        the cameras as they were found, and what changed
RUN/trajectory.npz      poses and joints, in the units of the scene's files
RUN/metrics.jsonl       a line every `log_every` steps
RUN/events.*            the same for TensorBoard
RUN/preview/            pictures made while training
RUN/evaluation.json     what was measured at the end
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wim_fast.drawing.images import write_png
from wim_fast.errors import UserError
from wim_fast.files import write_atomic
from wim_fast.training.checkpoint import KEPT, TrainedOn, save_checkpoint
from wim_fast.training.learner import Learner


@dataclass(frozen=True)
class RunFolder:
    """Where everything of a run lies."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def trajectory(self) -> Path:
        return self.path / "trajectory.npz"

    @property
    def cameras(self) -> Path:
        return self.path / "cameras.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def preview(self) -> Path:
        return self.path / "preview"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    def create(self, config: str) -> None:
        """Make the folder and config.yaml; remove what a killed process left half-written. Raises OSError."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        for unfinished in self.path.rglob(".*.tmp"):
            unfinished.unlink(missing_ok=True)
        write_atomic(self.config, config.encode())

    def write_preview(self, image: np.ndarray, step: int) -> Path:
        """A picture (H, W, 3) uint8. Raises OSError."""
        return write_png(self.preview / f"step_{step:06d}.png", image)

    def all_checkpoints(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.checkpoints.glob("step_*.pt"))

    def check_is_run(self) -> None:
        """UserError unless this is a run with a checkpoint."""
        remedy = "give a folder that `wim-fast train` made"
        if not self.path.is_dir():
            raise UserError(self.path, "there is no such run", remedy)
        if not self.config.is_file():
            raise UserError(self.path, "is not a run: it has no config.yaml", remedy)
        if not self.all_checkpoints():
            raise UserError(self.path, "has no checkpoint", "train it first: wim-fast train")

    def save(self, trainer: Learner, trained_on: TrainedOn) -> Path:
        """A checkpoint and the result files at this step; older checkpoints go. Raises OSError."""
        path = self.checkpoints / f"step_{trainer.step:08d}.pt"
        save_checkpoint(path, trainer, trained_on)
        files = trainer.result_files(trained_on.frame_ids, trained_on.coordinate_scale)
        for name, content in files.items():
            write_atomic(self.path / name, content)
        for old in self.all_checkpoints()[:-KEPT]:
            old.unlink(missing_ok=True)
        return path
