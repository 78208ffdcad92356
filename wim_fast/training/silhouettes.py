"""The masks as the silhouette losses see them: coarse, with the object's nearest pixel for every pixel, and its hull."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wim_fast.profiling import stage
from wim_fast.recordings.masks import BACKGROUND, OBJECT, UNRELIABLE
from wim_fast.scene.footage import Layer
from wim_fast.scene.scene import Scene
from wim_fast.scene.visual_hull import hull_core, possible_pixels

COARSE_SIZE = 128  # of masks at most; their coordinates fit into a byte
NOWHERE = 255  # in the place of a nearest pixel: it is unreliable
CORE_FRAMES = 128  # frames whose hull is carved at most
CORE_POINTS = 512  # kept per frame


class MaskPixels(NamedTuple):
    """Some pixels of the masks of B images, in units of the longer image side."""

    pixels: Tensor  # (B, m, 2)
    weight: Tensor  # (B,) 0 where the mask is empty


class Silhouettes:
    """What is known of the masks (V, T) of a scene. Tensors lie on `device`.

    Attributes:
        nearest: (V, T, h, w, 2) uint8, x and y of the coarse mask pixel nearest to each; NOWHERE where it is unreliable.
        reliable: (V, T, h, w) bool, the coarse pixels that say what they see.
        mask_pixels: (M, 2) uint8, x and y of the object's coarse pixels, image after image.
        first_of_image: (V * T + 1,) where the pixels of each image begin among them.
        core: (T, CORE_POINTS, 3) world, points of the core of the visual hull; `has_core` (T,) where it is known.
        side: longer side of the coarse masks in their pixels; a fraction where the images' is not a multiple.
    """

    def __init__(self, scene: Scene, core_depth: float, device: torch.device | str = "cpu") -> None:
        """`core_depth`: how deep a point lies in the visual hull to be taken for the object, world units."""
        self.device = torch.device(device)
        self.num_frames = scene.num_frames
        self.image_side = max(scene.size)
        every = -(-self.image_side // COARSE_SIZE)
        self.side = self.image_side / every
        self.nearest, self.mask_pixels, self.first_of_image, self.reliable = (
            x.to(self.device) for x in _find_nearest(scene.mask, every)
        )
        self.core, self.has_core = (x.to(self.device) for x in _find_cores(scene, core_depth))

    @stage("data")
    def draw(
        self, camera: Tensor, frame: Tensor, pixels_per_image: int, generator: torch.Generator
    ) -> MaskPixels:
        """Random mask pixels of each image (camera[i], frame[i])."""
        image = camera * self.num_frames + frame
        first = self.first_of_image[image]
        count = self.first_of_image[image + 1] - first
        uniform = torch.rand(len(camera), pixels_per_image, generator=generator, device=self.device)
        pick = (uniform * count[:, None]).long()
        pick = (first[:, None] + pick).clamp_max(max(len(self.mask_pixels) - 1, 0))
        return MaskPixels((self.mask_pixels[pick].float() + 0.5) / self.side, (count > 0).float())

    @stage("data")
    def nearest_in_mask(self, camera: Tensor, frame: Tensor, pixels: Tensor) -> Tensor:
        """The mask pixel (B, N, 2) nearest to each of `pixels` (B, N, 2), in units of the longer image side.

        Where that is an unreliable one, the pixel itself: nothing is known about its distance to the mask.
        """
        height, width = self.nearest.shape[2:4]
        x, y = (pixels.detach() * self.side).long().unbind(-1)
        x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
        nearest = self.nearest[camera[:, None], frame[:, None], y, x]
        return torch.where(nearest == NOWHERE, pixels.detach(), (nearest.float() + 0.5) / self.side)

    def project(self, points: Tensor, projection: Tensor) -> Tensor:
        """World points (B, N, 3) to pixels (B, N, 2) by matrices (B, 3, 4), in units of the longer image side."""
        homogeneous = points @ projection[:, :, :3].transpose(1, 2) + projection[:, None, :, 3]
        return homogeneous[..., :2] / homogeneous[..., 2:].clamp_min(1e-3) / self.image_side

    @stage("data")
    def judged(self, points: Tensor, frame: Tensor, projection: Tensor) -> Tensor:
        """Which points (B, N, 3) of frames (B,) fall on a reliable pixel of any camera (V, 3, 4): (B, N) bool."""
        height, width = self.reliable.shape[2:]
        P = projection[:, None]
        homogeneous = points @ P[..., :3].mT + P[..., None, :, 3]  # (V, B, N, 3)
        depth = homogeneous[..., 2]
        scale = self.side / self.image_side
        x, y = (homogeneous[..., :2] / depth.clamp_min(1e-3)[..., None] * scale).floor().unbind(-1)
        inside = (depth > 0) & (x >= 0) & (y >= 0) & (x < width) & (y < height)
        x, y = x.clamp(0, width - 1).long(), y.clamp(0, height - 1).long()
        camera = torch.arange(len(P), device=self.device)[:, None, None]
        return (inside & self.reliable[camera, frame[:, None], y, x]).any(0)

    @stage("data")
    def core_points(self, frame: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` random core points of each frame (B,): (B, count, 3) world, and whether there are any (B,)."""
        pick = torch.randint(CORE_POINTS, (len(frame), count), generator=generator, device=self.device)
        return self.core[frame[:, None], pick], self.has_core[frame]


