import dataclasses

import numpy as np
import pytest
import torch
from arm_scene import arm_scene, with_images

from wim_fast.config import Config
from wim_fast.ops.backend import select_backend
from wim_fast.ops.image_losses.reference import mask_loss, photo_loss
from wim_fast.ops.silhouette.reference import draw_mask_pixels, judged, nearest_in_mask
from wim_fast.ops.silhouette.reference import project as project_points
from wim_fast.recordings.cameras import project
from wim_fast.recordings.masks import BACKGROUND, OBJECT, UNRELIABLE
from wim_fast.training.batch import TrainingImages

BACKEND = select_backend("numba")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def uniform(*shape):
    return torch.rand(*shape, generator=generator())


@pytest.fixture(scope="module")
def scene():
    return arm_scene(size=40, frames=4, oversampling=1)


@pytest.fixture(scope="module")
def images(scene):
    return TrainingImages(scene, Config())


def changed_mask(scene, change):
    mask = scene.mask[:]
    change(mask)
    return with_images(scene, mask=mask)


def pixels_of(batch, scene):
    """Pixels (B, n, 2) that the rays of a batch pass through, by projecting points on them."""
    points = (batch.rays.origins + 2.5 * batch.rays.directions).double().numpy()
    shots = points.reshape(len(batch.camera), -1, 3)
    return np.stack(
        [project(scene.cameras, p)[0][v] for p, v in zip(shots, batch.camera.tolist(), strict=True)]
    )


def draw(images, rays=200, seed=0):
    camera, frame = torch.tensor([0, 3, 5, 3]), torch.tensor([1, 0, 3, 2])
    return images.draw(camera, frame, rays, generator(seed), BACKEND)


def test_colours_are_those_of_the_pixels(scene, images):
    batch = draw(images)
    pixels = pixels_of(batch, scene)
    assert pixels.min() > -1e-3
    assert pixels.max() < 40 + 1e-3
    for b in range(4):
        x, y = np.floor(pixels[b] + 0).clip(0, 39).astype(int).T
        expected = scene.rgba[batch.camera[b], batch.frame[b]][y, x] / 255.0
        border = (np.abs(pixels[b] - np.round(pixels[b])) < 1e-3).any(1)  # rounding may take the neighbour
        own = slice(b * 200, (b + 1) * 200)
        np.testing.assert_allclose(batch.rgb[own][~border], expected[~border, :3], atol=1e-6)
        np.testing.assert_allclose(batch.alpha[own][~border], expected[~border, 3], atol=1e-6)
        assert (batch.rays.pose_ids[own] == b).all()
    assert (batch.alpha > 0.5).any()
    assert (batch.alpha < 0.5).any()


def test_rays_gather_round_the_object(scene, images):
    """Most of them within the mask's box and a margin, some anywhere."""
    batch = draw(images, rays=2000)
    pixels = pixels_of(batch, scene)
    for b in range(4):
        y, x = np.nonzero(scene.mask[batch.camera[b], batch.frame[b]])
        low, high = np.array([x.min(), y.min()]) - 3, np.array([x.max(), y.max()]) + 4
        inside = ((pixels[b] >= low) & (pixels[b] <= high)).all(1).mean()
        assert 0.85 < inside < 0.999


def test_draws_follow_the_generator(images):
    first, again, other = draw(images, seed=1), draw(images, seed=1), draw(images, seed=2)
    assert torch.equal(first.rays.directions, again.rays.directions)
    assert torch.equal(first.rgb, again.rgb)
    assert not torch.equal(first.rays.directions, other.rays.directions)


def test_pixels_of_blocks_that_touch_the_mask_count_double(scene, images):
    batch = draw(images)
    pixels = pixels_of(batch, scene)
    block = images.block
    for b in range(4):
        mask = scene.mask[batch.camera[b], batch.frame[b]] != 0
        for (x, y), weight in zip(pixels[b], batch.weight[b * 200 : (b + 1) * 200].tolist(), strict=True):
            if min(abs(v - round(v)) for v in (x, y)) < 1e-3:
                continue
            i, j = int(y) // block * block, int(x) // block * block
            assert weight == (2.0 if mask[i : i + block, j : j + block].any() else 1.0)


