"""Schmidtke*: a template that moves (eq. 13), its heat maps, and the network that paints over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, l1_loss

from wim_fast.baselines.images import ImageBatch, WholeImages, camera_centers
from wim_fast.baselines.schmidtke import gaussians, losses
from wim_fast.baselines.schmidtke.perceptual import VggLoss, pyramid_loss, read_vgg
from wim_fast.baselines.schmidtke.placement import place_template
from wim_fast.baselines.schmidtke.template import read_template
from wim_fast.baselines.schmidtke.translator import Pictures, Translator
from wim_fast.baselines.trajectory import TimeNetwork
from wim_fast.config import BaselineConfig, Config
from wim_fast.ops.poses.reference import rotation_from_6d
from wim_fast.posing.drive import part_poses
from wim_fast.recordings.cameras import Cameras
from wim_fast.rendering.image import Image
from wim_fast.scene.scene import Scene
from wim_fast.sections import PYRAMID, VGG
from wim_fast.training.initialization import starting_frame

NEAREST = 1e-2  # world units: depth of anchors in front of a camera, at least


class Poses(NamedTuple):
    """The P Gaussians in F poses, part to world."""

    rotation: Tensor  # (F, P, 3, 3)
    center: Tensor  # (F, P, 3)


class Schmidtke(nn.Module):
    """Moment -> pose of every Gaussian -> heat maps of a camera -> its picture.

    A `BaselineModel`; its N = 7 P points are the Gaussians' centres and six points around each, part after part.
    """

    centers: Tensor
    sigmas: Tensor
    anchors: Tensor
    pairs: Tensor
    template_size: Tensor
    trained_side: Tensor

    def __init__(self, config: Config, num_frames: int) -> None:
        super().__init__()
        self.settings: BaselineConfig = config.baseline
        self.background = config.scene.background_grey
        self.template = read_template(self.settings.template or "person")
        parts = len(self.template.names)
        frequencies, width = config.model.pose_frequencies, self.settings.baseline_width
        self.network = TimeNetwork(torch.zeros(9 * parts), num_frames, frequencies, width)
        self.log_stretch = nn.Parameter(torch.zeros(parts, 3))
        self.translator = Translator(parts)
        for name in ("centers", "sigmas", "anchors"):
            array = torch.from_numpy(getattr(self.template, name)).float()
            self.register_buffer(name, array)
        self.register_buffer("pairs", torch.from_numpy(self.template.pairs))
        self.register_buffer("template_size", torch.ones(()))  # world units per template unit
        self.register_buffer("trained_side", torch.ones(()))  # longer side of the images, pixels
        self.picture_loss: Callable[[Tensor, Tensor], Tensor] = l1_loss

    @torch.no_grad()
    def start(self, scene: Scene, initial_frames: int) -> None:
        """The template as it is, on the hull of a frame in every frame."""
        placement = place_template(self.template, scene, starting_frame(scene, initial_frames))
        rotation = torch.from_numpy(placement.rotation).float()
        centers = placement.scale * self.centers @ rotation.T + torch.from_numpy(placement.offset).float()
        axes = rotation.T[:2].flatten().expand(len(centers), 6)  # the first two columns
        self.network.rest.copy_(torch.cat([centers, axes], dim=-1).flatten())
        self.template_size.fill_(placement.scale)
        self.trained_side.fill_(max(scene.size))
        self.picture_loss = picture_loss(self.settings)

    @property
    def scale(self) -> Tensor:
        """(P, 3) s of eq. 14, constant over time: template units per world unit."""
        return self.log_stretch.exp() / self.template_size

    def poses(self, moments: Tensor) -> Poses:
        """At moments (F,)."""
        x = self.network(moments).unflatten(1, (-1, 9))
        return Poses(rotation_from_6d(x[..., 3:]), x[..., :3])

    def points(self, moments: Tensor) -> Tensor:
        """(F, 7 P, 3) what A.10 regresses from and to, eq. 18."""
        return gaussians.moving_points(*self.poses(moments))

    def losses(self, batch: ImageBatch, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Pictures, anchors and border; and the mask, which is read beside them and changes nothing else.

        Unreliable pixels are the background in both pictures.
        """
        settings, poses = self.settings, self.poses(batch.frame.float())
        painted = self.painted(poses, batch.intrinsics, batch.T_camera_world, *batch.alpha.shape[1:])
        reliable = batch.reliable[:, None]
        seen, wanted = (torch.where(reliable, x, self.background) for x in (painted.rgb, batch.rgb))
        places = self.anchor_places(poses, batch.intrinsics, batch.T_camera_world, *batch.alpha.shape[1:])
        mask = torch.where(batch.reliable, painted.opacity - batch.alpha, 0.0)
        terms = {
            "picture": self.picture_loss(seen, wanted),
            "anchors": settings.anchor_weight * losses.anchor_loss(*places.unbind(1)),
            "boundary": settings.boundary_weight * losses.boundary_loss(places.flatten(1, 2)),
            "mask": mask.square().mean(),
        }
        return terms, (seen - wanted).detach().square().mean()

    def painted(
        self, poses: Poses, intrinsics: Tensor, T_camera_world: Tensor, height: int, width: int
    ) -> Pictures:
        """Pictures of F poses, one camera each: K (F, 3, 3), world to camera (F, 4, 4)."""
        return self.translator(self.heat_maps(poses, intrinsics, T_camera_world, height, width))

    def heat_maps(
        self, poses: Poses, intrinsics: Tensor, T_camera_world: Tensor, height: int, width: int
    ) -> Tensor:
        """(F, P, H, W) what `painted` paints over."""
        origins, directions = pixel_lines(intrinsics, T_camera_world, height, width)
        theta = gaussians.theta(*poses, self.scale, self.centers)
        heat = gaussians.heat_maps(theta, self.centers, self.sigmas, origins, directions)
        return heat.unflatten(2, (height, width))

    def anchor_places(
        self, poses: Poses, intrinsics: Tensor, T_camera_world: Tensor, height: int, width: int
    ) -> Tensor:
        """Where images have the anchors, (F, 2, A, 2) in image sizes: by the first of their two parts, by the second.

        What has come behind a camera is far outside of its picture.
        """
        parts = self.pairs.T.flatten()
        of_parts = poses.rotation[:, parts], poses.center[:, parts], self.scale[parts], self.centers[parts]
        world = gaussians.to_world(self.anchors.repeat(2, 1), *of_parts)
        local = world @ T_camera_world[:, :3, :3].transpose(1, 2) + T_camera_world[:, None, :3, 3]
        seen = local @ intrinsics.transpose(1, 2)
        places = seen[..., :2] / seen[..., 2:].clamp_min(NEAREST) / seen.new_tensor([width, height])
        return places.unflatten(1, (2, -1))

    def finish(self, images: WholeImages) -> None:
        """Everything is learned."""

    @torch.no_grad()
    def image(self, points: np.ndarray, cameras: Cameras, index: int) -> Image:
        """The pose in which the points lie at (7 P, 3), rotations by Procrustes (eq. 17), painted.

        The network paints at the size of the images that it was trained on; other pictures are made from that.
        """
        pose = part_poses(points[None], gaussians.reach_as_semi_axes(len(self.centers)))
        poses = Poses(*(torch.from_numpy(x).to(self.centers) for x in pose))
        factor = float(self.trained_side) / max(cameras.height, cameras.width)
        height, width = (max(1, round(factor * side)) for side in (cameras.height, cameras.width))
        camera = cameras.select([index]).resized(width, height)
        K, T = (torch.from_numpy(x).to(self.centers) for x in (camera.intrinsics, camera.T_camera_world))
        training = self.training
        self.eval()  # batch normalisation by running statistics
        heat = self.heat_maps(poses, K, T, height, width)
        painted = self.translator(heat)
        self.train(training)
        size = cameras.height, cameras.width
        both = torch.cat([painted.rgb, painted.opacity[:, None]], dim=1)
        both = interpolate(both, size=size, mode="bilinear", align_corners=False)[0].permute(1, 2, 0)
        opacity = both[..., 3]
        part = interpolate(heat, size=size, mode="bilinear", align_corners=False)[0].argmax(0)
        distance = (poses.center[0] - torch.from_numpy(camera.centers[0]).to(poses.center)).norm(dim=-1)
        solid = opacity > 0.5
        return Image(
            (both[..., :3] - (1 - opacity[..., None]) * self.background).cpu().numpy(),
            opacity.cpu().numpy(),
            torch.where(solid, distance[part], 0.0).cpu().numpy(),
            torch.where(solid, part, -1).int().cpu().numpy(),
        )

    @torch.no_grad()
    def arrays(self, coordinate_scale: float) -> dict[str, np.ndarray]:
        """part_rotation (T, P, 3, 3) and part_translation (T, P, 3), part to world; part_names (P,).

        deviations (P, 3): of the Gaussians along the axes of their parts.
        """
        poses = self.poses(torch.arange(self.network.num_frames, device=self.centers.device))
        return {
            "part_rotation": poses.rotation.cpu().numpy(),
            "part_translation": coordinate_scale * poses.center.cpu().numpy(),
            "part_names": np.array(self.template.names),
            "deviations": coordinate_scale * (self.sigmas / self.scale).cpu().numpy(),
        }


def picture_loss(settings: BaselineConfig) -> Callable[[Tensor, Tensor], Tensor]:
    """How pictures (B, 3, H, W) are compared. UserError where VGG19's weights are wanted and not there."""
    if settings.perceptual == VGG:
        return VggLoss(read_vgg(settings.vgg_weights))
    return pyramid_loss if settings.perceptual == PYRAMID else l1_loss


def pixel_lines(intrinsics: Tensor, T_camera_world: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Optical centres (F, 3) and directions (F, H * W, 3) of all pixels, row after row, in the world, of any length.

    Args:
        intrinsics: (F, 3, 3) pixels; centres of pixels are at +0.5.
        T_camera_world: (F, 4, 4).
    """
    device = intrinsics.device
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    pixels = torch.stack([x + 0.5, y + 0.5, torch.ones_like(x)], dim=-1).flatten(0, 1).to(intrinsics)
    to_world = T_camera_world[:, :3, :3].transpose(1, 2)
    return camera_centers(T_camera_world), pixels @ (to_world @ torch.linalg.inv(intrinsics)).transpose(1, 2)
