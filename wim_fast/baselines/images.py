"""The images of a scene as a baseline reads them: whole ones, a few at each step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wim_fast.recordings.masks import UNRELIABLE
from wim_fast.scene.scene import Scene


class ImageBatch(NamedTuple):
    """B images of H x W pixels, and how far training is."""

    camera: Tensor  # (B,) positions of the cameras
    frame: Tensor  # (B,) positions of the frames
    intrinsics: Tensor  # (B, 3, 3) pixels
    T_camera_world: Tensor  # (B, 4, 4)
    rgb: Tensor  # (B, 3, H, W) in [0, 1], on the run's background
    alpha: Tensor  # (B, H, W) coverage by the object
    reliable: Tensor  # (B, H, W) bool
    progress: float  # share of the schedule done


class WholeImages:
    """A scene on a device; images are unpacked when they are drawn.

    Args:
        background: grey in [0, 1] behind the object.
    """

    def __init__(self, scene: Scene, background: float, device: torch.device) -> None:
        self.scene, self.background, self.device = scene, background, device
        self.num_cameras, self.num_frames = scene.num_cameras, scene.num_frames
        self.intrinsics = torch.from_numpy(scene.cameras.intrinsics).float().to(device)
        self.T_camera_world = torch.from_numpy(scene.cameras.T_camera_world).float().to(device)

    def batch(self, camera: Tensor, frame: Tensor, progress: float = 1.0) -> ImageBatch:
        """The images (camera[i], frame[i]), positions (B,)."""
        pairs = list(zip(camera.tolist(), frame.tolist(), strict=True))
        rgba, mask = (
            np.stack([layer[v, t] for v, t in pairs]) for layer in (self.scene.rgba, self.scene.mask)
        )
        image = torch.from_numpy(rgba).to(self.device).permute(0, 3, 1, 2).float() / 255
        alpha = image[:, 3]
        rgb = alpha[:, None] * image[:, :3] + (1 - alpha[:, None]) * self.background
        reliable = torch.from_numpy(mask != UNRELIABLE).to(self.device)
        cameras = self.intrinsics[camera], self.T_camera_world[camera]
        return ImageBatch(camera, frame, *cameras, rgb, alpha, reliable, progress)


def camera_centers(T_camera_world: Tensor) -> Tensor:
    """Optical centres (B, 3), world."""
    return -(T_camera_world[:, :3, :3].transpose(1, 2) @ T_camera_world[:, :3, 3:])[..., 0]
