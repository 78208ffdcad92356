"""The training images in memory, and random batches of pixels from them. No data-loader process."""

from __future__ import annotations

from collections.abc import Sequence
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
from wim_fast.scene.footage import TILE, Footage
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
        for_masks = config.for_masks()
        self.outline_share, self.ray_spread = for_masks.outline_share, for_masks.ray_spread
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
        for v, f in np.ndindex(shape):
            self._find_box_and_blocks(v, f, scene.mask[v, f] == OBJECT)
        self.boxes, self.blocks = self.boxes.to(self.device), self.blocks.to(self.device)
        self.pixels = self._tables(scene.footage.pyramid() if for_masks.pyramid else (scene.footage,))

    def _tables(self, levels: Sequence[Footage]) -> PixelTables:
        """Of images at each level; see ``Footage.pyramid``."""
        tiles, of_level, outlines = 0, [], []
        for footage in levels:
            of_level.append((footage.index + tiles).reshape(-1))
            tiles += len(footage.mask_tiles)
            for v, f in np.ndindex(footage.index.shape[:2]):
                near = np.zeros(0, bool)
                if self.outline_share > 0:
                    near = outline(footage.mask[v, f], footage.rgba[v, f, :, :, 3])
                outlines.append(np.flatnonzero(near).astype(np.int32))
        fine, coarse = levels[0], levels[1:]
        arrays = (
            np.concatenate(of_level),
            _starts(of_level)[:-1],
            fine.rgba_tiles,
            fine.mask_tiles,
            np.concatenate([fine.rgba_tiles[:0], *(footage.rgba_tiles for footage in coarse)]),
            np.concatenate([fine.mask_tiles[:0], *(footage.mask_tiles for footage in coarse)]),
            np.concatenate(outlines),
            _starts(outlines),
        )
        index, tile_first, rgba, mask, coarse_rgba, coarse_mask, at_outline, first = (
            torch.from_numpy(array).to(self.device) for array in arrays
        )
        return PixelTables(
            index,
            tile_first,
            rgba.view(-1, 4),
            mask.view(-1),
            coarse_rgba.view(-1, 4),
            coarse_mask.view(-1),
            self.boxes,
            self.blocks,
            at_outline,
            first,
            self.width,
            self.height,
            TILE,
            self.block,
        )

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
        level: Tensor | None = None,
    ) -> Batch:
        """`rays_per_image` random pixels of each image (camera[i], frame[i]), jittered within the pixel.

        Args:
            cameras: as they are corrected; None: as given.
            level: () how often images were halved, see ``draw_pixels``; None: not at all.
        """
        images = len(camera)
        uniform = torch.rand(images, rays_per_image, 3, generator=generator, device=self.device)
        anywhere = round(self.sampling.anywhere_share * rays_per_image)
        at_outline = min(round(self.outline_share * rays_per_image), rays_per_image - 1)
        level = uniform.new_zeros(()) if level is None else level
        draws = Draws(anywhere, at_outline, self.ray_spread)
        place, rgb, alpha, weight = backend.draw_pixels(
            self.pixels, camera, frame, uniform, level, draws, self.block_weight
        )
        origins, directions = (cameras or self.cameras).rays(camera, place, backend.camera_rays)
        pose_ids = image_ids(images, rays_per_image, self.device)
        rays = Rays(origins.reshape(-1, 3), directions.reshape(-1, 3), pose_ids)
        return Batch(camera, frame, rays, rgb, alpha, weight, rays_per_image - at_outline)


def _starts(pieces: Sequence[np.ndarray]) -> np.ndarray:
    """Where each of them begins when they are put together, and where the last one ends, (n + 1,)."""
    return np.cumsum([0, *(len(piece) for piece in pieces)])