def test_unreliable_pixels_give_exactly_no_gradient(scene):
    def half(mask):
        mask[..., 20:] = UNRELIABLE

    unsure = changed_mask(scene, half)
    batch = draw(TrainingImages(unsure, Config()))
    pixels = pixels_of(batch, scene).reshape(-1, 2)
    away = np.abs(pixels[:, 0] - 20) > 1e-2
    expected = pixels[:, 0] < 20
    np.testing.assert_array_equal((batch.weight > 0).numpy()[away], expected[away])
    rgb = torch.full((800, 3), 0.3, requires_grad=True)
    opacity = torch.full((800,), 0.3, requires_grad=True)
    total = photo_loss(rgb, batch.rgb, batch.weight) + mask_loss(opacity, batch.alpha, batch.weight)
    total.backward()
    assert (rgb.grad[batch.weight == 0] == 0).all()
    assert (opacity.grad[batch.weight == 0] == 0).all()
    assert (opacity.grad[batch.weight > 0] != 0).all()


def test_silhouettes_never_pull_to_unreliable_pixels(scene):
    """Only mask pixels of the object attract points; a point nearest to an unreliable one is left alone."""

    def lower_half(mask):
        mask[..., 22:, :][mask[..., 22:, :] == OBJECT] = UNRELIABLE

    unsure = changed_mask(scene, lower_half)
    images = TrainingImages(unsure, Config())
    camera, frame = torch.tensor([0, 2]), torch.tensor([1, 3])
    mask_pixels, _ = draw_mask_pixels(images.silhouettes.masks, camera, frame, uniform(2, 300))
    for b in range(2):
        mask = unsure.mask[camera[b], frame[b]]
        x, y = (40 * mask_pixels[b]).long().T.numpy()
        assert (mask[y, x] == OBJECT).all()
        points = torch.rand(1, 500, 2, generator=generator())
        found = nearest_in_mask(images.silhouettes.masks, camera[b : b + 1], frame[b : b + 1], points)[
            0
        ].numpy()
        y, x = np.nonzero(mask)
        own = np.floor(40 * points[0].numpy()) + 0.5  # the centre of each point's pixel
        distance = np.linalg.norm(own[:, None] - np.stack([x, y], -1) - 0.5, axis=-1)
        kinds = [set(mask[y[d < d.min() + 1e-6], x[d < d.min() + 1e-6]]) for d in distance]
        left_alone = (found == points[0].numpy()).all(1)
        assert left_alone.sum() > 100
        assert all(UNRELIABLE in k for k, alone in zip(kinds, left_alone, strict=True) if alone)
        assert all(OBJECT in k for k, alone in zip(kinds, left_alone, strict=True) if not alone)


def test_nearest_mask_pixel_by_brute_force(scene, images):
    camera, frame = torch.tensor([1, 4]), torch.tensor([2, 0])
    grid = torch.stack(torch.meshgrid(torch.arange(40), torch.arange(40), indexing="xy"), -1).view(-1, 2)
    centers = (grid.float() + 0.5) / 40
    for b in range(2):
        y, x = np.nonzero(scene.mask[camera[b], frame[b]])
        mask = torch.from_numpy(np.stack([x + 0.5, y + 0.5], -1) / 40).float()
        found = nearest_in_mask(images.silhouettes.masks, camera[b : b + 1], frame[b : b + 1], centers[None])[
            0
        ]
        distance = (found[:, None] - mask).norm(dim=-1).min(1).values
        assert distance.max() < 1e-6  # each is a mask pixel
        expected = (centers[:, None] - mask).norm(dim=-1).min(1).values
        torch.testing.assert_close((found - centers).norm(dim=-1), expected, atol=1e-6, rtol=0)


def test_kernels_take_the_tables_as_they_are(images):
    """A table that is not contiguous would be copied in every step."""
    masks = images.silhouettes.masks
    assert all(x.is_contiguous() for x in masks if isinstance(x, torch.Tensor))


