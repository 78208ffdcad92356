"""Whole images of a posed model, anti-aliased: one ray per pixel, then several where an edge runs through it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wim_fast.model.articulated_model import ArticulatedModel, Posed
from wim_fast.ops.backend import Backend
from wim_fast.ops.pictures.reference import SURFACE_SIGMOIDS
from wim_fast.recordings.cameras import Cameras
from wim_fast.rendering.guided import RayDistances, View, around, follow, guide, see
from wim_fast.rendering.rays import RayCameras

CHUNK = 1 << 16  # rays at a time
GUIDED_STEPS = 4.0  # of marching: no farther may a pixel be from its guide, about
SHARPENING = (
    1.5  # of the surface, where several rays per edge pixel smooth what its softness smoothed in training
)
QUARTERS = ((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5))  # their middles, of a square with a side of 2
EDGE_CONTRAST = 0.2  # pixels whose neighbourhood varies by more, in colour or opacity, get more rays


class Image(NamedTuple):
    """One rendered picture, H x W."""

    rgb: np.ndarray  # (H, W, 3) float32 in [0, 1], premultiplied
    opacity: np.ndarray  # (H, W)
    depth: np.ndarray  # (H, W) mean distance from the camera, world units; 0 where nothing is
    part: np.ndarray  # (H, W) int32 the part that is seen, -1 for none

    def over(self, background: float) -> np.ndarray:
        """(H, W, 3) float32 on a background of this grey in [0, 1]."""
        return self.rgb + (1 - self.opacity[..., None]) * background

    def tinted(self, color: np.ndarray) -> Image:
        """The same in the colours of a camera: each of the object's r, g, b times a matrix (3, 3)."""
        return self._replace(rgb=(self.rgb @ color.T).astype(np.float32))

    def straight(self) -> np.ndarray:
        """(H, W, 4) float32 with straight alpha."""
        color = self.rgb / np.maximum(self.opacity, 1e-3)[..., None]
        return np.concatenate([color, self.opacity[..., None]], axis=-1)

    def rgba(self) -> np.ndarray:
        """(H, W, 4) uint8 with straight alpha."""
        return np.round(255 * self.straight().clip(0, 1)).astype(np.uint8)


@torch.no_grad()
def render_image(
    model: ArticulatedModel,
    posed: Posed,
    cameras: Cameras,
    index: int,
    inv_s: float,
    backend: Backend,
    rays_per_edge_pixel: int = 4,
) -> Image:
    """The picture that camera number `index` takes of the first pose in `posed` (F = 1).

    Samples that would not show are not decoded: a guide ray for a few pixels finds where the surface is, a ray through
    each pixel takes its samples there, and the rays of an edge pixel theirs where that ray found it (see `guided`).

    Args:
        inv_s: sharpness of the surface, as it was trained; for edge pixels with several rays it is raised by `SHARPENING`.
        rays_per_edge_pixel: rays through a pixel with an edge, on a square grid (rounded to a square number); 1 for none.
    """
    device = backend.device
    calibration = RayCameras.from_matrices(
        cameras.intrinsics[index : index + 1], cameras.T_camera_world[index : index + 1]
    ).to(device)
    view = View(model, posed, calibration, inv_s, backend)
    side = max(1, round(rays_per_edge_pixel**0.5))
    shift = (torch.arange(side, device=device) + 0.5) / side - 0.5
    pixel = float(1.0 / cameras.intrinsics[index].diagonal()[:2].min())
    with backend.computing():
        color, part = _look_along(
            view, cameras.height, cameras.width, pixel, torch.cartesian_prod(shift, shift)
        )
    opacity = color[..., 3]
    depth = torch.where(opacity > 1e-3, color[..., 4] / opacity.clamp_min(1e-3), 0.0)
    part = torch.where(opacity > 0.5, part, -1)
    return Image(*(x.cpu().numpy() for x in (color[..., :3], opacity, depth, part)))


