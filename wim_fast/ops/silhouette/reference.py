"""What the masks say to ellipsoids, in plain torch: chamfer losses, and points that no camera judges."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

NOWHERE = 255  # in the place of a nearest pixel: it is unreliable
NEAREST_DEPTH = 1e-3  # world units; points nearer to a camera, or behind it, are seen as if they were there


class MaskTables(NamedTuple):
    """The masks of V cameras and T frames, coarse, as `training.silhouettes` makes them once."""

    nearest: Tensor  # (V, T, h, w, 2) uint8, x and y of the mask pixel nearest to each; or NOWHERE
    reliable: Tensor  # (V, T, h, w) bool, the pixels that say what they see
    pixels: Tensor  # (M, 2) uint8, x and y of the object's pixels, image after image
    first_of_image: Tensor  # (V * T + 1,) int64, where the pixels of each image begin among them
    image_side: float  # longer side of the images as filmed, in their pixels
    side: float  # the same of the coarse masks; a fraction where the images' is not a multiple


class SilhouetteLosses(NamedTuple):
    """Mean squared distances both ways, in units of the longer image side, squared."""

    silhouette: Tensor  # () of points of the parts' surfaces
    part_center: Tensor  # () of the parts' centres


class UnjudgedPoints(NamedTuple):
    """Points of which no mask says anything, and others where there are too few of those."""

    points: Tensor  # (count, 3) world
    pose_ids: Tensor  # (count,) int32
    unjudged: Tensor  # (count,) bool, whether it is such a point


def silhouette_losses(
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    direction: Tensor,
    uniform: Tensor,
    camera: Tensor,
    frame: Tensor,
    projection: Tensor,
    masks: MaskTables,
    dead_zone: float,
) -> SilhouetteLosses:
    """Chamfer between ellipsoids and masks of B images (paper section 3.6, A.6), with gradients to the pose and the shape.

    Args:
        rotation: (B, P, 3, 3) part-to-world, in the pose of each image.
        translation: (B, P, 3) part centres, world.
        semi_axes: (P, 3).
        direction: (P, n, 3) normal random numbers: where on the ellipsoids their points are, the same in all images.
        uniform: (B, m) in [0, 1): which pixels of the mask are looked at.
        camera, frame: (B,) integer, the images.
        projection: (V, 3, 4) world to homogeneous pixels of the images as filmed.
        masks: of all images.
        dead_zone: distances of surface points below it count 0; in units of the longer image side.
    """
    mask_pixels, has_mask = draw_mask_pixels(masks, camera, frame, uniform)
    surface = surface_points(rotation, translation, semi_axes, direction)
    losses = []
    for points, zone in ((surface, dead_zone), (translation, 0.0)):
        pixels = project(points, projection[camera], masks.image_side)
        nearest = nearest_in_mask(masks, camera, frame, pixels)
        losses.append(chamfer(pixels, nearest, mask_pixels, has_mask, zone))
    return SilhouetteLosses(*losses)


def surface_points(rotation: Tensor, translation: Tensor, semi_axes: Tensor, direction: Tensor) -> Tensor:
    """Points (B, P * n, 3), world, of the ellipsoids' surfaces; `direction` (P, n, 3) from their centres, of any length."""
    local = normalize(direction, dim=-1) * semi_axes[:, None]
    world = torch.einsum("bpij,pnj->bpni", rotation, local) + translation[:, :, None]
    return world.flatten(1, 2)


def project(points: Tensor, projection: Tensor, image_side: float) -> Tensor:
    """World points (B, N, 3) to pixels (B, N, 2) by matrices (B, 3, 4), in units of the longer image side."""
    homogeneous = points @ projection[:, :, :3].transpose(1, 2) + projection[:, None, :, 3]
    return homogeneous[..., :2] / homogeneous[..., 2:].clamp_min(NEAREST_DEPTH) / image_side


def draw_mask_pixels(
    masks: MaskTables, camera: Tensor, frame: Tensor, uniform: Tensor
) -> tuple[Tensor, Tensor]:
    """Pixels (B, m, 2) of the masks, in units of the longer image side, by `uniform` (B, m); and (B,) 0 for empty masks."""
    image = camera * masks.nearest.shape[1] + frame
    first = masks.first_of_image[image]
    count = masks.first_of_image[image + 1] - first
    pick = first[:, None] + (uniform * count[:, None]).long()
    pick = pick.clamp_max(max(len(masks.pixels) - 1, 0))
    return (masks.pixels[pick].to(uniform.dtype) + 0.5) / masks.side, (count > 0).to(uniform.dtype)


