"""The masks as the silhouette losses see them: coarse, with the object's nearest pixel for every pixel, and its hull."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from wim_fast.ops.silhouette.reference import NOWHERE, MaskTables
from wim_fast.profiling import stage
from wim_fast.recordings.masks import BACKGROUND, OBJECT, UNRELIABLE
from wim_fast.scene.footage import Layer
from wim_fast.scene.scene import Scene
from wim_fast.scene.visual_hull import hull_core, possible_pixels

COARSE_SIZE = 128  # of masks at most; their coordinates fit into a byte
CORE_FRAMES = 128  # frames whose hull is carved at most
CORE_POINTS = 512  # kept per frame


class Silhouettes:
    """What is known of the masks (V, T) of a scene. Tensors lie on `device`.

    Attributes:
        masks: coarse, with the object's nearest pixel for every pixel.
        core: (T, CORE_POINTS, 3) world, points of the core of the visual hull; `has_core` (T,) where it is known.
    """

    def __init__(self, scene: Scene, core_depth: float, device: torch.device | str = "cpu") -> None:
        """`core_depth`: how deep a point lies in the visual hull to be taken for the object, world units."""
        self.device = torch.device(device)
        self.masks = mask_tables(scene.mask, max(scene.size), self.device)
        self.core, self.has_core = (x.to(self.device) for x in _find_cores(scene, core_depth))

    @stage("data")
    def core_points(self, frame: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` random core points of each frame (B,): (B * count, 3) world, and which of them are (B * count,) bool."""
        pick = torch.randint(CORE_POINTS, (len(frame), count), generator=generator, device=self.device)
        frame = frame[:, None].expand_as(pick)
        return self.core[frame, pick].flatten(0, 1), self.has_core[frame].flatten()


def mask_tables(masks: Layer, image_side: int, device: torch.device) -> MaskTables:
    """Of masks (V, T, H, W) of images whose longer side has `image_side` pixels."""
    every = -(-image_side // COARSE_SIZE)
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
        return np.argwhere(mask == OBJECT)[:, ::-1].astype(np.uint8, order="C")

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        pixels = list(pool.map(take_in, range(V * T)))
    first = np.cumsum([0, *map(len, pixels)])
    nearest_, reliable_, pixels_, first_ = (
        torch.from_numpy(x).to(device) for x in (nearest, reliable, np.concatenate(pixels), first)
    )
    return MaskTables(nearest_, reliable_, pixels_, first_, image_side, image_side / every)


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
    frames = range(0, scene.num_frames, -(-scene.num_frames // CORE_FRAMES))
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = list(pool.map(lambda t: hull_core(scene.cameras, scene.mask[:, t], depth), frames))
    rng = np.random.default_rng(0)
    core = torch.zeros(scene.num_frames, CORE_POINTS, 3)
    has_core = torch.zeros(scene.num_frames, dtype=torch.bool)
    for t, points in zip(frames, found, strict=True):
        if len(points):
            core[t] = torch.from_numpy(points[rng.integers(len(points), size=CORE_POINTS)])
            has_core[t] = True
    return core, has_core
