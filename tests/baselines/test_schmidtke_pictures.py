"""The network that paints, and how pictures are compared."""

import numpy as np
import pytest
import torch
from errors import refused
from random_vgg import vgg19, write_weights
from torch import nn

from wim_fast.baselines.schmidtke.perceptual import VggLoss, pyramid_loss, read_vgg
from wim_fast.baselines.schmidtke.translator import Translator


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("vgg") / "vgg19.pth")


def test_vgg_loss_is_that_of_the_layers(weights_file):
    """Against the layers run one after the other."""
    a, b = torch.rand(2, 2, 3, 18, 20, generator=torch.Generator().manual_seed(0))
    expected, mean, deviation = 0.0, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    x, y = ((z - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None] for z in (a, b))
    with torch.no_grad():
        for layer in vgg19():
            x, y = layer(x), layer(y)
            if isinstance(layer, nn.ReLU):
                expected += float((x - y).abs().mean())
    loss = VggLoss(read_vgg(weights_file))
    a.requires_grad_()
    assert loss(a, b).item() == pytest.approx(expected, rel=1e-5)
    loss(a, b).backward()
    assert float(a.grad.abs().sum()) > 0
    assert not list(loss.parameters())
    assert not loss.state_dict()  # nothing of it in a checkpoint


def test_files_that_are_not_vgg19(weights_file, tmp_path):
    how = ("https://download.pytorch.org/models/vgg19", "--perceptual pyramid")
    with refused("--method schmidtke", "its loss needs VGG19's weights", *how):
        read_vgg(None)
    with refused(tmp_path / "none.pth", "there are no weights of VGG19", *how):
        read_vgg(tmp_path / "none.pth")
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"no weights")
    with refused(broken, "cannot be read as weights", *how):
        read_vgg(broken)
    other = torch.load(weights_file, weights_only=True)
    other["features.7.weight"] = other["features.7.weight"][:, :64]
    torch.save(other, broken)
    with refused(broken, "is not VGG19 as torchvision keeps it: no features.7.weight of 128 x 128 x 3 x 3"):
        read_vgg(broken)
    torch.save([1, 2], broken)
    with refused(broken, "no features.0.weight of 64 x 3 x 3 x 3"):
        read_vgg(broken)


def test_pyramid_loss():
    """Against means of blocks, and of pictures too small to halve."""
    a, b = np.random.default_rng(0).random((2, 2, 3, 16, 24))
    expected = 0.0
    for level in range(4):
        side = 2**level
        blocks = (a - b).reshape(2, 3, 16 // side, side, 24 // side, side).mean((3, 5))
        expected += np.abs(blocks).mean()
    assert float(pyramid_loss(torch.from_numpy(a), torch.from_numpy(b))) == pytest.approx(expected)
    one = torch.ones(1, 3, 1, 1)
    assert float(pyramid_loss(one, 0 * one)) == 1
    pictures = torch.from_numpy(a[:1, :, :4, :4]).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: pyramid_loss(x, torch.from_numpy(b[:1, :, :4, :4])), [pictures])


def test_translator_keeps_sizes_and_its_mask_teaches_nothing_else():
    torch.manual_seed(0)
    translator = Translator(4)
    heat = torch.rand(2, 4, 21, 35, requires_grad=True)
    pictures = translator(heat)
    assert pictures.rgb.shape == (2, 3, 21, 35)
    assert pictures.opacity.shape == (2, 21, 35)
    for values in (x.detach() for x in pictures):
        assert float(values.min()) >= 0
        assert float(values.max()) <= 1
    pictures.opacity.sum().backward(retain_graph=True)
    assert heat.grad is None
    assert [name for name, p in translator.named_parameters() if p.grad is not None] == [
        "mask.weight",
        "mask.bias",
    ]
    pictures.rgb.sum().backward()
    assert float(heat.grad.abs().sum()) > 0