def nearest_in_mask(masks: MaskTables, camera: Tensor, frame: Tensor, pixels: Tensor) -> Tensor:
    """The mask pixel (B, N, 2) nearest to each of `pixels` (B, N, 2), in units of the longer image side; no gradient.

    Where that is an unreliable one, the pixel itself: nothing is known about its distance to the mask.
    """
    height, width = masks.nearest.shape[2:4]
    pixels = pixels.detach()
    x, y = (pixels * masks.side).long().unbind(-1)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    nearest = masks.nearest[camera[:, None], frame[:, None], y, x]
    return torch.where(nearest == NOWHERE, pixels, (nearest.to(pixels.dtype) + 0.5) / masks.side)


def chamfer(
    pixels: Tensor, nearest: Tensor, mask_pixels: Tensor, mask_weight: Tensor, dead_zone: float
) -> Tensor:
    """2D chamfer between projected points and a mask, both ways, mean squared; distances in units of the image side.

    Args:
        pixels: (B, N, 2) projected points. nearest: (B, N, 2) the mask pixel nearest to each (no gradient).
        mask_pixels: (B, M, 2) some pixels of the mask. mask_weight: (B,) 0 where an image has no mask.
        dead_zone: distances below it count 0.
    """
    to_mask = ((pixels - nearest) ** 2).sum(-1)
    with torch.no_grad():  # exact: the fast way loses half of the digits
        distance = torch.cdist(mask_pixels, pixels, compute_mode="donot_use_mm_for_euclid_dist")
        to_points = distance.argmin(-1)
    chosen = torch.gather(pixels, 1, to_points[..., None].expand(-1, -1, 2))
    to_points_distance = ((chosen - mask_pixels) ** 2).sum(-1)
    total = pixels.new_zeros(())
    for squared in (to_mask, to_points_distance):
        squared = torch.where(squared > dead_zone**2, squared, 0.0)
        total = total + (squared.mean(1) * mask_weight).mean()
    return total


@torch.no_grad()
def unjudged_points(
    rotation: Tensor,
    translation: Tensor,
    semi_axes: Tensor,
    margin: float,
    direction: Tensor,
    uniform: Tensor,
    frame: Tensor,
    projection: Tensor,
    masks: MaskTables,
    count: int,
) -> UnjudgedPoints:
    """`count` of the candidates in ellipsoids grown by `margin`: at random those that no camera judges, then others.

    Args:
        rotation, translation, semi_axes: the parts in B poses, as for `silhouette_losses`.
        margin: world units.
        direction: (B, P, n, 3) normal random numbers: where from its centre each candidate lies.
        uniform: (2, B, P, n) in [0, 1): how far out it lies, so that they fill the volume evenly; who goes first.
        frame: (B,) integer, the frame of each pose.
        projection: (V, 3, 4) of all cameras, world to homogeneous pixels of the images as filmed.
        masks: of all images.
        count: at most the number of candidates.
    """
    frames, parts, each = uniform.shape[1:]
    local = normalize(direction, dim=-1) * (semi_axes[:, None] + margin) * uniform[0, ..., None] ** (1 / 3)
    world = torch.einsum("bpij,bpnj->bpni", rotation, local) + translation[:, :, None]
    unjudged = ~judged(masks, world.view(frames, -1, 3), frame, projection).view(-1)
    pick = (unjudged + uniform[1].view(-1)).topk(count).indices
    return UnjudgedPoints(world.view(-1, 3)[pick], (pick // (parts * each)).int(), unjudged[pick])


def judged(masks: MaskTables, points: Tensor, frame: Tensor, projection: Tensor) -> Tensor:
    """Which points (B, N, 3) of frames (B,) fall on a reliable pixel of any camera (V, 3, 4): (B, N) bool."""
    height, width = masks.reliable.shape[2:]
    P = projection[:, None]
    homogeneous = points @ P[..., :3].mT + P[..., None, :, 3]  # (V, B, N, 3)
    depth = homogeneous[..., 2]
    scale = masks.side / masks.image_side
    x, y = (homogeneous[..., :2] / depth.clamp_min(NEAREST_DEPTH)[..., None] * scale).floor().unbind(-1)
    inside = (depth > 0) & (x >= 0) & (y >= 0) & (x < width) & (y < height)
    x, y = x.clamp(0, width - 1).long(), y.clamp(0, height - 1).long()
    camera = torch.arange(len(P), device=points.device)[:, None, None]
    return (inside & masks.reliable[camera, frame[:, None], y, x]).any(0)