def _find_nearest(masks: Layer, every: int) -> tuple[Tensor, ...]:
    """`Silhouettes.nearest`, `mask_pixels`, `first_of_image` and `reliable`."""
    V, T, height, width = masks.shape
    rows, columns = (len(range(every // 2, n, every)) for n in (height, width))
    nearest = np.zeros((V, T, rows, columns, 2), np.uint8)
    reliable = np.zeros((V, T, rows, columns), bool)

    def take_in(image: int) -> np.ndarray:
        v, t = divmod(image, T)
        mask = _coarse(masks[v, t], every)
        reliable[v, t] = mask != UNRELIABLE
        if (mask == OBJECT).any():
            mask[~possible_pixels(mask)] = BACKGROUND
        nearest[v, t] = _nearest_mask_pixels(mask)
        return np.argwhere(mask == OBJECT)[:, ::-1].astype(np.uint8)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        pixels = list(pool.map(take_in, range(V * T)))
    first = np.cumsum([0, *map(len, pixels)])
    arrays = nearest, np.concatenate(pixels), first, reliable
    return tuple(torch.from_numpy(array) for array in arrays)


def _coarse(mask: np.ndarray, every: int) -> np.ndarray:
    """The mask thinned out; a coarse pixel is unreliable if any part of it is."""
    coarse = mask[every // 2 :: every, every // 2 :: every].copy()
    if every > 1 and (mask == UNRELIABLE).any():
        for dy, dx in np.ndindex(every, every):
            part = mask[dy::every, dx::every][: coarse.shape[0], : coarse.shape[1]]
            coarse[: part.shape[0], : part.shape[1]][part == UNRELIABLE] = UNRELIABLE
    return coarse


def _nearest_mask_pixels(mask: np.ndarray) -> np.ndarray:
    """(h, w, 2) uint8: x and y of the nearest pixel of a mask (h, w) that is not background."""
    from scipy.ndimage import distance_transform_edt

    inside = mask != BACKGROUND
    if not inside.any():
        return np.zeros((*mask.shape, 2), np.uint8)
    y, x = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    nearest = np.stack([x, y], -1).astype(np.uint8)
    nearest[mask[y, x] == UNRELIABLE] = NOWHERE
    return nearest


def _find_cores(scene: Scene, depth: float) -> tuple[Tensor, Tensor]:
    """Some points of the core of the visual hull, in every frame or in evenly spread ones of a long recording."""
    every = -(-scene.num_frames // CORE_FRAMES)
    rng = np.random.default_rng(0)
    core = torch.zeros(scene.num_frames, CORE_POINTS, 3)
    has_core = torch.zeros(scene.num_frames, dtype=torch.bool)
    for t in range(0, scene.num_frames, every):
        points = hull_core(scene.cameras, scene.mask[:, t], depth)
        if len(points):
            core[t] = torch.from_numpy(points[rng.integers(len(points), size=CORE_POINTS)])
            has_core[t] = True
    return core, has_core
