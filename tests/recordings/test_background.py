"""Background subtraction on synthetic pictures: a moving disc with a shadow over a noisy, patterned wall."""

from __future__ import annotations

import numpy as np
import pytest
from filmed_scene import Film, write_video
from paper_recordings import turned, write_opencv
from tiny_scene import ring

from wim_fast.cli import main
from wim_fast.recordings.background import Background, Found, samples_of
from wim_fast.scene.load import load_scene

pytestmark = pytest.mark.usefixtures("blank_overview")

H, W = 90, 120


def wall(rng):
    y, x = np.mgrid[:H, :W]
    pattern = 110 + 30 * np.sin(x / 9) + 25 * np.cos(y / 7)
    return pattern[..., None] * [1.0, 0.95, 0.8] + 6 * rng.normal(size=(H, W, 1))


def disc(center, radius):
    y, x = np.mgrid[:H, :W]
    return np.hypot(x - center[0], y - center[1]) < radius


def picture(rng, background, center, *, color=(60, 90, 170), shadow=0.75, noise=5.0):
    """The disc, and its shadow to the lower right of it."""
    image = background.copy()
    image[disc((center[0] + 10, center[1] + 8), 13)] *= shadow
    mask = disc(center, 14)
    image[mask] = color
    return np.clip(image + noise * rng.normal(size=image.shape), 0, 255).astype(np.uint8), mask


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


def sweep(rng, count=21, **options):
    background = wall(rng)
    centers = [(20 + 80 * k / (count - 1), 40 + 12 * np.sin(k)) for k in range(count)]
    images, masks = zip(*(picture(rng, background, c, **options) for c in centers), strict=True)
    return background, np.stack(images), np.stack(masks)


@pytest.mark.parametrize("noise", [0.0, 4.0, 8.0])
def test_a_moving_object_is_found_and_its_shadow_is_not(noise):
    _, images, masks = sweep(np.random.default_rng(1), noise=noise)
    background = Background.of(images)
    found = [background.foreground(image) for image in images]
    assert min(overlap(f, m) for f, m in zip(found, masks, strict=True)) > 0.93


@pytest.mark.parametrize("color", [(250, 250, 250), (8, 8, 8), (200, 60, 50)])
def test_light_and_dark_objects(color):
    _, images, masks = sweep(np.random.default_rng(2), color=color)
    background = Background.of(images)
    assert np.mean([overlap(background.foreground(i), m) for i, m in zip(images, masks, strict=True)]) > 0.93


def test_nothing_is_found_where_nothing_is():
    rng = np.random.default_rng(3)
    plain = wall(rng)
    images = np.stack([np.clip(plain + 6 * rng.normal(size=plain.shape), 0, 255) for _ in range(15)])
    background = Background.of(images.astype(np.uint8))
    assert max(background.foreground(i.astype(np.uint8)).mean() for i in images) < 0.002


def found_in(images, background, **options):
    found = Found(**options)
    for image in images:
        found.add(background, image, background.foreground(image))
    return found


def test_good_masks_are_not_doubted():
    _, images, _ = sweep(np.random.default_rng(4))
    found = found_in(images, Background.of(images))
    assert found.warnings() == []
    assert abs(found.share - np.pi * 14**2 / (H * W)) < 0.01


def test_an_object_that_stays_is_doubted():
    """It stays for two thirds of the recording, then leaves: its ghost is found where it was."""
    rng = np.random.default_rng(5)
    background = wall(rng)
    centers = [(40, 45)] * 14 + [(40 + 9 * k, 45) for k in range(1, 8)]
    images = np.stack([picture(rng, background, c, shadow=1.0)[0] for c in centers])
    assert found_in(images, Background.of(images)).warnings()


def test_an_object_that_wobbles_is_doubted():
    rng = np.random.default_rng(6)
    background = wall(rng)
    images = np.stack([picture(rng, background, (60 + 6 * (-1) ** k, 45), shadow=1.0)[0] for k in range(20)])
    assert found_in(images, Background.of(images)).warnings()


def test_the_empty_set_shows_what_stays():
    rng = np.random.default_rng(7)
    background = wall(rng)
    images, masks = zip(*(picture(rng, background, (60, 45)) for _ in range(9)), strict=True)
    empty = np.clip(background + 5 * rng.normal(size=background.shape), 0, 255).astype(np.uint8)
    model = Background.of(np.stack(images), empty[None])
    assert overlap(model.foreground(images[0]), masks[0]) > 0.93


