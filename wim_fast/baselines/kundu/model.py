"""Kundu*: moment -> orientation, place and pose of a skinned body, its shape the same at all times (A.9, eq. 12)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn
from torch.nn.functional import interpolate

from wim_fast.baselines.images import ImageBatch, WholeImages, camera_centers
from wim_fast.baselines.kundu import losses
from wim_fast.baselines.kundu.outline import find_outline, mesh_edges, soft_mask
from wim_fast.baselines.kundu.picture import mesh_image
from wim_fast.baselines.kundu.prior import load_pose_prior
from wim_fast.baselines.kundu.skinning import Skin
from wim_fast.baselines.kundu.start import find_stand, surface_moments
from wim_fast.baselines.template import Template, load_smpl, load_template
from wim_fast.baselines.trajectory import TimeNetwork
from wim_fast.config import BaselineConfig, Config
from wim_fast.ops.poses.reference import rotation_from_6d
from wim_fast.recordings.cameras import Cameras
from wim_fast.rendering.image import Image
from wim_fast.rendering.raster import rasterize
from wim_fast.scene.scene import Scene

COLORED_IMAGES = 400  # of all, at most, that vertices take their colours from
CHUNK = 8  # images at a time
SIZE_UNIT = 0.1  # of the logarithm of the size, which is learned so much more slowly than poses


class Projected(NamedTuple):
    """Vertices as B images see them."""

    pixels: Tensor  # (B, V, 2)
    depth: Tensor  # (B, V) world units, along the optical axis


class Kundu(nn.Module):
    """The body, the network that poses it, its shape, and its vertices' colours."""

    colors: Tensor
    faces: Tensor

    def __init__(self, config: Config, num_frames: int) -> None:
        super().__init__()
        self.settings: BaselineConfig = config.baseline
        template = body_of(self.settings)
        self.skin = Skin(template)
        self.mesh_faces, self.edges = template.faces, mesh_edges(template.faces)
        angles = 3 * (len(template.joints) - 1)
        file = self.settings.pose_prior
        self.prior = losses.small_angles if file is None else load_pose_prior(Path(file), angles)
        # place, orientation (6 numbers), angles
        rest = torch.cat([torch.zeros(3), torch.eye(3)[:2].flatten(), torch.zeros(angles)])
        frequencies, width = config.model.pose_frequencies, self.settings.baseline_width
        self.network = TimeNetwork(rest, num_frames, frequencies, width)
        self.log_size = nn.Parameter(torch.zeros(()))
        self.shape = nn.Parameter(torch.zeros(template.shape_directions.shape[-1]))
        self.register_buffer("faces", torch.from_numpy(template.faces), persistent=False)
        self.register_buffer("colors", torch.full((len(template.vertices), 3), 0.5))

    @torch.no_grad()
    def start(self, scene: Scene, initial_frames: int) -> None:
        """At rest in every frame, where the body's masks overlap most with those of one."""
        vertices = self.skin.vertices.double().numpy()
        stand = find_stand(scene, initial_frames, vertices, self.mesh_faces)
        center, _ = surface_moments(vertices, self.mesh_faces)
        place = stand.of(self.skin.joints[:1].double().numpy() - center)[0]
        self.network.rest[:9] = torch.from_numpy(np.concatenate([place, *stand.turn.T[:2]]))
        self.log_size.fill_(math.log(stand.size) / SIZE_UNIT)

    def posed(self, moments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vertices (F, V, 3), joints (F, J, 3) in the world and angles (F, 3 (J - 1)) at moments (F,)."""
        x = self.network(moments)
        place, turn, angles = x[:, :3], rotation_from_6d(x[:, 3:9]), x[:, 9:]
        pose = angles.view(len(x), -1, 3)
        return *self.skin(turn, place, pose, (SIZE_UNIT * self.log_size).exp(), self.shape), angles

    def points(self, moments: Tensor) -> Tensor:
        """(F, V, 3) the vertices."""
        return self.posed(moments)[0]

    def losses(self, batch: ImageBatch, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Masks, colours that agree between each image and the next, and poses."""
        settings = self.settings
        vertices, _, angles = self.posed(batch.frame)
        seen = projected(vertices, batch.intrinsics, batch.T_camera_world)
        softness = losses.softness_at(batch.progress, settings.outline_softness)
        masks, depth = self._masks(seen, batch, softness)
        size = masks.shape[1:]
        alpha, reliable = (
            interpolate(x.float()[:, None], size, mode="area")[:, 0] for x in (batch.alpha, batch.reliable)
        )
        weights = self._weights(vertices, seen, batch, depth)
        consensus = losses.consensus_loss(losses.sampled(batch.rgb, seen.pixels), weights)
        likely = self.prior(angles) + self.shape.square().sum()
        terms = {
            "outline": settings.outline_weight * losses.outline_loss(masks, alpha, reliable),
            "consensus": settings.consensus_weight * consensus,
            "pose_prior": settings.pose_prior_weight * likely,
        }
        return terms, consensus.detach()

    def _masks(self, seen: Projected, batch: ImageBatch, softness: float) -> tuple[Tensor, Tensor]:
        """Soft masks and depths (B, h, w) as `outline_size` has them; infinitely far where nothing is."""
        height, width = batch.alpha.shape[1:]
        factor = min(1.0, self.settings.outline_size / max(height, width))
        h, w = max(1, round(factor * height)), max(1, round(factor * width))
        pixels = seen.pixels * seen.pixels.new_tensor([w / width, h / height])
        masks, depths = [], []
        for at, depth in zip(pixels, seen.depth, strict=True):
            place, distance = (x.detach().double().cpu().numpy() for x in (at, depth))
            fragments = rasterize(place, distance, self.mesh_faces, h, w)
            covered = fragments.face >= 0
            outline = find_outline(place, self.mesh_faces, self.edges, covered)
            masks.append(soft_mask(at, outline, covered, softness))
            surface = np.full((h, w), np.inf)
            surface[covered] = fragments.interpolated(self.mesh_faces, distance[:, None])[:, 0]
            depths.append(torch.from_numpy(surface).to(at))
        return torch.stack(masks), torch.stack(depths)

    @torch.no_grad()
    def _weights(self, vertices: Tensor, seen: Projected, batch: ImageBatch, depth: Tensor) -> Tensor:
        """(B, V) how much each vertex is seen, in [0, 1]; 0 outside the picture and on unreliable pixels.

        Without gradient, or a vertex that disagrees would rather not be seen.
        """
        towards = camera_centers(batch.T_camera_world)[:, None] - vertices
        towards = torch.nn.functional.normalize(towards, dim=-1)
        facing = (losses.vertex_normals(vertices, self.faces) * towards).sum(-1)
        height, width = batch.alpha.shape[1:]
        size = seen.pixels.new_tensor([width, height])
        scaled = seen.pixels * seen.pixels.new_tensor([depth.shape[2], depth.shape[1]]) / size
        rendered = losses.sampled(depth[:, None], scaled, nearest=True)[..., 0]
        behind = torch.where(rendered.isfinite(), seen.depth - rendered, 0.0)
        inside = ((seen.pixels > 0) & (seen.pixels < size)).all(-1) & (seen.depth > 0)
        known = losses.sampled(batch.reliable.float()[:, None], seen.pixels, nearest=True)[..., 0]
        return losses.visibility(facing, behind) * inside * known

    @torch.no_grad()
    def finish(self, images: WholeImages) -> None:
        """Each vertex takes its mean colour over the images, by how much it is seen and covered by the object's mask.

        One that no image shows takes that of the nearest that is, at rest.
        """
        total = torch.zeros_like(self.colors)
        seen_by = torch.zeros_like(self.colors[:, 0])
        count = images.num_cameras * images.num_frames
        chosen = np.unique(np.linspace(0, count - 1, min(count, COLORED_IMAGES)).round().astype(np.int64))
        for some in torch.from_numpy(chosen).to(self.colors.device).split(CHUNK):
            batch = images.batch(some % images.num_cameras, some // images.num_cameras)
            vertices = self.points(batch.frame)
            seen = projected(vertices, batch.intrinsics, batch.T_camera_world)
            _, depth = self._masks(seen, batch, 1.0)
            weights = self._weights(vertices, seen, batch, depth)
            weights = weights * losses.sampled(batch.alpha[:, None], seen.pixels)[..., 0]
            total += (weights[..., None] * losses.sampled(batch.rgb, seen.pixels)).sum(0)
            seen_by += weights.sum(0)
        self.colors.copy_(total / seen_by.clamp_min(1e-6)[:, None])
        unseen = (seen_by < 1e-3).cpu().numpy()
        if unseen.any() and not unseen.all():
            rest = self.skin.vertices.cpu().numpy()
            nearest = np.flatnonzero(~unseen)[cKDTree(rest[~unseen]).query(rest[unseen])[1]]
            self.colors[torch.from_numpy(unseen).to(total.device)] = self.colors[nearest]

    def image(self, points: np.ndarray, cameras: Cameras, index: int) -> Image:
        """The coloured mesh with its vertices at (V, 3)."""
        return mesh_image(points, self.mesh_faces, self.colors.cpu().numpy(), cameras, index)

    @torch.no_grad()
    def arrays(self, coordinate_scale: float) -> dict[str, np.ndarray]:
        """joint_position (T, J, 3), parents (J,), angles (T, J - 1, 3) in radians, shape (S,)."""
        moments = torch.arange(self.network.num_frames, device=self.colors.device)
        each = [self.posed(t) for t in moments.float().split(CHUNK)]
        joints, angles = (torch.cat([found[k] for found in each]).cpu().numpy() for k in (1, 2))
        return {
            "joint_position": coordinate_scale * joints,
            "parents": np.array(self.skin.parents),
            "angles": angles.reshape(len(angles), -1, 3),
            "shape": self.shape.cpu().numpy(),
        }


def body_of(settings: BaselineConfig) -> Template:
    """SMPL or another template, as the settings name it."""
    if settings.smpl is not None:
        return load_smpl(Path(settings.smpl))
    assert settings.template is not None  # checked with the settings
    return load_template(Path(settings.template))


def projected(vertices: Tensor, intrinsics: Tensor, T_camera_world: Tensor) -> Projected:
    """Vertices (B, V, 3) in B images with K (B, 3, 3) and world to camera (B, 4, 4)."""
    local = vertices @ T_camera_world[:, :3, :3].transpose(1, 2) + T_camera_world[:, None, :3, 3]
    homogeneous = local @ intrinsics.transpose(1, 2)
    depth = local[..., 2]
    ahead = torch.where(depth > 1e-6, homogeneous[..., 2], 1e-6)  # what is behind the camera is not seen
    return Projected(homogeneous[..., :2] / ahead[..., None], depth)
