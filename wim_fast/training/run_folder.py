"""The folder of a run, as training writes it.

RUN/config.yaml         every setting, resolved: cameras, coordinate_scale; in the end, pace
RUN/checkpoints/        step_00001000.pt, the newest few
RUN/trajectory.npz      poses and joints, in the units of the scene's files; once training has ended or stopped
RUN/cameras.json        the cameras as they were found, and what changed; likewise
RUN/machine.json        what it ran on, and by which version
RUN/metrics.jsonl       a line every `log_every` steps
RUN/events.*            the same for TensorBoard
RUN/preview/            pictures made while training
RUN/evaluation.json     what was measured at the end
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from wim_fast.config import Config, from_yaml
from wim_fast.drawing.images import write_png
from wim_fast.errors import UserError
from wim_fast.files import write_atomic
from wim_fast.training.checkpoint import KEPT, TrainedOn, save_checkpoint
from wim_fast.training.learner import Learner

LOCK = ".lock"  # of the process that trains
CHECKSUM = "# checksum of what follows: "


def checksum(content: bytes) -> str:
    """Of a file's content: tells damage, not forgery."""
    return f"{zlib.crc32(content):08x}"


class FolderGone(Exception):
    """A run's folder has vanished while it was trained."""


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
    def machine(self) -> Path:
        return self.path / "machine.json"

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
        write_atomic(self.config, f"{CHECKSUM}{checksum(config.encode())}\n{config}".encode())

    def read_config(self) -> Config:
        """The settings. UserError if they cannot be read, or are not as they were written."""
        config = from_yaml(self.config)
        first, _, rest = self.config.read_bytes().partition(b"\n")
        if first.startswith(CHECKSUM.encode()) and first.decode(errors="replace") != CHECKSUM + checksum(
            rest
        ):
            problem = "is not as it was written: it is damaged, or was edited"
            raise UserError(self.config, problem, "put it back, or, if you edited it, remove its first line")
        return config

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Keep other processes from training into this folder, until this one ends in whatever way.

        UserError if another one does, or if it cannot be written to. Reading goes on as ever.
        """
        lock = FileLock(self.path / LOCK, blocking=False)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            problem = "is being trained by another process"
            raise UserError(self.path, problem, "wait for it to end, or choose another --output") from None
        except OSError as error:
            problem = f"cannot be written ({error.strerror or error})"
            raise UserError(
                self.path, problem, "see that it can be written, or choose another --output"
            ) from None
        except NotImplementedError:  # a file system without locks
            yield
            return
        try:
            yield
        finally:
            lock.release()
            if [entry.name for entry in self.path.glob("*")] == [LOCK]:  # nothing came of it
                shutil.rmtree(self.path, ignore_errors=True)

    def check_there(self) -> None:
        """Raises FolderGone if it is not: writing would make an empty folder anew."""
        if not self.config.is_file():
            raise FolderGone

    def write_preview(self, image: np.ndarray, step: int) -> Path:
        """A picture (H, W, 3) uint8. Raises OSError, and FolderGone."""
        self.check_there()
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
        """A checkpoint of this step; older ones go, and what was written of another step. Raises OSError, and FolderGone."""
        self.check_there()
        path = self.checkpoints / f"step_{trainer.step:08d}.pt"
        save_checkpoint(path, trainer, trained_on)
        for old in (self.trajectory, self.cameras, *self.all_checkpoints()[:-KEPT]):
            old.unlink(missing_ok=True)
        return path

    def write_results(self, trainer: Learner, trained_on: TrainedOn) -> None:
        """trajectory.npz and cameras.json; bodies take as long as hundreds of steps. Raises OSError, and FolderGone."""
        self.check_there()
        files = trainer.result_files(trained_on.frame_ids, trained_on.coordinate_scale)
        for name, content in files.items():
            write_atomic(self.path / name, content)
