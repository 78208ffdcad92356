"""The training images in memory, and random batches of pixels from them. No data-loader process."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wim_fast.config import Config
from wim_fast.ops.backend import Backend
from wim_fast.ops.pixels.reference import Draws, PixelTables
from wim_fast.profiling import stage
from wim_fast.recordings.masks import OBJECT, outline
from wim_fast.rendering.rays import RayCameras, Rays, image_ids
from wim_fast.scene.footage import TILE
from wim_fast.scene.scene import Scene
from wim_fast.training.silhouettes import Silhouettes


class Batch(NamedTuple):
    """B images with n pixels each."""

    camera: Tensor  # (B,) positions of the cameras
    frame: Tensor  # (B,) positions of the frames
    rays: Rays  # B * n of them, image after image; pose_ids count the images
    rgb: Tensor  # (B * n, 3) straight, in [0, 1]
    alpha: Tensor  # (B * n,) true coverage
    weight: (
        Tensor  # (B * n,) 0 at unreliable pixels; 1 at others, `block_weight` in blocks that touch the mask
    )
    even: int  # of an image's n rays, the first so many are spread over the box and the image, the others near the outline


class TrainingImages:
    """The tiles of a scene's images on a device, with what is computed once per image."""

    def __init__(self, scene: Scene, config: Config, device: torch.device | str = "cpu") -> None:
        self.sampling, self.block_weight = config.sampling, config.loss.block_weight
        self.outline_share, self.ray_spread, _ = config.for_masks()
        self.device = torch.device(device)
        self.height, self.width = scene.size
        self.num_cameras, self.num_frames = scene.num_cameras, scene.num_frames
        cameras = scene.cameras
        self.cameras = RayCameras.from_matrices(cameras.intrinsics, cameras.T_camera_world).to(self.device)
        self.projection = self.cameras.projection()  # (V, 3, 4), of cameras as they are given
        self.silhouettes = Silhouettes(scene, config.sampling.core_depth, self.device)
        self.block = max(1, round(self.sampling.block_share * max(self.height, self.width)))
        rows, columns = -(-self.height // self.block), -(-self.width // self.block)
        shape = self.num_cameras, self.num_frames
        self.blocks = torch.zeros(*shape, rows, columns, dtype=torch.bool)
        self.boxes = torch.tensor([0, 0, self.width, self.height]).repeat(*shape, 1)  # x0 y0 x1 y1
        outlines = []
        for v, f in np.ndindex(shape):
            pixels = scene.mask[v, f]
            self._find_box_and_blocks(v, f, pixels == OBJECT)
            wanted = outline(pixels) if self.outline_share > 0 else np.zeros(0, bool)
            outlines.append(np.flatnonzero(wanted).astype(np.int32))
        self.boxes, self.blocks = self.boxes.to(self.device), self.blocks.to(self.device)
        at_outline = torch.from_numpy(np.concatenate(outlines)).to(self.device)
        first = torch.tensor([0, *(len(near) for near in outlines)], device=self.device).cumsum(0)
        footage = scene.footage
        index, rgba, mask = (
            torch.from_numpy(array).to(self.device)
            for array in (footage.index, footage.rgba_tiles, footage.mask_tiles)
        )
        tables = index, rgba.view(-1, 4), mask.view(-1), self.boxes, self.blocks, at_outline, first
        self.pixels = PixelTables(*tables, self.width, self.height, TILE, self.block)

    def _find_box_and_blocks(self, v: int, f: int, inside: np.ndarray) -> None:
        """Where the object (H, W) is in image (v, f)."""
        if inside.any():
            margin = round(self.sampling.box_margin * max(self.height, self.width))
            y, x = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            low = np.maximum([x[0] - margin, y[0] - margin], 0)
            high = np.minimum([x[-1] + 1 + margin, y[-1] + 1 + margin], [self.width, self.height])
            self.boxes[v, f] = torch.tensor([*low, *high])
        rows, columns = self.blocks.shape[2:]
        padded = np.pad(
            inside, ((0, rows * self.block - self.height), (0, columns * self.block - self.width))
        )
        blocks = padded.reshape(rows, self.block, columns, self.block).any((1, 3))
        self.blocks[v, f] = torch.from_numpy(blocks)

    @stage("data")
    def draw(
        self,
        camera: Tensor,
        frame: Tensor,
        rays_per_image: int,
        generator: torch.Generator,
        backend: Backend,
        cameras: RayCameras | None = None,
    ) -> Batch:
        """`rays_per_image` random pixels of each image (camera[i], frame[i]), jittered within the pixel.

        `cameras`: as they are corrected; None: as given.
        """
        images = len(camera)
        uniform = torch.rand(images, rays_per_image, 3, generator=generator, device=self.device)
        anywhere = round(self.sampling.anywhere_share * rays_per_image)
        at_outline = min(round(self.outline_share * rays_per_image), rays_per_image - 1)
        draws = Draws(anywhere, at_outline, self.ray_spread)
        place, rgb, alpha, weight = backend.draw_pixels(
            self.pixels, camera, frame, uniform, draws, self.block_weight
        )
        origins, directions = (cameras or self.cameras).rays(camera, place, backend.camera_rays)
        pose_ids = image_ids(images, rays_per_image, self.device)
        rays = Rays(origins.reshape(-1, 3), directions.reshape(-1, 3), pose_ids)
        return Batch(camera, frame, rays, rgb, alpha, weight, rays_per_image - at_outline)
