"""What holds the parts together and in the picture: the two losses of Schmidtke et al. beside the pictures'."""

from __future__ import annotations

from torch import Tensor


def anchor_loss(first: Tensor, second: Tensor) -> Tensor:
    """Squared distances of the two places of every anchor, summed over anchors, mean over images.

    `first`, `second`: (B, A, 2) where the two parts of an anchor have it in the image, in image sizes.
    """
    return (first - second).square().sum((1, 2)).mean()


def boundary_loss(places: Tensor) -> Tensor:
    """By how much anchors leave the image: the sum of |2 x - 1| - 1 where that is above 0, mean over images.

    `places`: (B, N, 2) in image sizes. The original sums |2 x - 1| there, without the 1, of which the gradient is the
    same; less 1, it does not jump at the border.
    """
    return ((2 * places - 1).abs() - 1).clamp_min(0).sum((1, 2)).mean()
