"""The first layers of VGG19 with random weights, in a file as torchvision's is."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn


def vgg19(seed: int = 0) -> nn.Sequential:
    """The first layers of VGG19 as torchvision lines them up, small random weights."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    channels_in = 3
    for channels in (64, 64, None, 128, 128, None, 256, 256):
        if channels is None:
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels_in, channels, 3, padding=1), nn.ReLU()]
            channels_in = channels
    return nn.Sequential(*layers)


def write_weights(file: Path) -> Path:
    """Those of `vgg19` under torchvision's names."""
    torch.save({f"features.{name}": value for name, value in vgg19().state_dict().items()}, file)
    return file