def _look_along(view: View, height: int, width: int, pixel: float, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """Colour, opacity and depth (H, W, 5), and part (H, W); edge pixels by rays at `shifts` (k, 2) from their centres.

    Of the samples no more than those of two bands of rows are kept.

    Args:
        pixel: how far apart the rays of neighbouring pixels are, at distance 1 from the camera.
    """
    single = torch.empty(height, width, 5, device=shifts.device)  # by one ray through each pixel
    part = torch.empty(height, width, dtype=torch.int32, device=shifts.device)
    spread = pixel * float(shifts.norm(dim=-1).max())
    colors = []
    for band, centers, place, samples in _bands(view, single, part, pixel, spread):
        color, place = single[band].reshape(-1, 5), place.reshape(-1)
        if len(shifts) > 1:
            color = color.clone()
            edges = _edges(view, single[..., :4], band).nonzero().squeeze(1)
            for edge in edges.split(CHUNK // len(shifts)):
                guides = place.index_select(0, edge)
                pixels = centers.index_select(0, guides)
                seen = see(view, samples, guides, pixels, shifts, spread, SHARPENING * view.inv_s)
                color.index_copy_(0, edge, seen.color.view(-1, len(shifts), 5).mean(1))
        colors.append(color.view(-1, width, 5))
    return torch.cat(colors), part


def _bands(
    view: View, color: Tensor, part: Tensor, pixel: float, spread: float
) -> Iterator[tuple[slice, Tensor, Tensor, RayDistances]]:
    """Fills `color` (H, W, 5) and `part` (H, W) by one ray through each pixel, some rows after the others.

    Yields, as soon as the rows below are filled too, these rows, the centres (N, 2) of their pixels and some more, in
    which order the rows' pixels lie among these (rows, W), and the samples of all these rays.

    Args:
        pixel: see `_look_along`.
        spread: distance, at distance 1, to the rays that will look where these have found the surface.
    """
    height, width, _ = color.shape
    levels = int(math.log2(max(GUIDED_STEPS * view.step / (pixel * view.reach), 1.0)))
    # rays of edge pixels see less far, for their surface is sharper
    less = (SURFACE_SIGMOIDS - SURFACE_SIGMOIDS / SHARPENING) / (view.inv_s * view.reach)
    spreads = [pixel * (2**n - 1) / math.sqrt(2) + max(0.0, spread - less) for n in range(levels + 1)]
    quarters = color.new_tensor(QUARTERS)
    rows, above = 2**levels * max(1, CHUNK // (width * 2**levels)), None
    for first in range(0, height, rows):
        band = slice(first, min(first + rows, height))
        centers, place = _squares(first, band.stop - first, width, 2**levels, color.device)
        found = guide(view, centers, spreads[levels])
        for level in range(levels - 1, 0, -1):
            shifts = 2**level * quarters
            found = follow(view, found, centers, shifts, spreads[level + 1])
            centers = around(centers, shifts)
        shifts, spread_to_pixels = (quarters, spreads[1]) if levels else (0 * quarters[:1], spreads[0])
        seen = see(view, found, None, centers, shifts, spread_to_pixels, view.inv_s)
        centers, pixels = around(centers, shifts), place.reshape(-1)
        color[band] = seen.color.index_select(0, pixels).view(-1, width, 5)
        part[band] = seen.part.index_select(0, pixels).view(-1, width)
        if above is not None:
            yield above
        above = band, centers, place, seen.samples
    if above is not None:
        yield above


def _squares(first: int, rows: int, width: int, side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows of pixels from `first` on, in squares whose side is a power of 2: their middles (G, 2), in pixels.

    And the place of each pixel (rows, W) where squares are divided into quarters, and these again, down to pixels.
    """
    down, across = -(-rows // side), -(-width // side)
    y, x = (side * torch.arange(count, device=device) for count in (down, across))
    middles = torch.cartesian_prod(first + y, x).flip(1) + 0.5 * side
    place = torch.arange(down * across, device=device).view(down, across)
    while len(place) < down * side:
        quarter = torch.tensor([[0, 1], [2, 3]], device=device).tile(place.shape)
        place = 4 * place.repeat_interleave(2, 0).repeat_interleave(2, 1) + quarter
    return middles, place[:rows, :width]


def _edges(view: View, color: Tensor, band: slice) -> Tensor:
    """(N,) bool of the pixels in these rows: whether colour or opacity (H, W, C) varies in the 3 x 3 neighbourhood."""
    top = max(band.start - 1, 0)
    edges = view.backend.edge_pixels(color[top : band.stop + 1], EDGE_CONTRAST)
    return edges[band.start - top : band.stop - top].reshape(-1)
