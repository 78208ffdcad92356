"""Corrections of cameras: what they do to rays and pixels, and what is taken out of them."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_scene import ring, view_matrix

from wim_fast.model.camera_corrections import GAUGE, USUAL, USUAL_COLOR, CameraCorrections
from wim_fast.ops.cameras.reference import NUMBERS, rotation_about
from wim_fast.recordings.cameras import Cameras, pixel_rays, project
from wim_fast.rendering.rays import RayCameras

CENTER = np.array([0.1, -0.2, 0.05])
RADIUS = 12.0  # of the object, pixels


def cameras(count=5, size=48):
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    T = np.stack([flip @ view_matrix(eye, CENTER).T for eye in ring(count, distance=3.0, elevation=25.0)])
    K = np.array([[90.0, 0, size / 2], [0, 90.0, size / 2], [0, 0, 1]])
    return Cameras(tuple(range(10, 10 + count)), np.tile(K, (count, 1, 1)), T, size, size)


def corrections(of):
    return CameraCorrections.of(of, CENTER, np.full(len(of), RADIUS), np.zeros(len(of)))


def changed(learned, numbers):
    """The same with these corrections, in pixels at the object, nothing taken out."""
    learned.free()
    with torch.no_grad():
        learned.calibration.copy_(torch.as_tensor(numbers) / torch.tensor(USUAL))
    return learned


def points(count=40):
    return CENTER + np.random.default_rng(0).uniform(-0.4, 0.4, (count, 3))


def moved_pixels(of, learned):
    """(V,) rms by which the object is seen elsewhere."""
    there = project(learned.found(of.ids).corrected(of), points())[0]
    return np.sqrt(((there - project(of, points())[0]) ** 2).sum(-1).mean(-1))


def test_nothing_learned_changes_nothing():
    given = cameras()
    found = corrections(given).found(given.ids)
    corrected = found.corrected(given)
    np.testing.assert_allclose(corrected.intrinsics, given.intrinsics)
    np.testing.assert_allclose(corrected.T_camera_world, given.T_camera_world, atol=1e-6)
    assert [found.lateness(camera) for camera in given.ids] == [0.0] * 5


def test_rays_and_pixels_are_those_of_the_corrected_cameras():
    given = cameras()
    learned = changed(corrections(given), np.random.default_rng(1).normal(0, 3, (5, NUMBERS)))
    corrected = learned.found(given.ids).corrected(given)
    assert moved_pixels(given, learned).min() > 0.5
    rays = RayCameras.from_matrices(given.intrinsics, given.T_camera_world).corrected(learned().numbers)
    pixels = torch.rand(5, 7, 2) * 48
    origins, directions = rays.rays(torch.arange(5), pixels)
    for v in range(5):
        o, d = pixel_rays(corrected.intrinsics[v], corrected.T_camera_world[v], pixels[v].double().numpy())
        np.testing.assert_allclose(origins[v].detach(), o, atol=1e-5)
        np.testing.assert_allclose(directions[v].detach(), d, atol=1e-5)
    homogeneous = torch.from_numpy(points()).float() @ rays.projection()[..., :3].transpose(1, 2)
    homogeneous = (homogeneous + rays.projection()[:, None, :, 3]).detach().numpy()
    np.testing.assert_allclose(
        homogeneous[..., :2] / homogeneous[..., 2:], project(corrected, points())[0], atol=1e-3
    )


@pytest.mark.parametrize("number", range(NUMBERS))
def test_a_unit_is_about_a_pixel_at_the_object(number):
    given = cameras()
    numbers = np.zeros((5, NUMBERS))
    numbers[:, number] = 1.0
    assert np.all(np.abs(moved_pixels(given, changed(corrections(given), numbers)) - 1) < 0.65)


def test_images_of_another_size_are_corrected_alike():
    given = cameras()
    found = changed(corrections(given), np.random.default_rng(1).normal(0, 1, (5, NUMBERS))).found(given.ids)
    large = found.corrected(given.resized(96, 96))
    np.testing.assert_allclose(project(large, points())[0], 2 * project(found.corrected(given), points())[0])


def test_only_cameras_that_were_trained_on_are_corrected():
    given = cameras()
    some = given.select([3, 1])
    found = changed(corrections(some), np.random.default_rng(1).normal(0, 1, (2, NUMBERS))).found(some.ids)
    changes = np.abs(found.corrected(given).T_camera_world - given.T_camera_world).max((1, 2))
    assert (changes > 1e-4).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("direction", range(GAUGE))
def test_what_film_does_not_tell_is_taken_out(direction):
    given = cameras()
    learned = corrections(given)
    with torch.no_grad():
        learned.calibration.copy_(learned.gauge[:, direction].view(5, NUMBERS) / torch.tensor(USUAL))
    assert learned.calibration.abs().max() > 0.1
    assert learned.pixels().abs().max() < 1e-4


@pytest.mark.parametrize("direction", range(7))
def test_seven_directions_change_no_picture(direction):
    """World and cameras turned, moved or scaled together."""
    given = cameras()
    numbers = 0.02 * corrections(given).gauge[:, direction].view(5, NUMBERS)
    corrected = changed(corrections(given), numbers).found(given.ids).corrected(given)
    change = np.zeros(7)
    change[direction] = 0.02
    turned = (points() - CENTER) @ rotation_about(torch.from_numpy(change[:3])).numpy().T
    there = CENTER + (1 + change[6]) * turned + change[3:6]
    before, after = project(given, points())[0], project(corrected, there)[0]
    elsewhere = np.abs(project(given, there)[0] - before).max()
    assert np.abs(after - before).max() < 0.06 * elsewhere  # to first order


def test_one_wrong_camera_does_not_drag_the_others():
    given = cameras()
    learned = corrections(given)
    with torch.no_grad():
        learned.calibration[2, 0] = 8.0
        learned.lateness[2] = 3.0
    for _ in range(30):
        learned.settle_gauge()
    off = learned.pixels().norm(dim=1)
    others = torch.tensor([0, 1, 3, 4])
    assert off[2] > 6
    assert off[others].max() < 1
    late = learned().lateness
    assert late[2] > 2.8
    assert late[others].abs().max() < 0.2


def test_a_darker_camera_does_not_brighten_the_others():
    learned = CameraCorrections(5)
    with torch.no_grad():
        learned.color[2] = -0.3 * torch.eye(3)
    for _ in range(30):
        learned.settle_gauge()
    found = learned.found((0, 1, 2, 3, 4))
    assert found.color(2)[0, 0] < 0.75
    assert abs(found.color(0)[0, 0] - 1) < 0.05
    assert (found.color(7) == np.eye(3)).all()


def test_a_step_takes_what_the_formulas_say():
    """Numbers in their units, lateness and colours less their means, and the prior: from the parameters one by one."""
    learned, generator = corrections(cameras()), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in learned.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    learned.settle_gauge()
    late, color = (
        x - torch.tensordot(w.float(), x, 1)
        for x, w in ((learned.lateness, learned.time_weights), (learned.color, learned.color_weights))
    )
    usual = learned.pixels() / torch.tensor(USUAL)
    prior = usual.square().mean() + late.square().mean() + (color / USUAL_COLOR).square().mean()
    found = learned()
    torch.testing.assert_close(found.numbers, (learned.pixels() * learned.units).float())
    torch.testing.assert_close(found.prior, prior.float())
    camera = torch.tensor([3, 0, 3])
    late_, color_ = found.seen_by(camera)
    torch.testing.assert_close(late_, late[camera])
    torch.testing.assert_close(color_, (torch.eye(3) + color)[camera])


def test_state_comes_back():
    given = cameras()
    learned = changed(corrections(given), np.random.default_rng(1).normal(0, 1, (5, NUMBERS)))
    again = CameraCorrections.restored(learned.state_dict())
    assert torch.equal(again.pixels(), learned.pixels())
    assert CameraCorrections.restored(None) is None


def test_a_corrected_camera_keeps_its_other_facts():
    given = dataclasses.replace(cameras(), up=(0.0, 0.0, 1.0))
    corrected = corrections(given).found(given.ids).corrected(given)
    assert (corrected.ids, corrected.up, corrected.width) == (given.ids, given.up, given.width)
