"""Masks as segmentation tools write them, under the names that docs/data.md says: all are read as they lie."""

from __future__ import annotations

import numpy as np
import pytest
from filmed_scene import Film, write_video
from paper_recordings import write_opencv
from PIL import Image
from scipy import ndimage
from tiny_scene import ring

from wim_fast.scene.load import load_scene

NAMES = [f"cam{v}" for v in range(3)]
FRAMES = 3


def sam2(path, name, masks):
    """tools/vos_inference.py: a picture with DAVIS's palette for each frame; the object's number is 1."""
    for t, mask in enumerate(masks):
        picture = Image.fromarray(mask.astype(np.uint8))
        picture.putpalette(b"\x00\x00\x00\x80\x00\x00\x00\x80\x00")
        save(picture, path / name / f"{t:05d}.png")


def rembg(path, name, masks):
    """rembg p -om: greys, with the pictures' names."""
    for t, mask in enumerate(masks):
        save(Image.fromarray(matte(mask)), path / name / f"{t:05d}.png")


def matting(path, name, masks):
    """Robust Video Matting, --output-type png_sequence: greys, four digits from 0."""
    for t, mask in enumerate(masks):
        save(Image.fromarray(matte(mask)), path / name / f"{t:04d}.png")


def matting_video(path, name, masks):
    """Robust Video Matting, --output-type video."""
    write_video(path / f"{name}.mp4", [np.repeat(matte(m)[..., None], 3, -1) for m in masks])


def matte(mask):
    """Soft by a pixel."""
    return np.rint(255 * ndimage.gaussian_filter(mask.astype(float), 0.6)).astype(np.uint8)


def save(picture, file):
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file)


@pytest.mark.parametrize("tool", [sam2, rembg, matting, matting_video])
def test_masks_of(tmp_path, tool):
    film = Film(eyes=ring(3, elevation=25.0), frames=FRAMES, width=96, height=80, lens=(0.0,) * 5)
    for v, name in enumerate(NAMES):
        write_video(tmp_path / f"{name}.mp4", [film.image(v, t) for t in range(FRAMES)])
        tool(tmp_path / "masks", name, [film.mask(v, t) for t in range(FRAMES)])
    write_opencv(tmp_path / "cameras", film, NAMES, vectors=True)
    scene = load_scene(tmp_path, coordinate_scale=1.0)
    assert scene.frame_ids == tuple(range(FRAMES))
    for v in range(3):
        for t in range(FRAMES):
            ours, theirs = scene.mask[v, t] == 1, film.mask(v, t)
            assert (ours & theirs).sum() > 0.97 * (ours | theirs).sum()
            assert not (scene.mask[v, t] == 2).any()