def test_empty_masks_weigh_nothing(scene):
    def erase(mask):
        mask[1, 2] = 0

    images = TrainingImages(changed_mask(scene, erase), Config())
    camera, frame = torch.tensor([1, 1]), torch.tensor([2, 1])
    mask_pixels, has_mask = draw_mask_pixels(images.silhouettes.masks, camera, frame, uniform(2, 20))
    assert has_mask.tolist() == [0.0, 1.0]
    assert mask_pixels.isfinite().all()
    assert images.draw(torch.tensor([1]), torch.tensor([2]), 50, generator(), BACKEND).rgb.shape == (50, 3)


def test_large_images_are_looked_at_coarsely():
    """Masks of at most 128 pixels a side still agree with the masks."""
    scene = arm_scene(size=300, frames=1, oversampling=1)
    images = TrainingImages(scene, Config())
    masks, zero = images.silhouettes.masks, torch.tensor([0])
    mask_pixels, _ = draw_mask_pixels(masks, zero, zero, uniform(1, 200))
    assert max(masks.nearest.shape[2:4]) <= 128
    x, y = (300 * mask_pixels[0]).long().T.numpy()
    assert (scene.mask[0, 0][y, x] == OBJECT).mean() > 0.97


def test_project_is_that_of_the_scene_cameras(scene, images):
    points = torch.rand(3, 20, 3, generator=generator()) - 0.5
    camera = torch.tensor([4, 0, 2])
    found = project_points(points, images.cameras.projection()[camera], image_side=40)
    for b in range(3):
        expected = project(scene.cameras, points[b].double().numpy())[0][int(camera[b])]
        np.testing.assert_allclose(40 * found[b], expected, atol=1e-3)


def test_core_of_the_hull_is_the_object(scene, images):
    """Points deep in the visual hull project into every mask."""
    points, has_core = images.silhouettes.core_points(torch.arange(4), 50, generator())
    points, has_core = points.view(4, 50, 3), has_core.view(4, 50)[:, 0]
    assert has_core.any()
    for f in has_core.nonzero().squeeze(1).tolist():
        pixels = np.floor(project(scene.cameras, points[f].double().numpy())[0]).astype(int)
        for v in range(len(scene.cameras)):
            assert (scene.mask[v, f][pixels[v, :, 1], pixels[v, :, 0]] != 0).mean() > 0.95


def test_judged_is_what_falls_on_reliable_pixels(scene):
    """By brute force; what lies outside of all pictures nobody judges."""

    def borders(mask):
        mask[:, :, :, :20] = UNRELIABLE
        mask[2] = UNRELIABLE

    unsure = changed_mask(scene, borders)
    images = TrainingImages(unsure, Config())
    points = 3 * torch.rand(1, 400, 3, generator=generator()) - 1.5
    found = judged(images.silhouettes.masks, points, torch.tensor([1]), images.cameras.projection())[0]
    pixels, depth = project(unsure.cameras, points[0].double().numpy())
    x, y = np.floor(pixels).clip(-1, 40).astype(int).transpose(2, 0, 1)
    inside = (depth > 0) & (x >= 0) & (y >= 0) & (x < 40) & (y < 40)
    expected = [
        any(inside[v, n] and mask[y[v, n], x[v, n]] != UNRELIABLE for v, mask in enumerate(unsure.mask[:, 1]))
        for n in range(400)
    ]
    np.testing.assert_array_equal(found.numpy(), expected)
    assert 100 < sum(expected) < 390


def test_unreliable_borders_beyond_a_ring_of_background_pull_in(scene):
    """The object is one piece: beyond the ring is none of it, and parts that stray there are pulled back."""

    def border(mask):
        mask[..., :2] = UNRELIABLE

    silhouettes = TrainingImages(changed_mask(scene, border), Config()).silhouettes
    at_border = torch.tensor([[[0.02, 0.5]]])
    found = nearest_in_mask(silhouettes.masks, torch.tensor([0]), torch.tensor([0]), at_border)
    assert (found[0, 0, 0] > 0.1).all()


