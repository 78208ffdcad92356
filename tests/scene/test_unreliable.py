"""Supplement B: what an unreliable pixel shows changes no term of the loss, and no gradient."""

import dataclasses

import numpy as np
import pytest
import torch
from arm_scene import with_images
from tiny_scene import ring, write_scene

from wim_fast import config as config_module
from wim_fast.config import Config
from wim_fast.ops.backend import select_backend
from wim_fast.ops.image_losses.reference import mask_loss, photo_loss
from wim_fast.ops.silhouette.reference import NOWHERE, draw_mask_pixels, nearest_in_mask
from wim_fast.processes import ALONE
from wim_fast.recordings.cameras import project
from wim_fast.recordings.masks import OBJECT, UNRELIABLE
from wim_fast.scene.load import load_scene
from wim_fast.scene.visual_hull import possible_pixels
from wim_fast.training import schedule
from wim_fast.training.batch import TrainingImages
from wim_fast.training.silhouettes import Silhouettes
from wim_fast.training.step import training_losses
from wim_fast.training.trainer import Trainer


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Half of the object is unreliable in one camera, a strip of another, one image is missing."""
    path = tmp_path_factory.mktemp("scene")
    write_scene(path, frames=4, eyes=ring(5), width=48, solid="ellipsoid")
    scene = load_scene(path, coordinate_scale=1.0)
    mask = scene.mask[:]
    mask[1, :, :, 24:] = UNRELIABLE
    mask[3, :, 20:23] = UNRELIABLE
    mask[2, 1] = UNRELIABLE
    return with_images(scene, mask=mask)


def repainted(scene, seed):
    """The same scene with other colours and coverage at unreliable pixels."""
    rgba = scene.rgba[:]
    unsure = scene.mask[:] == UNRELIABLE
    rgba[unsure] = np.random.default_rng(seed).integers(0, 256, (unsure.sum(), 4), dtype=np.uint8)
    return with_images(scene, rgba=rgba)


def terms_and_gradients(scene):
    """{term: its value and its gradients} of one step, all frames in, with all terms."""
    config = config_module.load_config(None, {"parts": 4, "iterations": 50, "pose_width": 16})
    trainer = Trainer(scene, config, 50, select_backend("torch"))
    now = schedule.values_at(40, 0.8, 4, trainer.sharpness, config)
    values = schedule.ScheduleValues.of(torch.tensor(now, device=trainer.images.device))
    values = values._replace(weights=torch.ones_like(values.weights))
    generator = torch.Generator(trainer.images.device).manual_seed(1)
    result = training_losses(
        trainer.model,
        trainer.corrections,
        trainer.images,
        config,
        values,
        schedule.Phase(growing=True, merging=True),
        trainer.backend,
        generator,
        ALONE,
        trainer.room,
    )
    parameters = trainer.parameters()
    found = {}
    for name, term in zip(result.names, result.terms, strict=True):
        gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
        found[name] = [term.detach(), *(g for g in gradients if g is not None)]
    return found


def test_no_term_sees_them(scene):
    first, second = (terms_and_gradients(repainted(scene, seed)) for seed in (1, 2))
    expected = {
        "photo",
        "mask",
        "eikonal",
        "hull",
        "silhouette",
        "part_center",
        "joint",
        "separation",
        "merge",
    }
    assert first.keys() >= expected
    for name, values in first.items():
        assert any(v.any() for v in values[1:]) or name in ("hull", "separation", "cameras", "void"), name
        for a, b in zip(values, second[name], strict=True):
            assert (a - b).abs().max() <= 1e-5 * a.abs().max(), name  # sums may round differently
    reliable = with_images(scene, rgba=255 - scene.rgba[:])  # what can be seen does matter
    changed = terms_and_gradients(reliable)
    assert not torch.equal(changed["photo"][0], first["photo"][0])


def test_colour_and_mask_have_no_gradient_there(scene):
    images = TrainingImages(scene, Config())
    generator = torch.Generator().manual_seed(0)
    camera = torch.arange(5).repeat(4)
    frame = torch.arange(4).repeat_interleave(5)
    batch = images.draw(camera, frame, 400, generator, select_backend("numba"))
    rgb = torch.rand(len(batch.alpha), 3, generator=generator, requires_grad=True)
    opacity = torch.rand(len(batch.alpha), generator=generator, requires_grad=True)
    loss = photo_loss(rgb, batch.rgb, batch.weight) + mask_loss(opacity, batch.alpha, batch.weight)
    loss.backward()
    pixels = pixels_of(scene, batch, camera)
    unsure = (
        torch.from_numpy(scene.mask[:])[
            camera.repeat_interleave(400), frame.repeat_interleave(400), pixels[:, 1], pixels[:, 0]
        ]
        == UNRELIABLE
    )
    assert 100 < unsure.sum() < len(unsure) - 100
    assert (rgb.grad[unsure] == 0).all()
    assert (opacity.grad[unsure] == 0).all()
    assert (rgb.grad[~unsure] != 0).any(1).all()
    assert (opacity.grad[~unsure] != 0).all()


def pixels_of(scene, batch, camera):
    """The pixels (N, 2) that a batch's rays go through, by projecting a point on each."""
    points = (batch.rays.origins + 3 * batch.rays.directions).double().numpy().reshape(len(camera), -1, 3)
    found = [
        project(scene.cameras.select([c]), p)[0][0] for c, p in zip(camera.tolist(), points, strict=True)
    ]
    return torch.from_numpy(np.concatenate(found)).long().clamp(0, 47)


