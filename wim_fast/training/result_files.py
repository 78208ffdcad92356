"""What people read of a run beside its checkpoint: trajectory.npz and cameras.json."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import numpy as np
import torch

from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.model.camera_corrections import FoundCameras
from wim_fast.model.motion import edges_of, joints_of, learned_motion, semi_axes_of
from wim_fast.ops.backend import Backend
from wim_fast.posing.bodies.sequence import bodies_of_model
from wim_fast.recordings.calibration.raw_json import raw_camera
from wim_fast.recordings.cameras import Cameras, project


@torch.no_grad()
def trajectory_file(
    model: ArticulatedModel,
    frame_ids: Sequence[int],
    scale: float,
    backend: Backend,
    inv_s: float,
) -> bytes:
    """Poses and joints of every frame trained on, in the units of the scene's files.

    part_rotation (T, P, 3, 3) and part_translation (T, P, 3) are part-to-world: x_world = R x_part + t, t the
    part's centre. semi_axes (P, 3). edges (P-1, 2) are the joined parts, joint_position (T, P-1, 3) the joint
    of each edge, part_of_joint (P-1, 2) the two parts that each joint joins: its row of edges. Of the rigid
    bodies that parts make up, as many as explain the motion best: body_of_part (P,), body_edges (B-1, 2) the
    bodies that a joint joins, body_joint_position (T, B-1, 3). frame_ids (T,) of the recording.

    Args:
        scale: units of the files per world unit.
        inv_s: sharpness of the surface, 1 / world units.
    """
    motion = learned_motion(model, backend.pose_mlp)
    edges, semi_axes = edges_of(model), semi_axes_of(model)
    bodies = bodies_of_model(model, motion, inv_s, backend).at()
    return npz_file(
        part_rotation=motion.rotation.astype(np.float32),
        part_translation=(motion.translation * scale).astype(np.float32),
        semi_axes=(semi_axes * scale).astype(np.float32),
        edges=edges,
        joint_position=(joints_of(model, motion) * scale).astype(np.float32),
        part_of_joint=edges,
        **bodies.arrays(scale),
        frame_ids=np.array(frame_ids),
    )


def npz_file(**arrays: np.ndarray) -> bytes:
    """Arrays by name, as the content of an npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def cameras_file(found: FoundCameras, given: Cameras, points: np.ndarray, scale: float) -> bytes:
    """The training cameras as they were found, in the units of the scene's files.

    Args:
        given: as the recording has them.
        points: (T, P, 3) the parts' centres, world units.
        scale: units of the files per world unit.

    `cameras` holds for each id what a camera file of the raw layout does, and `changed`: `pixels` (rms, by which the
    parts' centres are seen elsewhere), `degrees` (turn), `moved` (of the optical centre, units of the files),
    `focal_length` (factor), `principal_point` (pixels, x and y), `frames` (how late its pictures are),
    `color` (3, 3; of r, g and b).
    """
    corrected = found.corrected(given)
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
    return (json.dumps({"cameras": cameras}, indent=1) + "\n").encode()
