"""What Kundu* asks of a posed body, as pure functions: visible colours that agree, likely poses (supplement A.9)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, normalize

FACING_SHARPNESS = 50.0
DEPTH_SHARPNESS = 10.0  # 1 / world units
BLURS = 1 / 12, 1 / 4  # sides of boxes, as shares of the image's


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals (B, V, 3) of vertices (B, V, 3), outward for faces (F, 3) that are counter-clockwise from outside."""
    a, b, c = (vertices[:, faces[:, k]] for k in range(3))
    face = torch.linalg.cross(b - a, c - a)  # twice the area long
    normals = torch.zeros_like(vertices)
    for k in range(3):
        normals = normals.index_add(1, faces[:, k], face)
    return normalize(normals, dim=-1)


def visibility(facing: Tensor, behind: Tensor) -> Tensor:
    """How much each vertex is seen: sigmoid(50 facing) * 4 sigmoid(10 dz) sigmoid(-10 dz), in [0, 1].

    Args:
        facing: cosine between a vertex's normal and the direction to the camera.
        behind: dz, its depth less the depth that is rendered there, world units.
    """
    depth = DEPTH_SHARPNESS * behind
    return torch.sigmoid(FACING_SHARPNESS * facing) * 4 * torch.sigmoid(depth) * torch.sigmoid(-depth)


def sampled(images: Tensor, pixels: Tensor, nearest: bool = False) -> Tensor:
    """Images (B, C, H, W) at pixels (B, V, 2), pixel centres at + 0.5: (B, V, C); beyond the border as at the border."""
    size = images.new_tensor([images.shape[3], images.shape[2]])
    place = (2 * pixels / size - 1)[:, None]
    mode = "nearest" if nearest else "bilinear"
    found = grid_sample(images, place, mode=mode, padding_mode="border", align_corners=False)
    return found[:, :, 0].transpose(1, 2)


def consensus_loss(colors: Tensor, weights: Tensor) -> Tensor:
    """() mean squared difference of a vertex's colours (B, V, 3) in image i and in image i + 1 (of the last: the first).

    weights: (B, V) how much it is seen in each; a vertex counts by the product.
    """
    both = weights * weights.roll(1, 0)
    difference = (colors - colors.roll(1, 0)).square().mean(-1)
    return (both * difference).sum() / both.sum().clamp_min(1e-6)


def outline_loss(mask: Tensor, alpha: Tensor, reliable: Tensor) -> Tensor:
    """() mean squared difference of masks (B, H, W), as it is and blurred by each of `BLURS`, summed.

    A blurred difference reaches from a mask to a body that does not overlap it; the plain one does not.

    Args:
        reliable: (B, H, W) in [0, 1]; what is not counts as no difference.
    """
    difference = reliable * (mask - alpha)
    total, size = difference.square().mean(), max(mask.shape[1:])
    for share in BLURS:
        side = 2 * round(share * size / 2) + 1
        blurred = difference[:, None]
        for _ in range(3):  # three boxes are nearly a Gaussian
            blurred = avg_pool2d(blurred, side, stride=1, padding=side // 2)
        total = total + blurred.square().mean()
    return total


class PosePrior(NamedTuple):
    """K Gaussians over D numbers, as SMPLify's (Bogo et al. 2016, eq. 4), the sum by its largest term."""

    means: Tensor  # (K, D)
    precisions: Tensor  # (K, D, D) inverse covariances
    offsets: Tensor  # (K,) -log(weight) + 0.5 log det covariance, the least of them 0

    @classmethod
    def of(cls, means: Tensor, covariances: Tensor, weights: Tensor) -> PosePrior:
        """From means (K, D), covariances (K, D, D) and weights (K,), all positive."""
        offsets = 0.5 * torch.linalg.slogdet(covariances)[1] - torch.log(weights)
        return cls(means, torch.linalg.inv(covariances), offsets - offsets.min())

    def __call__(self, pose: Tensor) -> Tensor:
        """() mean over F of min_k 0.5 (x - mean)' precision (x - mean) + offset; pose (F, D)."""
        off = pose[:, None] - self.means
        distance = torch.einsum("fki,kij,fkj->fk", off, self.precisions, off)
        return (0.5 * distance + self.offsets).min(dim=1).values.mean()


def small_angles(pose: Tensor) -> Tensor:
    """() mean over F of the sum of squared angles (radians) of a pose (F, D): the prior where there is none."""
    return pose.square().sum(-1).mean()


def softness_at(progress: float, final: float, start: float = 4.0, end: float = 0.5) -> float:
    """Width of the soft outline: geometrically from `start` times the final one to it, at share `end` of the schedule."""
    return final * start ** (1 - min(progress / end, 1.0))
