"""Schmidtke*: a template that moves (eq. 13), its heat maps, and the network that paints over them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from wim_fast.baselines.schmidtke import gaussians
from wim_fast.baselines.schmidtke.placement import Placement
from wim_fast.baselines.schmidtke.template import Template
from wim_fast.baselines.schmidtke.translator import Pictures, Translator
from wim_fast.model.pose_trajectory import PoseTrajectory
from wim_fast.rendering.rays import RayCameras


class Poses(NamedTuple):
    """The P Gaussians in F poses, part to world."""

    rotation: Tensor  # (F, P, 3, 3)
    center: Tensor  # (F, P, 3)


class SchmidtkeModel(nn.Module):
    """Time -> pose of every Gaussian -> heat maps of a camera -> its picture.

    The state of the module holds the template too, so that a run needs no file beside it.
    """

    def __init__(
        self, template: Template, num_frames: int, frequencies: int, width: int, layers: int
    ) -> None:
        super().__init__()
        parts = len(template.names)
        self.trajectory = PoseTrajectory(parts, num_frames, frequencies, width, layers)
        self.log_scale = nn.Parameter(torch.zeros(parts, 3))
        self.translator = Translator(parts)
        for name in ("centers", "sigmas", "anchors"):
            self.register_buffer(name, torch.from_numpy(getattr(template, name)).float())
        self.register_buffer("pairs", torch.from_numpy(template.pairs))
        self.centers: Tensor
        self.sigmas: Tensor
        self.anchors: Tensor
        self.pairs: Tensor

    @property
    def scale(self) -> Tensor:
        """(P, 3) s of eq. 14, constant over time: template units per world unit."""
        return self.log_scale.exp()

    def start_at(self, placement: Placement) -> None:
        """Begin with the template as it is, at this place of the world."""
        rotation = torch.from_numpy(placement.rotation).float()
        offset = torch.from_numpy(placement.offset).float()
        centers = placement.scale * self.centers @ rotation.T + offset
        self.trajectory.start_at(rotation.expand(len(centers), 3, 3), centers)
        with torch.no_grad():
            self.log_scale.fill_(-torch.tensor(placement.scale).log())

    def poses(self, frames: Tensor) -> Poses:
        """At `frames` (F,), which may be fractional."""
        return Poses(*self.trajectory(frames))

    def heat_maps(self, poses: Poses, cameras: RayCameras, camera: Tensor, height: int, width: int) -> Tensor:
        """(F, P, H, W): pose i as camera number camera[i] (F,) sees it."""
        pixels = pixel_centers(height, width, camera.device).expand(len(camera), -1, 2)
        origins, directions = cameras.rays(camera, pixels)
        theta = gaussians.theta(*poses, self.scale, self.centers)
        heat = gaussians.heat_maps(theta, self.centers, self.sigmas, origins[:, 0], directions)
        return heat.unflatten(2, (height, width))

    def pictures(
        self, poses: Poses, cameras: RayCameras, camera: Tensor, height: int, width: int
    ) -> Pictures:
        """The same, painted."""
        return self.translator(self.heat_maps(poses, cameras, camera, height, width))

    def anchor_places(self, poses: Poses, projection: Tensor, size: tuple[int, int]) -> Tensor:
        """Where images have the anchors, (F, 2, A, 2) in image sizes: as the first of the two parts carries it, and the second.

        Args:
            projection: (F, 3, 4) world to pixels of each image's camera.
            size: (height, width) in pixels.
        """
        parts = self.pairs.T.flatten()
        at = gaussians.to_world(
            self.anchors.repeat(2, 1),
            poses.rotation[:, parts],
            poses.center[:, parts],
            self.scale[parts],
            self.centers[parts],
        )
        seen = at @ projection[..., :3].transpose(1, 2) + projection[:, None, :, 3]
        places = seen[..., :2] / seen[..., 2:] / seen.new_tensor(size[::-1])
        return places.unflatten(1, (2, -1))

    def points(self, poses: Poses) -> Tensor:
        """What A.10 regresses from and to: centres and six points around each, (F, P * 7, 3) world, part after part."""
        around = gaussians.points_around(*poses)
        return torch.cat([poses.center[:, :, None], around], dim=2).flatten(1, 2)


def pixel_centers(height: int, width: int, device: torch.device) -> Tensor:
    """(H * W, 2) x and y of all pixels, row after row."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return torch.stack([x, y], dim=-1).flatten(0, 1) + 0.5
