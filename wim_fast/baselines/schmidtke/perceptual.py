"""How alike two pictures look: by the features of VGG19, or, where its weights are not at hand, by a pyramid of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, l1_loss, max_pool2d

from wim_fast.errors import UserError

# VGG19 as far as relu3_2: channels out of each 3 x 3 convolution, and the places in torchvision's `features`
CONVOLUTIONS = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256}
POOL_BEFORE = 5, 10
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pictures that VGG19 was trained on
PYRAMID_LEVELS = 4

WEIGHTS_URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"


class VggLoss(nn.Module):
    """Mean absolute difference of the features after each ReLU up to relu3_2, summed over these six.

    The weights belong to no checkpoint: they are read anew from their file.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        """`weights`: as `read_vgg` returns them."""
        super().__init__()
        for name, value in weights.items():
            self.register_buffer(_buffer(name), value, persistent=False)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Of pictures (B, 3, H, W) in [0, 1]: relu1_1, relu1_2, relu2_1, relu2_2, relu3_1, relu3_2."""
        mean, deviation = pictures.new_tensor([MEAN, DEVIATION])[..., None, None]
        x, found = (pictures - mean) / deviation, []
        for place in CONVOLUTIONS:
            if place in POOL_BEFORE:
                x = max_pool2d(x, 2)
            weight, bias = (getattr(self, _buffer(name)) for name in _names(place))
            x = conv2d(x, weight, bias, padding=1).relu()
            found.append(x)
        return found

    def forward(self, pictures: Tensor, truth: Tensor) -> Tensor:
        """Of two sets of pictures (B, 3, H, W) in [0, 1]; `truth` gets no gradient."""
        with torch.no_grad():
            wanted = self.features(truth)
        pairs = zip(self.features(pictures), wanted, strict=True)
        return torch.stack([l1_loss(a, b) for a, b in pairs]).sum()


def pyramid_loss(pictures: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of pictures (B, 3, H, W) and of their halves, quarters and eighths, summed."""
    terms = [l1_loss(pictures, truth)]
    for _ in range(PYRAMID_LEVELS - 1):
        if min(pictures.shape[-2:]) < 2:
            break
        pictures, truth = avg_pool2d(pictures, 2), avg_pool2d(truth, 2)
        terms.append(l1_loss(pictures, truth))
    return torch.stack(terms).sum()


def read_vgg(path: str | Path | None) -> dict[str, Tensor]:
    """The convolutions of VGG19 up to relu3_2, from torchvision's file. UserError if it is not there, or is not that."""
    remedy = (
        f"download {WEIGHTS_URL} (575 MB) and name it by --vgg-weights, or take another loss: "
        "--perceptual pyramid or none, which are not the published method"
    )
    if path is None:
        raise UserError(
            "--method schmidtke", "its loss needs VGG19's weights, which are no part of wim-fast", remedy
        )
    path = Path(path)
    if not path.is_file():
        raise UserError(path, "there are no weights of VGG19", remedy)
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises whatever its parsers meet
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(path, f"cannot be read as weights ({reason})", remedy) from None
    weights: dict[str, Tensor] = {}
    channels_in = 3
    for place, channels in CONVOLUTIONS.items():
        shapes = (channels, channels_in, 3, 3), (channels,)
        for name, shape in zip(_names(place), shapes, strict=True):
            value = content.get(name) if isinstance(content, dict) else None
            if not isinstance(value, Tensor) or tuple(value.shape) != shape:
                wanted = " x ".join(map(str, shape))
                raise UserError(path, f"is not VGG19 as torchvision keeps it: no {name} of {wanted}", remedy)
            weights[name] = value.float().clone()
        channels_in = channels
    return weights


def _names(place: int) -> tuple[str, str]:
    return f"features.{place}.weight", f"features.{place}.bias"


def _buffer(name: str) -> str:
    return name.replace(".", "_")