def test_silhouettes_have_no_gradient_there(scene):
    """Points on or nearest to unreliable pixels are not pulled by the mask."""
    masks = Silhouettes(scene, 0.03).masks
    generator = torch.Generator().manual_seed(0)
    camera, frame = torch.tensor([1, 2, 3]), torch.tensor([0, 1, 2])
    y, x = np.mgrid[:48, :48]
    every = torch.from_numpy(np.stack([x, y], -1).reshape(1, -1, 2) + 0.5).float() / 48
    pixels = every.repeat(3, 1, 1).requires_grad_()
    nearest = nearest_in_mask(masks, camera, frame, pixels)
    mask_pixels, has_mask = draw_mask_pixels(masks, camera, frame, torch.rand(3, 32, generator=generator))
    gradient = torch.autograd.grad(((pixels - nearest) ** 2).sum(), pixels)[0].view(3, 48, 48, 2)
    mask = torch.from_numpy(scene.mask[:])[camera, frame]
    kept_apart = torch.tensor(np.stack([(m == OBJECT).any() & ~possible_pixels(m) for m in mask.numpy()]))
    assert (gradient[(mask == UNRELIABLE) & ~kept_apart] == 0).all()
    assert (gradient[mask == 0] != 0).any()
    for i, m in enumerate(mask_pixels):
        column, row = (48 * m).long().T
        assert has_mask[i] == 0 or (mask[i, row, column] == OBJECT).all()
    assert has_mask[1] == 0  # the image that is missing


def test_the_hull_is_known_only_where_all_is_reliable(scene):
    images = Silhouettes(scene, 0.03)
    assert images.has_core.any()
    for f in range(4):
        if images.has_core[f]:
            pixels, _ = project(scene.cameras, images.core[f].double().numpy())
            for v in range(5):
                x, y = pixels[v].astype(int).T
                if (scene.mask[v, f] != UNRELIABLE).any():
                    assert (scene.mask[v, f, y, x] == OBJECT).all()


def test_coarse_masks_of_large_images_are_unreliable_where_any_part_is(scene):
    large = dataclasses.replace(scene, cameras=scene.cameras.resized(288, 288))
    rgba, mask = (layer[:].repeat(6, 2).repeat(6, 3) for layer in (scene.rgba, scene.mask))
    y, x = (int(v.mean()) for v in np.nonzero(mask[0, 0] == OBJECT))
    y, x = y // 3 * 3, x // 3 * 3  # the corner of a coarse pixel, not its middle
    mask[0, 0, y, x] = UNRELIABLE
    masks = Silhouettes(with_images(large, rgba, mask), 0.03).masks
    point = torch.tensor([[[(x + 0.5) / 288, (y + 0.5) / 288]]])
    assert masks.side == 96
    assert (masks.nearest[0, 0, y // 3, x // 3] == NOWHERE).all()
    found = nearest_in_mask(masks, torch.tensor([0]), torch.tensor([0]), point)
    assert torch.equal(found, point)
