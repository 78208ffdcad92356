import dataclasses

import numpy as np
import pytest
import torch
from kernel_cases import random_rotations
from tiny_scene import view_matrix

from wim_fast.config import ModelConfig
from wim_fast.model.articulated_model import ArticulatedModel
from wim_fast.ops.backend import select_backend
from wim_fast.recordings.cameras import Cameras, pixel_rays
from wim_fast.rendering.image import render_image

SEMI_AXES = torch.tensor([[0.35, 0.22, 0.12]])
CENTER = torch.tensor([[0.05, -0.1, 0.08]])
INV_S = 600.0


def ellipsoid_model(semi_axes=SEMI_AXES, **changes):
    """A model without features: the union of its ellipsoids, in grey."""
    torch.manual_seed(0)
    config = dataclasses.replace(
        ModelConfig(), parts=len(semi_axes), top_parts=1, hash_log2_entries=8, **changes
    )
    model = ArticulatedModel(config, 2)
    with torch.no_grad():
        model.start_at(torch.eye(3).expand(len(semi_axes), 3, 3), torch.zeros(len(semi_axes), 3), semi_axes)
        model.field.table.zero_()
    return model


def camera(size=64, height=None, eye=(2.5, 1.0, 0.8)):
    height = height or size
    T = np.diag([1.0, -1.0, -1.0, 1.0]) @ view_matrix(np.array(eye), np.zeros(3)).T
    K = np.array([[1.9 * size, 0, size / 2 + 1.3], [0, 1.9 * size, height / 2 - 0.7], [0, 0, 1.0]])
    return Cameras((0,), K[None], T[None], size, height)


def posed_at(model, R, t=CENTER):
    return model.posed(R.float()[None, None], t[None])


def rotation():
    return random_rotations(generator=torch.Generator().manual_seed(4))


def render(size=64, rays_per_edge_pixel=9, height=None, inv_s=INV_S, backend="numba"):
    model = ellipsoid_model()
    return render_image(
        model,
        posed_at(model, rotation()),
        camera(size, height),
        0,
        inv_s,
        select_backend(backend),
        rays_per_edge_pixel,
    )


def silhouette_area(cam, R, center, axes):
    """Area in pixels of a projected ellipsoid: its dual quadric projects to the dual conic of the outline."""
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, center
    P = cam.intrinsics[0] @ cam.T_camera_world[0, :3]
    conic = np.linalg.inv(P @ T @ np.diag([*axes**2, -1.0]) @ T.T @ P.T)
    return np.pi * abs(np.linalg.det(conic)) / np.linalg.det(conic[:2, :2]) ** 1.5


def exact_hits(cam, pixels):
    """Depth along the rays through pixels (..., 2), inf where they miss; numpy float64."""
    R, center, axes = rotation().numpy(), CENTER[0].double().numpy(), SEMI_AXES[0].double().numpy()
    origins, directions = pixel_rays(cam.intrinsics[0], cam.T_camera_world[0], pixels)
    o, d = (origins - center) @ R / axes, directions @ R / axes
    a, b, c = (d * d).sum(-1), (o * d).sum(-1), (o * o).sum(-1) - 1
    disc = b * b - a * c
    return np.where(disc > 0, (-b - np.sqrt(np.maximum(disc, 0))) / a, np.inf)


def pixel_grid(width, height, n):
    x, y = np.meshgrid((np.arange(n * width) + 0.5) / n, (np.arange(n * height) + 0.5) / n)
    return np.stack([x, y], -1)


@pytest.mark.parametrize("size", [48, 96])
def test_silhouette_area(size):
    expected = silhouette_area(
        camera(size), rotation().numpy(), CENTER[0].double().numpy(), SEMI_AXES[0].double().numpy()
    )
    assert render(size).opacity.sum() == pytest.approx(expected, rel=0.01)


def test_depth():
    """Distance along the ray, to within the sharpness of the surface."""
    image = render()
    expected = exact_hits(camera(), pixel_grid(64, 64, 1))
    inside = image.opacity > 0.999
    assert inside.sum() > 200
    error = np.abs(image.depth - expected)[inside]
    assert np.median(error) < 2e-3
    assert error.mean() < 4e-3
    assert (image.depth[image.opacity < 1e-3] == 0).all()


def test_edges_are_anti_aliased():
    """Opacity is the covered share of each pixel: better with nine rays in edge pixels than with one."""
    n = 12
    hit = np.isfinite(exact_hits(camera(), pixel_grid(64, 64, n)))
    coverage = hit.reshape(64, n, 64, n).mean((1, 3))
    edge = (coverage > 0) & (coverage < 1)
    smooth, jagged = (np.abs(render(rays_per_edge_pixel=k).opacity - coverage) for k in (9, 1))
    assert smooth[edge].mean() < 0.06
    assert smooth[edge].mean() < 0.5 * jagged[edge].mean()
    assert smooth[~edge].mean() < 0.005


def test_colour_is_premultiplied_grey():
    image = render()
    np.testing.assert_allclose(image.rgb, 0.5 * image.opacity[..., None].repeat(3, -1), atol=1e-3)
    white = image.over(1.0)
    np.testing.assert_allclose(white[0, 0], 1.0)
    np.testing.assert_allclose(white[image.opacity > 0.999], 0.5, atol=2e-3)
    rgba = image.rgba()
    assert rgba.dtype == np.uint8
    assert rgba.shape == (64, 64, 4)
    assert (np.abs(rgba[image.opacity > 0.1][:, :3].astype(int) - 128) <= 2).all()


def test_backends_agree():
    fast, slow = render(32), render(32, backend="torch")
    assert np.abs(fast.opacity - slow.opacity).mean() < 1e-3
    assert np.abs(fast.rgb - slow.rgb).mean() < 1e-3


def test_images_need_not_be_square():
    image = render(40, height=64)
    assert image.rgb.shape == (64, 40, 3)
    assert image.opacity.max() > 0.99


def test_nearer_part_hides_the_other():
    """Two spheres behind each other: the part that is seen is the nearer one; the background is no part."""
    model = ellipsoid_model(torch.full((2, 3), 0.15))
    posed = model.posed(torch.eye(3).expand(1, 2, 3, 3), torch.tensor([[[0.6, 0.0, 0.0], [-0.6, 0.0, 0.0]]]))
    for eye, nearer in (((3.0, 0.0, 0.0), 0), ((-3.0, 0.0, 0.0), 1)):
        image = render_image(model, posed, camera(48, eye=eye), 0, INV_S, select_backend("numba"))
        seen = image.part[image.opacity > 0.9]
        assert len(seen) > 20
        assert (seen == nearer).all()
        assert (image.part[image.opacity < 0.4] == -1).all()


def test_nothing_to_see():
    model = ellipsoid_model()
    posed = posed_at(model, torch.eye(3), torch.tensor([[50.0, 0, 0]]))
    image = render_image(model, posed, camera(16, eye=(0.0, 3.0, 0.5)), 0, INV_S, select_backend("numba"))
    assert (image.opacity == 0).all()
    assert (image.part == -1).all()
    assert np.isfinite(image.depth).all()


def test_bands_of_rows_do_not_show(monkeypatch):
    """A picture that is too large to be rendered at once is the same: its bands know the pixels above and below."""
    whole = render(48, height=31)
    monkeypatch.setattr("wim_fast.rendering.image.CHUNK", 48 * 4 + 17)
    for ours, theirs in zip(render(48, height=31), whole, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
