"""The training images in memory, and random batches of pixels from them. No data-loader process."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wim_fast.rendering.rays import RayCameras, Rays
from wim_fast.scene.scene import BACKGROUND, OBJECT, UNRELIABLE, Scene
from wim_fast.scene.visual_hull import hull_core, on_unreliable_pixel

GUIDE_SIZE = 128  # the silhouette losses look at masks of at most this size
BLOCK_SHARE = (
    1 / 8
)  # side of the blocks whose pixels count double where they touch the mask: 64 of 512 pixels
BOX_MARGIN = 0.04  # of the image side, round the mask
ANYWHERE_SHARE = 0.1  # of the rays, drawn from the whole image
CORE_DEPTH = 0.03  # world units: how deep a point lies in the visual hull to be taken for the object
CORE_FRAMES = 128  # frames whose hull is carved at most
CORE_POINTS = 512  # kept per frame


class Batch(NamedTuple):
    """B images with n pixels each."""

    camera: Tensor  # (B,) positions of the cameras
    frame: Tensor  # (B,) positions of the frames
    rays: Rays  # B * n of them, image after image; pose_ids count the images
    rgb: Tensor  # (B * n, 3) straight, in [0, 1]
    alpha: Tensor  # (B * n,) true coverage
    weight: Tensor  # (B * n,) 0 at unreliable pixels; pixels of blocks that touch the mask count double


class Guides(NamedTuple):
    """What the silhouette losses compare a batch with; pixels in units of the image side."""

    mask_pixels: Tensor  # (B, m, 2) some pixels of the mask
    weight: Tensor  # (B,) 0 where the mask is empty


class TrainingImages:
    """uint8 images of a scene on a device, with what is computed once per image."""

    def __init__(self, scene: Scene, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.height, self.width = scene.size
        self.num_cameras, self.num_frames = scene.num_cameras, scene.num_frames
        self.cameras = RayCameras.from_matrices(scene.cameras.intrinsics, scene.cameras.T_camera_world)
        self.projection = torch.as_tensor(
            scene.cameras.intrinsics @ scene.cameras.T_camera_world[:, :3]
        ).float()
        self.rgba = torch.from_numpy(np.ascontiguousarray(scene.rgba))
        self.mask = torch.from_numpy(np.ascontiguousarray(scene.mask))
        self._find_boxes_and_blocks(scene.mask)
        self._make_guides(scene.mask)
        self._find_cores(scene)
        self.image_size = torch.tensor([self.width, self.height])
        self.cameras = self.cameras.to(self.device)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))

    def _find_boxes_and_blocks(self, mask: np.ndarray) -> None:
        shape = mask.shape[:2]
        margin = round(BOX_MARGIN * max(self.height, self.width))
        block = max(1, round(BLOCK_SHARE * max(self.height, self.width)))
        boxes = np.tile(np.array([0, 0, self.width, self.height]), (*shape, 1))  # x0 y0 x1 y1
        rows, columns = -(-self.height // block), -(-self.width // block)
        blocks = np.zeros((*shape, rows, columns), bool)
        for v, f in np.ndindex(shape):
            inside = mask[v, f] == OBJECT
            if inside.any():
                y, x = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
                low = np.maximum([x[0] - margin, y[0] - margin], 0)
                high = np.minimum([x[-1] + 1 + margin, y[-1] + 1 + margin], [self.width, self.height])
                boxes[v, f] = [*low, *high]
            padded = np.pad(inside, ((0, rows * block - self.height), (0, columns * block - self.width)))
            blocks[v, f] = padded.reshape(rows, block, columns, block).any((1, 3))
        self.boxes = torch.from_numpy(boxes)
        self.blocks, self.block = torch.from_numpy(blocks), block

    def _make_guides(self, mask: np.ndarray) -> None:
        from scipy.ndimage import distance_transform_edt

        every = -(-max(self.height, self.width) // GUIDE_SIZE)
        coarse = mask[:, :, every // 2 :: every, every // 2 :: every].copy()
        if (
            every > 1 and (mask == UNRELIABLE).any()
        ):  # a pixel of the guides is unreliable if any part of it is
            for dy, dx in np.ndindex(every, every):
                part = mask[:, :, dy::every, dx::every][:, :, : coarse.shape[2], : coarse.shape[3]]
                coarse[:, :, : part.shape[2], : part.shape[3]][part == UNRELIABLE] = UNRELIABLE
        self.guide_side = max(self.height, self.width) / every  # in pixels of the guides
        shape = coarse.shape[:2]
        nearest = np.zeros((*coarse.shape, 2), np.int16)
        pixels, first = [], [0]
        for v, f in np.ndindex(shape):
            inside = coarse[v, f] != 0
            if inside.any():
                index = distance_transform_edt(~inside, return_distances=False, return_indices=True)
                nearest[v, f] = np.stack([index[1], index[0]], -1)
                nearest[v, f][coarse[v, f][tuple(index)] == UNRELIABLE] = -1
            pixels.append(np.argwhere(coarse[v, f] == OBJECT)[:, ::-1].astype(np.int16))
            first.append(first[-1] + len(pixels[-1]))
        self.nearest = torch.from_numpy(nearest)  # (V, T, h, w, 2) x y, -1 where it is unreliable
        self.mask_pixels = torch.from_numpy(np.concatenate(pixels))
        self.mask_pixel_start = torch.tensor(first)

    def _find_cores(self, scene: Scene) -> None:
        """Some points of the core of the visual hull, in every frame or in evenly spread ones of a long recording."""
        every = -(-self.num_frames // CORE_FRAMES)
        rng = np.random.default_rng(0)
        self.core = torch.zeros(self.num_frames, CORE_POINTS, 3)  # world
        self.has_core = torch.zeros(self.num_frames, dtype=torch.bool)
        for f in range(0, self.num_frames, every):
            points = hull_core(scene.cameras, scene.mask[:, f] != BACKGROUND, CORE_DEPTH)
            points = points[~on_unreliable_pixel(scene.cameras, scene.mask[:, f], points)]
            if len(points):
                self.core[f] = torch.from_numpy(points[rng.integers(len(points), size=CORE_POINTS)])
                self.has_core[f] = True

    def core_points(self, frame: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` random core points of each frame (B,): (B, count, 3) world, and whether there are any (B,)."""
        pick = torch.randint(CORE_POINTS, (len(frame), count), generator=generator, device=self.device)
        return self.core[frame[:, None], pick], self.has_core[frame]

    def draw(self, camera: Tensor, frame: Tensor, rays_per_image: int, generator: torch.Generator) -> Batch:
        """`rays_per_image` random pixels of each image (camera[i], frame[i]), jittered within the pixel."""
        shape = len(camera), rays_per_image
        box = self.boxes[camera, frame].clone()
        uniform = torch.rand(*shape, 2, generator=generator, device=self.device)
        anywhere = torch.arange(rays_per_image, device=self.device) < round(ANYWHERE_SHARE * rays_per_image)
        low = torch.where(anywhere[:, None], 0, box[:, None, :2])
        high = torch.where(anywhere[:, None], self.image_size, box[:, None, 2:])
        pixel = low + uniform * (high - low)
        x, y = pixel.long().unbind(-1)
        x, y = x.clamp_max(self.width - 1), y.clamp_max(self.height - 1)
        c, f = camera[:, None], frame[:, None]
        rgba = self.rgba[c, f, y, x].view(-1, 4).float() / 255
        reliable = (self.mask[c, f, y, x] != UNRELIABLE).view(-1)
        weight = torch.where(self.blocks[c, f, y // self.block, x // self.block].view(-1), 2.0, 1.0)
        origins, directions = self.cameras.rays(camera, pixel)
        pose_ids = torch.arange(shape[0], dtype=torch.int32, device=self.device)
        pose_ids = pose_ids.repeat_interleave(rays_per_image)
        rays = Rays(origins.reshape(-1, 3), directions.reshape(-1, 3), pose_ids)
        return Batch(camera, frame, rays, rgba[:, :3], rgba[:, 3], weight * reliable)

    def guides(
        self, camera: Tensor, frame: Tensor, pixels_per_image: int, generator: torch.Generator
    ) -> Guides:
        """Random mask pixels of each image (camera[i], frame[i])."""
        image = camera * self.num_frames + frame
        start = self.mask_pixel_start[image]
        count = self.mask_pixel_start[image + 1] - start
        uniform = torch.rand(len(camera), pixels_per_image, generator=generator, device=self.device)
        pick = (uniform * count[:, None]).long()
        pick = (start[:, None] + pick).clamp_max(max(len(self.mask_pixels) - 1, 0))
        pixels = (self.mask_pixels[pick].float() + 0.5) / self.guide_side
        return Guides(pixels, (count > 0).float())

    def nearest_in_mask(self, camera: Tensor, frame: Tensor, pixels: Tensor) -> Tensor:
        """The mask pixel (B, N, 2) nearest to each of `pixels` (B, N, 2), in units of the longer image side.

        Where that is an unreliable one, the pixel itself: nothing is known about its distance to the mask.
        """
        height, width = self.nearest.shape[2:4]
        x, y = (pixels.detach() * self.guide_side).long().unbind(-1)
        x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
        nearest = self.nearest[camera[:, None], frame[:, None], y, x]
        return torch.where(nearest < 0, pixels.detach(), (nearest.float() + 0.5) / self.guide_side)

    def project(self, points: Tensor, camera: Tensor) -> Tensor:
        """World points (B, N, 3) to pixels (B, N, 2) of cameras (B,), in units of the longer image side."""
        P = self.projection[camera]
        homogeneous = points @ P[:, :, :3].transpose(1, 2) + P[:, None, :, 3]
        return homogeneous[..., :2] / homogeneous[..., 2:].clamp_min(1e-3) / max(self.height, self.width)