def test_a_step_on_unseen_object_stays_finite(scene):
    """Rays that hit nothing: no samples at all, and still finite losses and gradients."""
    from wim_fast.config import Config
    from wim_fast.training.trainer import Trainer

    config = Config()
    small = dataclasses.replace(config.model, parts=3, hash_log2_entries=8)
    render = dataclasses.replace(config.render, images_per_step=2, rays_per_image=16)
    config = dataclasses.replace(config, model=small, render=render)
    trainer = Trainer(scene, config, 10, select_backend("numba"))
    center = torch.tensor([0.0, 0.0, 50.0])
    away = trainer.images.cameras._replace(center=center.expand(6, 3))
    trainer.images.cameras = away
    report = trainer.train_step()
    assert report.num_samples == 0
    assert report.values.isfinite().all()
    for name, parameter in trainer.model.named_parameters():
        assert parameter.isfinite().all(), name


def test_rays_gather_at_the_outline(scene):
    """The last of each image, near its mask's outline; not where object and unreliable pixels meet."""

    def half(mask):
        mask[0, 1, :, 20:] = UNRELIABLE

    unsure, config = changed_mask(scene, half), Config()
    sampling = dataclasses.replace(config.sampling, outline_share=0.5)
    batch = draw(TrainingImages(unsure, dataclasses.replace(config, sampling=sampling)), rays=100)
    assert batch.even == 50
    found = pixels_of(batch, unsure)[:, 50:]
    for b, image in enumerate(zip(batch.camera.tolist(), batch.frame.tolist(), strict=True)):
        mask = np.pad(unsure.mask[image], 1, mode="edge")
        here, right, below = mask[1:-1, 1:-1], mask[1:-1, 2:], mask[2:, 1:-1]
        ends = []  # places where object and background meet
        for there, step in ((right, (1.0, 0.5)), (below, (0.5, 1.0))):
            y, x = np.nonzero(here + there == BACKGROUND + OBJECT)
            ends.append(np.stack([x, y], -1) + step)
        distance = np.abs(found[b][:, None] - np.concatenate(ends)).max(-1).min(1)
        assert 1 < distance.max() < 1.5 + 1e-3


def test_a_single_ray_of_an_image_is_no_outline_ray(scene):
    """The squared error needs a ray."""
    assert (
        TrainingImages(scene, Config())
        .draw(torch.tensor([0]), torch.tensor([1]), 1, generator(), BACKEND)
        .even
        == 1
    )


@pytest.mark.parametrize("level", [0, 1])
def test_rays_are_compared_with_the_pixels_of_a_level(scene, level):
    """Each passes through the middle half of a pixel twice as large, whose mean it is to show."""
    config = Config()
    sampling = dataclasses.replace(config.sampling, outline_share=0.5, ray_spread=0.5, pyramid=True)
    images = TrainingImages(scene, dataclasses.replace(config, sampling=sampling))
    camera, frame = torch.tensor([0, 3, 5, 3]), torch.tensor([1, 0, 3, 2])
    batch = images.draw(camera, frame, 100, generator(), BACKEND, level=torch.tensor(float(level)))
    half = scene.footage.pyramid()[level]
    pixels = pixels_of(batch, scene) / 2**level
    for b, image in enumerate(zip(camera.tolist(), frame.tolist(), strict=True)):
        column, row = np.floor(pixels[b]).astype(int).T
        np.testing.assert_allclose(pixels[b], np.floor(pixels[b]) + 0.5, atol=0.25 + 1e-3)
        own = slice(100 * b, 100 * (b + 1))
        expected = half.rgba[image][row, column] / 255.0
        np.testing.assert_allclose(batch.alpha[own], expected[:, 3], atol=1e-6)
        np.testing.assert_allclose(batch.rgb[own], expected[:, :3], atol=1e-6)
    covered = batch.alpha.view(4, 100)[:, 50:]
    assert ((covered > 0.03) & (covered < 0.97)).any() == bool(level)