def test_samples_are_spread_and_bounded():
    assert samples_of(list(range(5)), (H, W)) == [0, 1, 2, 3, 4]
    chosen = samples_of(list(range(1000)), (H, W))
    assert chosen[0] == 0
    assert chosen[-1] == 999
    assert len(chosen) == 41
    assert len(samples_of(list(range(1000)), (4320, 7680))) == 9


def test_a_recording_without_masks(tmp_path, capsys):
    """Imported through the command line: it says what it does and how much it found; IoU of its masks over 0.85."""
    film = Film(eyes=ring(4), frames=12, width=96, height=80, lens=(0.0,) * 5)
    film.centers = np.array([[1.4 * np.cos(a), 1.4 * np.sin(a), 0.1] for a in np.linspace(0, 5.5, 12)])
    film.K[:2, :2] *= 0.6
    film.color = lambda frame: np.array([60, 120, 240], np.uint8)
    rng = np.random.default_rng(8)
    for v in range(4):
        noisy = [np.clip(film.image(v, t) + 3 * rng.normal(size=(80, 96, 3)), 0, 255) for t in range(12)]
        write_video(tmp_path / "film" / f"cam{v}.mp4", [image.astype(np.uint8) for image in noisy])
    write_opencv(
        tmp_path / "c", turned(film, np.eye(3), 1.0, np.zeros(3)), [f"cam{v}" for v in range(4)], vectors=True
    )
    arguments = ["--cameras", str(tmp_path / "c"), "--masks", "background", "--no-crop"]
    assert main(["import", str(tmp_path / "film"), *arguments, "--output", str(tmp_path / "scene")]) == 0
    output = capsys.readouterr().out
    assert "background subtraction is a fallback" in output
    assert "what never moves is lost" in output
    scene = load_scene(tmp_path / "scene", coordinate_scale=1.0)
    scores = [overlap(scene.mask[v, t] == 1, film.mask(v, t)) for v in range(4) for t in range(12)]
    assert np.mean(scores) > 0.85


@pytest.mark.parametrize("shade", [1.0, 0.75, 0.5])
def test_through_a_ring_the_wall_is_seen(shade):
    """Also in the ring's own shadow."""
    rng = np.random.default_rng(9)
    background, images, _ = sweep(rng)
    image = background.copy()
    inside, ring_mask = disc((60, 45), 20), disc((60, 45), 30) & ~disc((60, 45), 20)
    image[ring_mask] = (60, 90, 170)
    image[inside] *= shade
    noisy = np.clip(image + 5 * rng.normal(size=image.shape), 0, 255).astype(np.uint8)
    assert overlap(Background.of(images).foreground(noisy), ring_mask) > 0.95


BEIGE, SKIN = np.array([205.0, 185, 160]), np.array([215.0, 165, 135])


def skin_before_a_beige_wall(rng, count=21):
    """Shaded skin, whose dark side has the brightness of a shadow on the wall; with such a shadow."""
    y, x = np.mgrid[:H, :W]
    background = BEIGE * (0.8 + 0.2 * y / H + 0.03 * np.sin(x / 9))[..., None]
    images, masks = [], []
    for k in range(count):
        center = 20 + 80 * k / (count - 1), 40 + 12 * np.sin(k)
        image = background.copy()
        image[disc((center[0] + 10, center[1] + 8), 13)] *= 0.7
        mask = disc(center, 14)
        shading = 0.85 - 0.25 * (x - center[0]) / 14
        image[mask] = (SKIN * shading[..., None])[mask]
        images.append(np.clip(image + 3 * rng.normal(size=image.shape), 0, 255).astype(np.uint8))
        masks.append(mask)
    return np.stack(images), np.stack(masks)


def test_skin_before_a_beige_wall():
    images, masks = skin_before_a_beige_wall(np.random.default_rng(10))
    background = Background.of(images)
    scores = [overlap(background.foreground(i), m) for i, m in zip(images, masks, strict=True)]
    assert np.mean(scores) > 0.88
    assert found_in(images, background).numbers()["sure"] > 0.6


def test_an_object_of_the_walls_colour_is_not_sure():
    rng = np.random.default_rng(11)
    _, images, masks = sweep(rng)
    hidden = images.copy()
    hidden[masks] = np.clip(0.9 * wall(rng) + 4, 0, 255).astype(np.uint8)[np.nonzero(masks)[1:]]
    background = Background.of(images)
    found = Found()
    for image, mask in zip(hidden, masks, strict=True):
        found.add(background, image, mask)
    assert found.numbers()["sure"] < 0.5
    assert any("of the outline is sure" in text for text in found.warnings())
