"""From heat maps to pictures: a convolutional encoder and decoder."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

CHANNELS = 32, 64, 128, 256


class Pictures(NamedTuple):
    """B pictures of H x W pixels."""

    rgb: Tensor  # (B, 3, H, W) in [0, 1], on the scene's background
    opacity: Tensor  # (B, H, W) in [0, 1]


class Translator(nn.Module):
    """Heat maps (B, P, H, W) to pictures, H and W at will.

    3 x 3 convolutions with batch normalisation and leaky ReLU: down by strides of 2, up by bilinear interpolation.

    The published method makes colours and no mask. Beside it here a convolution reads the mask from the same features;
    its gradient goes no further, so that colours and poses learn what they would without it.
    """

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.first = _layer(parts, CHANNELS[0])
        self.down = nn.ModuleList(_layer(a, b, stride=2) for a, b in pairwise(CHANNELS))
        self.up = nn.ModuleList(_layer(a, b) for a, b in pairwise(CHANNELS[::-1]))
        self.color = nn.Conv2d(CHANNELS[0], 3, 3, padding=1)
        self.mask = nn.Conv2d(CHANNELS[0], 1, 3, padding=1)

    def forward(self, heat: Tensor) -> Pictures:
        x = self.first(heat)
        sizes = []
        for layer in self.down:
            sizes.append(x.shape[-2:])
            x = layer(x)
        for layer, size in zip(self.up, reversed(sizes), strict=True):
            x = layer(interpolate(x, size=size, mode="bilinear", align_corners=False))
        return Pictures(torch.sigmoid(self.color(x)), torch.sigmoid(self.mask(x.detach())).squeeze(1))


def _layer(channels_in: int, channels_out: int, stride: int = 1) -> nn.Module:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.LeakyReLU(0.2))
