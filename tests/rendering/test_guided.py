"""What is decoded along rays: enough that the image is that of all samples, and no more than shows."""

import dataclasses

import numpy as np
import pytest
import torch
from kernel_cases import posed_ellipsoids
from tiny_scene import view_matrix

from wim_fast.config import ModelConfig
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.ops.backend import select_backend
from wim_fast.recordings.cameras import Cameras, pixel_rays
from wim_fast.rendering import image as image_module
from wim_fast.rendering.image import SHARPENING, render_image

NUMBA = select_backend("numba")
PARTS = 6


def bumpy_model():
    """Ellipsoids whose surfaces the field moves and colours, smoothly: only its coarsest level is not zero."""
    torch.manual_seed(2)
    config = dataclasses.replace(ModelConfig(), parts=PARTS, hash_log2_entries=12, residual_max=0.05)
    model = ArticulatedModel(config, 2)
    with torch.no_grad():
        model.field.table.uniform_(-1.5, 1.5)
        model.field.table[model.field.layout.offsets[1] :] = 0
    rotation, translation, semi_axes, *_ = posed_ellipsoids(1, PARTS)
    with torch.no_grad():
        model.start_at(rotation[0], translation[0], semi_axes)
    return model, model.posed(rotation, translation)


def camera(size):
    T = np.diag([1.0, -1.0, -1.0, 1.0]) @ view_matrix(np.array([2.2, 1.0, 0.8]), np.zeros(3)).T
    K = np.array([[1.9 * size, 0, size / 2 + 1.3], [0, 1.9 * size, size / 2 - 0.7], [0, 0, 1.0]])
    return Cameras((0,), K[None], T[None], size, size)


class Evaluated:
    """A backend that remembers how many points were looked up."""

    def __init__(self, backend):
        self.points = 0

        def lookup(points, *args):
            self.points += len(points)
            return backend.articulated_lookup(points, *args)

        self.backend = backend._replace(articulated_lookup=lookup)


def all_samples(model, posed, cam, pixels, inv_s, step):
    """Colour and opacity (..., 4) of rays sampled everywhere, by the paper's formula in float64."""
    origins, directions = pixel_rays(cam.intrinsics[0], cam.T_camera_world[0], pixels)
    t = (
        np.arange(round(1.6 / step), round(4.0 / step)) + 0.5
    ) * step  # in the middle of each step, as the renderer
    points = torch.from_numpy(origins[..., None, :] + t[:, None] * directions[..., None, :]).float()
    with torch.no_grad():
        flat = points.reshape(-1, 3)
        values = model.evaluate(flat, torch.zeros(len(flat), dtype=torch.int32), posed, NUMBA)
    sdf, rgb = (x.view(*points.shape[:-1], -1).double().numpy() for x in (values.sdf, values.rgb))
    phi = 1 / (1 + np.exp(-np.clip(inv_s * sdf[..., 0], -500, 500)))
    alpha = np.clip((phi[..., :-1] - phi[..., 1:]) / np.maximum(phi[..., :-1], 1e-200), 0, 1)
    before = np.concatenate([np.ones_like(alpha[..., :1]), np.cumprod(1 - alpha, -1)[..., :-1]], -1)
    weight = (alpha * before)[..., None]
    color = (weight * 0.5 * (rgb[..., 1:, :] + rgb[..., :-1, :])).sum(-2)
    return np.concatenate([color, weight.sum(-2)], -1)


def pixel_centers(cam, n=1):
    """(H, W, n, n, 2): an n x n grid in each pixel."""
    inside = (np.arange(n) + 0.5) / n
    y = np.arange(cam.height)[:, None, None, None] + inside[:, None]
    x = np.arange(cam.width)[:, None, None] + inside
    return np.stack(np.broadcast_arrays(x, y), -1)


def with_opacity(image):
    return np.concatenate([image.rgb, image.opacity[..., None]], -1)


@pytest.mark.parametrize("inv_s", [100.0, 150.0, 300.0])
def test_image_is_that_of_all_samples(inv_s):
    """One ray per pixel. What is left out does not show: three sigmoids are 5 % of opacity, at worst."""
    model, posed = bumpy_model()
    cam = camera(32)
    counting = Evaluated(NUMBA)
    image = with_opacity(render_image(model, posed, cam, 0, inv_s, counting.backend, 1))
    expected = all_samples(model, posed, cam, pixel_centers(cam)[:, :, 0, 0], inv_s, 3.0 / inv_s)
    error = np.abs(image - expected)
    assert (expected[..., 3] > 0.5).mean() > 0.05
    assert error.mean() < 3e-4
    assert error.max() < 0.05
    assert counting.points < 0.1 * 32 * 32 * (4.0 - 1.6) * inv_s / 3.0


def test_guides_take_a_share_of_the_samples(monkeypatch):
    """A picture is the same with a guide for each 4 x 4 pixels as with one for each."""
    model, posed = bumpy_model()
    cam, inv_s = camera(203), 150.0
    images, points = [], []
    for steps in (0.0, 4.0):
        monkeypatch.setattr(image_module, "GUIDED_STEPS", steps)
        counting = Evaluated(NUMBA)
        images.append(with_opacity(render_image(model, posed, cam, 0, inv_s, counting.backend, 1)))
        points.append(counting.points)
    error = np.abs(images[0] - images[1])
    assert (images[0][..., 3] > 0.5).mean() > 0.05
    assert error.mean() < 3e-4
    assert error.max() < 0.05
    assert points[1] < 0.75 * points[0]


@pytest.mark.parametrize("side", [1, 2, 8])
def test_squares(side):
    """Each pixel lies within half a side of its square's middle, and all pixels of a square follow each other."""
    middles, place = image_module._squares(16, 11, 13, side, torch.device("cpu"))
    assert len(place.unique()) == 11 * 13
    y, x = torch.meshgrid(torch.arange(16, 27) + 0.5, torch.arange(13) + 0.5, indexing="ij")
    away = middles[place // side**2] - torch.stack([x, y], -1)
    assert away.abs().max() == (side - 1) / 2
    quarter = place // max(side**2 // 4, 1)
    for number in quarter.unique():
        rows, columns = (quarter == number).nonzero().T
        assert int(rows.max() - rows.min()) < max(side // 2, 1)
        assert int(columns.max() - columns.min()) < max(side // 2, 1)


def test_edge_pixels_are_those_of_all_samples():
    model, posed = bumpy_model()
    cam, inv_s = camera(32), 150.0
    image = with_opacity(render_image(model, posed, cam, 0, inv_s, NUMBA, 4))
    rays = all_samples(model, posed, cam, pixel_centers(cam, 2), SHARPENING * inv_s, 3.0 / inv_s)
    expected = rays.mean((2, 3))
    edge = (expected[..., 3] > 0.25) & (expected[..., 3] < 0.75)
    error = np.abs(image - expected)[edge]
    assert edge.sum() > 30
    assert error.mean() < 1e-3
    assert error.max() < 0.05


@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_other_backends(backend):
    if backend == "triton":
        pytest.importorskip("triton", reason="triton is not installed")
    model, posed = bumpy_model()
    cam = camera(3 if backend == "triton" else 10)
    expected = with_opacity(render_image(model, posed, cam, 0, 100.0, NUMBA))
    chosen = select_backend(backend)
    image = render_image(
        model.to(chosen.device), type(posed)(*(x.to(chosen.device) for x in posed)), cam, 0, 100.0, chosen
    )
    assert np.abs(with_opacity(image) - expected).mean() < 2e-3
