"""The folder of a run, as training writes it.

RUN/config.yaml         every setting, resolved: cameras, coordinate_scale; in the end, pace
RUN/checkpoints/        step_00001000.pt, the newest few
RUN/cameras.json        the cameras as they were found, and what changed
RUN/trajectory.npz      poses and joints, in the units of the scene's files
RUN/machine.json        what it ran on, and by which version
RUN/metrics.jsonl       a line every `log_every` steps
RUN/events.*            the same for TensorBoard
RUN/preview/            pictures made while training
RUN/evaluation.json     what was measured at the end
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from wim_fast.drawing.images import write_png
from wim_fast.errors import UserError
from wim_fast.files import write_atomic
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.motion import edges_of, joints_of, learned_motion, semi_axes_of
from wim_fast.recordings.calibration.raw_json import raw_camera
from wim_fast.recordings.cameras import project
from wim_fast.training.checkpoint import KEPT, TrainedOn, save_checkpoint
from wim_fast.training.trainer import Trainer


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

    def save(self, trainer: Trainer, trained_on: TrainedOn) -> Path:
        """A checkpoint and the trajectory at this step; older checkpoints go. Raises OSError."""
        path = self.checkpoints / f"step_{trainer.step:08d}.pt"
        save_checkpoint(path, trainer, trained_on)
        write_trajectory(self.trajectory, trainer.model, trained_on, trainer.backend.pose_mlp)
        write_found_cameras(self.cameras, trainer, trained_on)
        for old in self.all_checkpoints()[:-KEPT]:
            old.unlink(missing_ok=True)
        return path


@torch.no_grad()
def write_trajectory(path: Path, model: ArticulatedModel, trained_on: TrainedOn, mlp: Callable) -> None:
    """Poses and joints of every frame trained on, in the units of the scene's files.

    part_rotation (T, P, 3, 3) and part_translation (T, P, 3) are part-to-world: x_world = R x_part + t, t the
    part's centre. semi_axes (P, 3). edges (P-1, 2) are the joined parts, joint_position (T, P-1, 3) the joint
    of each edge, part_of_joint (P-1, 2) the two parts that each joint joins: its row of edges. frame_ids (T,)
    of the recording. `mlp`: what computes the pose network, the backend's.
    """
    motion, scale = learned_motion(model, mlp), trained_on.coordinate_scale
    edges = edges_of(model)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        part_rotation=motion.rotation.astype(np.float32),
        part_translation=(motion.translation * scale).astype(np.float32),
        semi_axes=(semi_axes_of(model) * scale).astype(np.float32),
        edges=edges,
        joint_position=(joints_of(model, motion) * scale).astype(np.float32),
        part_of_joint=edges,
        frame_ids=np.array(trained_on.frame_ids),
    )
    write_atomic(path, buffer.getbuffer())


def write_found_cameras(path: Path, trainer: Trainer, trained_on: TrainedOn) -> None:
    """The training cameras as they were found, in the units of the scene's files; nothing if they were believed.

    `cameras` holds for each id what a camera file of the raw layout does, and `changed`: `pixels` (rms, by which the
    parts' centres are seen elsewhere), `degrees` (turn), `moved` (of the optical centre, units of the files),
    `focal_length` (factor), `principal_point` (pixels, x and y), `frames` (how late its pictures are),
    `color` (3, 3; of r, g and b).
    """
    found, given, scale = trainer.found, trainer.cameras, trained_on.coordinate_scale
    if found.correction is None:
        return
    corrected = found.corrected(given)
    points = learned_motion(trainer.model, trainer.backend.pose_mlp).translation
    elsewhere = project(corrected, points)[0] - project(given, points)[0]
    cameras = {}
    in_files = corrected.scaled_world(scale)
    for v, camera in enumerate(given.ids):
        K, T = in_files.intrinsics[v], in_files.T_camera_world[v]
        turn = corrected.T_camera_world[v, :3, :3] @ given.T_camera_world[v, :3, :3].T
        shift = corrected.intrinsics[v, :2, 2] - given.intrinsics[v, :2, 2]
        changed = {
            "pixels": float(np.sqrt((elsewhere[v] ** 2).sum(-1).mean())),
            "degrees": float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))),
            "moved": float(scale * np.linalg.norm(corrected.centers[v] - given.centers[v])),
            "focal_length": float(corrected.intrinsics[v, 0, 0] / given.intrinsics[v, 0, 0]),
            "principal_point": shift.tolist(),
            "frames": found.lateness(camera),
            "color": found.color(camera).tolist(),
        }
        cameras[str(camera)] = {**raw_camera(K, T, (given.height, given.width)), "changed": changed}
    write_atomic(path, (json.dumps({"cameras": cameras}, indent=1) + "\n").encode())
